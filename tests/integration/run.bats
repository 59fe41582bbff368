#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `run`: create, start and all that follows.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "its output and status are the workload's; nothing is left" {
	local id=r1-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'cat; echo err >&2; exit 7'
	run --separate-stderr oci run -b "$b" "$id" <<< in
	[ "$status" -eq 7 ]
	[ "$output" = in ]
	[ "$stderr" = err ]
	no_trace "$id"
}

@test "not found is 127, not executable 126, a signal 128+n, our own failure 125" {
	local id=r2-$N b=$BATS_FILE_TMPDIR/b
	bundle "$b" '.process.args = ["no-such-program"]'
	run -127 oci run -b "$b" "$id"
	[[ $output == *no-such-program* ]]
	bundle "$b" '.process.args = ["/etc/passwd"]'
	run -126 oci run -b "$b" "$id"
	sh_bundle "$b" 'sh -c "kill -KILL \$\$"; exit $?' # not PID 1, which no signal of its own namespace kills
	run -137 oci run -b "$b" "$id"
	fails "does not exist" oci state "$id"
	no_trace "$id"
}

# A container takes the annotation for somebody else's.
@test "the smallest machine, 32 MiB with a kernel made for it, runs what the rest runs; a smaller one is refused" {
	local id=r4-$N b=$BATS_FILE_TMPDIR/b least=32
	[ "$("$BIVALVE" kernel list --json | jq '.[0].no_acpi')" = true ] || least=80
	sh_bundle "$b" 'echo ran' ".annotations = { \"org.bivalve.vm.memory\": \"${least}m\" }"
	[ "$(oci run -b "$b" "$id")" = ran ]
	[ "$SHELL_UNDER_TEST" = vm ] || return 0
	sh_bundle "$b" 'echo ran' ".annotations = { \"org.bivalve.vm.memory\": \"$((least - 2))m\" }"
	if [ $least = 32 ]; then
		fails "expected a size such as 512m, 32m to 1t: 30m" oci run -b "$b" "$id"
	else
		fails "vm.memory_bytes: 78 MiB: a guest with kernel" oci run -b "$b" "$id"
	fi
	no_trace "$id"
}

@test "other verbs work on one in the foreground; a signal to it reaches the workload" {
	local id=r3-$N b=$BATS_FILE_TMPDIR/b pid code=0
	sh_bundle "$b" 'trap "echo got; exit 42" TERM; echo ready; while :; do sleep 1000 & wait $!; done'
	oci_exec run -b "$b" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" > "$BATS_FILE_TMPDIR/$id.out" 2>&1 3>&- &
	pid=$!
	eventually said "$id" ready
	is "$id" running
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(oci state "$id" | jq .pid)" ]
	fails "cannot delete container $id that is not stopped: running" oci delete "$id"
	fails "exists" oci run -b "$b" "$id"
	kill -TERM $pid
	wait $pid || code=$?
	[ "$code" -eq 42 ]
	said "$id" got
	no_trace "$id"
}

@test "--detach returns; --keep leaves a stopped one for delete, and its poststop hooks" {
	local id=r4-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'echo ready; sleep 1000'
	oci run -d -b "$b" "$id" < /dev/null > "$BATS_FILE_TMPDIR/$id.out" 2>&1 3>&-
	eventually said "$id" ready
	is "$id" running
	oci delete -f "$id"
	no_trace "$id"
	sh_bundle "$b" 'exit 5' \
		'.hooks.poststop = [{ path: "/bin/sh", args: ["sh", "-c", "touch '"$BATS_TEST_TMPDIR"'/poststop"] }]'
	run -5 oci run --keep -b "$b" "$id"
	is "$id" stopped
	[ ! -e "$BATS_TEST_TMPDIR/poststop" ]
	oci delete "$id"
	[ -e "$BATS_TEST_TMPDIR/poststop" ]
	no_trace "$id"
}

@test "a read-only root without the places of its mounts: they are there, and it is read-only" {
	local id=r6-$N b=$BATS_FILE_TMPDIR/b root=$BATS_TEST_TMPDIR/root
	mkdir "$root"
	"$TESTS/../scripts/busybox-root" "$root" > /dev/null
	rm -r "$root"/{proc,dev,sys} 2> /dev/null || true
	echo given > "$BATS_TEST_TMPDIR/file"
	sh_bundle "$b" 'touch /x 2> /dev/null || echo refused; echo kept > /a/b/f; cat /a/b/f /c/file; ls /proc/self/exe; pwd' \
		'.root.path = "'"$root"'" | .process.cwd = "/new/place" | .mounts += [
			{ destination: "/a/b", type: "tmpfs", source: "tmpfs" },
			{ destination: "/c/file", type: "bind", source: "'"$BATS_TEST_TMPDIR/file"'", options: ["bind", "ro"] }]'
	run oci run -b "$b" "$id"
	[ "$status" -eq 0 ]
	[ "$output" = "refused
kept
given
/proc/self/exe
/new/place" ]
	# a container makes them in the folder, as others do; a VM is shown that read-only
	! is_vm || [ "$(ls "$root" | tr '\n' ' ')" = "$(ls "$ROOTFS" | grep -vx -e proc -e dev -e sys | tr '\n' ' ')" ]
}
