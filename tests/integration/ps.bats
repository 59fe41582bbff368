#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `ps`: the processes, for people and for engines.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	long_lived p
}

@test "a table with the columns of ps -ef, and the pids as JSON" {
	need_operation ps "$ID"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} =~ ^UID\ +PID\ +PPID\ +C\ +STIME\ +TTY\ +TIME\ +CMD$ ]]
	[[ $output == *"sleep 1000"* ]]
	[ "${#lines[@]}" -ge 3 ]
	oci ps --format json "$ID" | jq -e 'length >= 2 and all(. > 0)'
	is_vm || [[ " $(oci ps -f json "$ID" | jq -r 'join(" ")') " == *" $(oci state "$ID" | jq .pid) "* ]]
	fails "format" oci ps --format xml "$ID"
	fails "does not exist" oci ps nobody
}
