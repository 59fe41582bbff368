#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `create`: what is there once it returned, and what is not when it failed.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "created: the state, the pid file, nothing run; started: its output; deleted: nothing left" {
	local id=c1-$N b=$BATS_FILE_TMPDIR/b
	sh_bundle "$b" 'echo ran; exit 3' '.annotations = { "org.example.a": "b" }'
	create "$id" "$b" --pid-file "$BATS_TEST_TMPDIR/pid"
	[ "$(status_of "$id")" = created ]
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(oci state "$id" | jq .pid)" ]
	kill -0 "$(cat "$BATS_TEST_TMPDIR/pid")"
	[ "$(oci state "$id" | jq -r '.bundle, .rootfs, .owner, .annotations["org.example.a"], .ociVersion' | paste -sd' ')" = \
		"$b $ROOTFS root b 1.2.0" ]
	[ -z "$(out_of "$id")" ]
	fails "already exists" oci create -b "$b" "$id"
	oci start "$id"
	eventually is "$id" stopped
	[ "$(out_of "$id")" = ran ]
	oci delete "$id"
	no_trace "$id"
}

@test "a configuration of another name; descriptors handed on are announced" {
	local id=c2-$N b=$BATS_FILE_TMPDIR/other
	sh_bundle "$b" 'echo fds=$LISTEN_FDS; cat <&3'
	mv "$b/config.json" "$b/another.json"
	echo handed > "$BATS_TEST_TMPDIR/in"
	if is_vm; then
		# a documented refusal: a descriptor of the host cannot be the guest's
		LISTEN_FDS=1 fails preserve_fds oci create -b "$b" --config "$b/another.json" "$id" 3< "$BATS_TEST_TMPDIR/in"
		no_trace "$id"
		return
	fi
	(LISTEN_FDS=1 oci create -b "$b" --config "$b/another.json" "$id" < /dev/null > "$BATS_FILE_TMPDIR/$id.out" 2>&1 \
		3< "$BATS_TEST_TMPDIR/in")
	oci start "$id"
	eventually is "$id" stopped
	said "$id" fds=1
	said "$id" handed
	oci delete "$id"
}

@test "a terminal goes to the console socket" {
	local id=c3-$N b=$BATS_FILE_TMPDIR/tty
	sh_bundle "$b" 'tty; stty size; echo done' '.process.terminal = true | .process.consoleSize = { height: 33, width: 77 }'
	fails console-socket oci create -b "$b" "$id"
	"$TESTS/integration/lib/console_socket.py" "$BATS_TEST_TMPDIR/s" > "$BATS_TEST_TMPDIR/tty" 3>&- &
	eventually [ -S "$BATS_TEST_TMPDIR/s" ]
	create "$id" "$b" --console-socket "$BATS_TEST_TMPDIR/s"
	oci start "$id"
	eventually grep -q done "$BATS_TEST_TMPDIR/tty"
	grep -q '33 77' "$BATS_TEST_TMPDIR/tty"
	eventually is "$id" stopped
	oci delete "$id"
}

@test "what fails leaves nothing, says one line, and poststop hooks run" {
	local id=c4-$N b=$BATS_FILE_TMPDIR/bad
	fails nosuch oci create -b "$BATS_TEST_TMPDIR/nosuch" "$id"
	bundle "$b" '.ociVersion = 7'
	fails ociVersion oci create -b "$b" "$id"
	bundle "$b" '.root.path = "/no/such/root"'
	fails /no/such/root oci create -b "$b" "$id"
	bundle "$b" '.hooks.createRuntime = [{ path: "/bin/sh", args: ["sh", "-c", "echo why >&2; exit 4"] }]
		| .hooks.poststop = [{ path: "/bin/sh", args: ["sh", "-c", "touch '"$BATS_TEST_TMPDIR"'/poststop"] }]'
	fails "createRuntime[0]" oci create -b "$b" "$id"
	[[ $stderr == *why* ]]
	[ -e "$BATS_TEST_TMPDIR/poststop" ]
	bundle "$b"
	fails "no/such/dir" oci create -b "$b" --pid-file "$BATS_TEST_TMPDIR/no/such/dir/pid" "$id"
	fails "ID" oci create -b "$b"
	fails "unknown option" oci create -b "$b" --frobnicate "$id"
	fails "instance name" oci create -b "$b" ../x
	no_trace "$id"
}

@test "--cgroup-manager disabled: no group; what one would hold is held otherwise, or refused by name" {
	local id=c5-$N b=$BATS_FILE_TMPDIR/none
	ungrouped() { oci --cgroup-manager disabled run -b "$b" "$id"; }
	mknod "$ROOTFS/node" c 1 3
	sh_bundle "$b" 'cat /node; echo $?; test -c /dev/null && echo x > /dev/null; mknod /dev/mine c 1 3 2>/dev/null; cat /dev/mine; echo $?' \
		'.process.capabilities[] += ["CAP_MKNOD"] | .linux.resources.devices = [{ allow: false, access: "rwm" }]'
	is_vm && jq 'del(.process.capabilities)' "$b/config.json" > "$b/new" && mv "$b/new" "$b/config.json" # the guest's devices
	run --separate-stderr ungrouped
	[ "$status" -eq 0 ]
	[ "$output" = "1
1" ]
	is_vm || [[ $stderr == *"CAP_MKNOD is not granted"* ]]
	rm "$ROOTFS/node"
	[ -z "$(find /sys/fs/cgroup -name "*$id*" 2>/dev/null)" ]
	if is_vm; then return; fi # has limits and a pid namespace of its own: the guest's
	bundle "$b" '.linux.resources.memory.limit = 100000000'
	fails memory ungrouped
	bundle "$b" '.linux.namespaces |= map(select(.type != "pid"))'
	fails "linux.namespaces: pid" ungrouped
	bundle "$b" '.process.capabilities.bounding += ["CAP_SYS_ADMIN"]'
	fails CAP_SYS_ADMIN ungrouped
	bundle "$b" '.linux.resources.devices = [{ allow: false, type: "c", major: 1, minor: 3, access: "r" }]'
	fails "resources.devices[0]" ungrouped
	no_trace "$id"
}
