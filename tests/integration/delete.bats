#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `delete`: only what is stopped, unless forced; nothing of it stays.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "a running one only by force, a created one without; poststop hooks run last; an unknown one" {
	local id=d1-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'echo ready; sleep 1000' '.hooks.poststop = [
		{ path: "/bin/sh", args: ["sh", "-c", "exit 1"] },
		{ path: "/bin/sh", args: ["sh", "-c", "cat > '"$BATS_TEST_TMPDIR"'/state; ls '"$BIVALVE_RUN"' > '"$BATS_TEST_TMPDIR"'/ls"] }]'
	create "$id" "$b"
	run oci delete "$id"
	[ "$status" -eq 0 ]
	no_trace "$id"
	create "$id" "$b"
	oci start "$id"
	eventually said "$id" ready
	fails "cannot delete container $id that is not stopped: running" oci delete "$id"
	is "$id" running
	run oci delete --force "$id"
	[ "$status" -eq 0 ]
	[[ $output == *"poststop[0]"* ]] # a warning
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/state")" = stopped ]
	! grep -q "$id" "$BATS_TEST_TMPDIR/ls"
	no_trace "$id"
	fails "container \"$id\" does not exist" oci delete "$id"
	run oci delete --force "$id"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "--regex; a launch's sweep leaves created ones alone" {
	local a=d2a-$N c=d2b-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'sleep 1000'
	create "$a" "$b"
	create "$c" "$b"
	oci delete --all
	is "$a" created
	is "$c" created
	oci delete -f -r "^d2.-$N\$"
	no_trace "$a"
	no_trace "$c"
	fails "regex" oci delete -r '['
}
