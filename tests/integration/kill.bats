#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `kill`: which signal, to whom, and the words for what cannot be signalled.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "names and numbers reach the workload; the default is TERM; what is over cannot be killed" {
	local id=k1-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'for s in USR1 HUP TERM; do trap "echo got $s" $s; done; trap "echo got USR2; exit 0" USR2; echo ready
		while :; do sleep 1000 & wait $!; done'
	create "$id" "$b"
	oci start "$id"
	eventually said "$id" ready
	oci kill "$id" USR1
	eventually said "$id" "got USR1"
	oci kill "$id" 1
	eventually said "$id" "got HUP"
	oci kill "$id"
	eventually said "$id" "got TERM"
	fails "unknown signal" oci kill "$id" NOPE
	oci kill "$id" SIGUSR2
	eventually is "$id" stopped
	said "$id" "got USR2"
	fails "container not running" oci kill "$id" TERM
	oci delete "$id"
	fails "does not exist" oci kill "$id" TERM
}

@test "--all, --regex, and one that was never started" {
	local a=k2a-$N c=k2b-$N b=$BATS_FILE_TMPDIR/b2
	sh_bundle "$b" 'sh -c "trap \"echo child; exit\" USR1; echo ready; while :; do sleep 1000 & wait \$!; done" & trap : USR1
		while :; do wait; done'
	create "$a" "$b"
	create "$c" "$b"
	oci kill "$c" KILL
	eventually is "$c" stopped
	oci delete "$c"
	oci start "$a"
	eventually said "$a" ready
	need_operation kill --all "$a" USR1
	[ "$status" -eq 0 ]
	eventually said "$a" child
	oci kill --regex "^k2[ab]-$N\$" KILL
	eventually is "$a" stopped
	oci delete "$a"
	no_trace "$a"
	no_trace "$c"
}
