#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `start`: once, and only what was created.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "start runs it and the poststart hooks; a second one, and one after its end, are refused" {
	local id=s1-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'echo ready; trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done' \
		'.hooks.poststart = [{ path: "/bin/sh", args: ["sh", "-c", "cat > '"$BATS_TEST_TMPDIR"'/state"] }]'
	create "$id" "$b"
	[ ! -e "$BATS_TEST_TMPDIR/state" ]
	oci start "$id"
	[ "$(jq -r '.id, .status' "$BATS_TEST_TMPDIR/state" | paste -sd' ')" = "$id running" ]
	is "$id" running
	eventually said "$id" ready
	fails "cannot start a container that is running" oci start "$id"
	oci kill "$id" KILL
	eventually is "$id" stopped
	fails "cannot start a container that has stopped" oci start "$id"
	oci delete "$id"
	fails "does not exist" oci start "$id"
	fails "expected" oci start
}

@test "a poststart hook that fails is a warning; a program that is not there is told" {
	local id=s2-$N b=$BATS_FILE_TMPDIR/b2
	sh_bundle "$b" 'sleep 1000' '.hooks.poststart = [{ path: "/bin/false" }]'
	create "$id" "$b"
	run oci start "$id"
	[ "$status" -eq 0 ]
	[[ $output == *"poststart[0]"* ]]
	oci delete --force "$id"
	no_trace "$id"
}
