#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `state`, and the options before the verb.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "none of that name; help, version, unknown words" {
	fails 'container "nobody" does not exist' oci state nobody
	fails "expected" oci state
	fails "unknown option" oci --frobnicate state x
	fails "cgroup-manager" oci --cgroup-manager nonsense state x
	fails "log-level" oci --log-level shout state x
	run oci --version
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "bivalve version "* && ${lines[2]} == "spec: 1."* && ${#lines[@]} -eq 3 ]]
	for verb in create start run state kill delete exec ps list pause resume update events stats spec features; do
		run oci "$verb" --help
		[ "$status" -eq 0 ]
		[[ $output == "Usage: bivalve $verb"* ]]
	done
}

@test "--log gets the error, as JSON or text, beside standard error" {
	fails "does not exist" oci --log "$BATS_TEST_TMPDIR/log" --log-format=json --systemd-cgroup --rootless=false --debug \
		--criu criu state 'no"body'"-$N" || true
	fails "does not exist" oci --log "$BATS_TEST_TMPDIR/log" --log-format json state "nobody-$N"
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/log" | jq -r '.level, .msg' | paste -sd' ')" = \
		"error container \"nobody-$N\" does not exist" ]
	tail -n 1 "$BATS_TEST_TMPDIR/log" | jq -e '.time | fromdateiso8601 > 0'
	fails "does not exist" oci --log "$BATS_TEST_TMPDIR/text" state "nobody-$N"
	grep -q 'level=error msg="container \\"nobody' "$BATS_TEST_TMPDIR/text"
	fails "no/such" oci --log "$BATS_TEST_TMPDIR/no/such/log" state x
}

@test "--root is a place of its own" {
	local id=st-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'sleep 1000'
	oci --root "$BATS_TEST_TMPDIR/root" create -b "$b" "$id" < /dev/null > /dev/null 2>&1 3>&-
	fails "does not exist" oci state "$id"
	[ "$(oci --root="$BATS_TEST_TMPDIR/root" state "$id" | jq -r .status)" = created ]
	oci --root "$BATS_TEST_TMPDIR/root" delete --force "$id"
	[ -z "$(ls "$BATS_TEST_TMPDIR/root")" ]
}
