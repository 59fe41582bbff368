#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `pause` and `resume`: nothing moves meanwhile.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "a paused one stands still, says so, refuses exec, and goes on" {
	local id=pr-$N b=$BATS_FILE_TMPDIR/b before
	sh_bundle "$b" 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'
	create "$id" "$b"
	fails "container not paused" oci resume "$id"
	oci start "$id"
	eventually said "$id" 3
	need_operation pause "$id"
	[ "$status" -eq 0 ]
	is "$id" paused
	before=$(out_of "$id" | wc -l)
	sleep 0.5 # long enough to be seen moving, if it did
	[ $(($(out_of "$id" | wc -l) - before)) -le $(is_vm && echo 2 || echo 0) ]
	fails "container not running" oci pause "$id"
	fails "cannot exec in a paused container" oci exec "$id" true
	oci resume "$id"
	is "$id" running
	eventually said "$id" $((before + 3))
	oci pause "$id"
	oci kill "$id" KILL
	eventually is "$id" stopped
	fails "container not running" oci pause "$id"
	oci delete "$id"
	no_trace "$id"
}
