#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `list`: both kinds of instance.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	long_lived l
}

@test "table, JSON and names; the stopped and the created; an image's instance beside them" {
	local id=l2-$N
	create "$id" "$BATS_FILE_TMPDIR/b"
	run oci list
	[[ ${lines[0]} =~ ^ID\ +PID\ +STATUS\ +BUNDLE\ +CREATED\ +OWNER ]]
	[[ $output =~ $ID\ +[0-9]+\ +running\ +"$BATS_FILE_TMPDIR/b"\ +20[0-9-]+T[0-9:.]+Z\ +root ]]
	[[ $output =~ $id\ +[0-9]+\ +created ]]
	[ "$(oci list -q | sort | paste -sd' ')" = "$ID $id" ]
	oci list --format json | jq -e --arg id "$ID" '.[] | select(.id == $id) | .status == "running" and .pid > 1 and
		.ociVersion == "1.2.0" and (.bundle | endswith("/b")) and .owner == "root" and (.created | startswith("20"))'
	oci delete -f "$id"
	run oci list --json
	[ "$(jq length <<< "$output")" = 1 ]
	fails "format" oci list -f yaml
	[ "$(oci --root "$BATS_TEST_TMPDIR/none" list -f json | jq length)" = 0 ]
}
