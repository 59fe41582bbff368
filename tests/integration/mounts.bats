#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What of the file system a config.json asks for, as the workload then sees it. The attacks are in cve.bats.

bats_require_minimum_version 1.5.0
load lib/common
load lib/clients

setup() {
	D=$(mktemp -d /tmp/bivalve-mounts.XXXXXX)
	make_runtime "$D"
	make_bundle "$D/b"
	mkdir "$D/volume"
	echo canary > "$D/volume/file"
	cd "$D/b"
}

teardown() {
	cd /
	! mountpoint -q "$D/shared" || umount -R "$D/shared"
	no_mount_left "$D/"
	remove_cgroups "b-$$"
	rm -rf "$D"
}

# mount_is DESTINATION TYPE SOURCE OPTION…: one more mount.
mount_is() {
	config '.mounts += [{ destination: $ARGS.positional[0], type: $ARGS.positional[1], source: $ARGS.positional[2],
		options: $ARGS.positional[3:] }]' --args -- "$@"
}

# sh_is SCRIPT: what runs; its output is in $output, of success.
sh_is() {
	command_is sh -c "$1"
	run oci run c
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "a bind mount has the words of its options, at its top or all the way" {
	mkdir "$D/volume/below"
	mount_is /a bind "$D/volume" bind ro nosuid nodev noexec
	mount_is /b none "$D/volume" rbind rro rnoexec
	mount_is /c bind "$D/volume/file" bind nosymfollow noatime
	mount_is d bind "$D/volume" rbind
	sh_is 'cat /a/file /c /d/file; echo x > /d/new; grep -E " /[abc] " /proc/self/mountinfo | cut -d" " -f5,6
		(echo x > /a/file) 2>&1; (echo x > /b/below/x) 2>&1; true'
	[ "${lines[0]}${lines[1]}${lines[2]}" = canarycanarycanary ]
	[[ "$output" == *"/a ro,nosuid,nodev,noexec"* ]]
	[[ "$output" =~ "/b ro,"[a-z,]*noexec ]]
	[[ "$output" == *"nosymfollow"* && "$output" == *noatime* ]]
	[[ "$output" == *"/a/file: Read-only"* && "$output" == *"/b/below/x: Read-only"* ]]
	[ "$(cat "$D/volume/new")" = x ]
	[ "$(cat "$D/volume/file")" = canary ]
}

@test "places are made, files for files, and a link of the image stays in the image" {
	ln -s /run rootfs/link
	ln -s /not/yet rootfs/dangling
	mount_is /some/where/file bind "$D/volume/file" bind
	mount_is /link/deep bind "$D/volume" bind
	mount_is /dangling/deep bind "$D/volume" bind
	mount_is /x/../y//z tmpfs tmpfs size=64k
	sh_is 'cat /some/where/file /run/deep/file /not/yet/deep/file; grep -c " /y/z " /proc/self/mountinfo'
	[ "$output" = "canary
canary
canary
1" ]
}

@test "tmpcopyup, and a tmpfs that is read-only at the end" {
	mkdir -p rootfs/data/deep
	echo kept > rootfs/data/deep/f
	ln -s deep/f rootfs/data/l
	chmod 645 rootfs/data/deep/f
	chown 7:8 rootfs/data/deep/f
	mount_is /data tmpfs tmpfs tmpcopyup size=1m
	mount_is /ro tmpfs tmpfs ro size=64k
	mount_is /ro/below bind "$D/volume" bind
	sh_is 'cat /data/l /ro/below/file; stat -c "%a %u %g" /data/deep/f; echo new > /data/deep/g; touch /ro/x 2>&1; true'
	[[ "$output" == "kept
canary
645 7 8"* ]]
	[[ "$output" == *"/ro/x: Read-only"* ]]
	[ "$(cat rootfs/data/deep/f)" = kept ]
	[ ! -e rootfs/data/deep/g ]
}

@test "a read-only /dev still has its nodes" {
	config '(.mounts[] | select(.destination == "/dev")).options += ["ro"]'
	sh_is 'touch /dev/x 2>&1; echo y > /dev/null; test -c /dev/urandom && readlink /dev/ptmx'
	[[ "$output" == *"/dev/x: Read-only"* && "$output" == *pts/ptmx ]]
}

@test "devices with type, mode and owner" {
	config '.linux.devices = [
		{ path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 416, uid: 5, gid: 6 },
		{ path: "/dev/deep/block", type: "b", major: 7, minor: 0, fileMode: 384 },
		{ path: "/dev/fifo", type: "p", fileMode: 438 },
		{ path: "/else/null", type: "c", major: 1, minor: 3 },
		{ path: "/dev/null", type: "c", major: 1, minor: 3 }]'
	local block=/dev/deep/block said=$'\n'"/dev/deep/block block special file 600 0 0 7:0"
	if is_vm; then # a documented refusal: it is a device of the host
		run oci run c
		[ "$status" -ne 0 ]
		[[ "$output" == *"devices[1]"*"/dev/deep/block"* ]]
		config 'del(.linux.devices[1])'
		block='' said=''
	fi
	sh_is "stat -c '%n %F %a %u %g %t:%T' /dev/mine $block /dev/fifo /else/null"
	[ "$output" = "/dev/mine character special file 640 5 6 1:5$said
/dev/fifo fifo 666 0 0 0:0
/else/null character special file 666 0 0 1:3" ]
}

@test "masked and read-only paths, links among them" {
	mkdir -p rootfs/etc/secret.d rootfs/var
	echo secret > rootfs/etc/secret
	echo secret > rootfs/etc/secret.d/f
	ln -s /etc/secret rootfs/var/link
	config '.linux.maskedPaths = ["/var/link", "/etc/secret.d", "/proc/timer_list", "/proc/acpi", "/not/there", "/etc/secret/x"]
		| .linux.readonlyPaths = ["/proc/sys", "/etc", "/not/there"]'
	sh_is 'cat /etc/secret; ls /etc/secret.d; wc -c < /proc/timer_list; touch /etc/x 2>&1
		(echo 1 > /proc/sys/vm/swappiness) 2>&1; true'
	[[ "$output" != *secret* ]]
	[ "${lines[0]}" = 0 ]
	[[ "$output" == *"/etc/x: Read-only"* && "$output" == *"swappiness: Read-only"* ]]
	[ "$(cat rootfs/etc/secret)" = secret ]
}

@test "sysctls of the container's own namespaces, and no others" {
	config '.linux.sysctl = { "net.ipv4.ip_forward": "1", "kernel.shmmax": "12345678", "fs/mqueue/msg_max": "17" }'
	sh_is 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max'
	[ "$output" = "1
12345678
17" ]
	! is_vm || return 0 # the whole kernel is its own
	config '.linux.sysctl = { "vm.swappiness": "1" }'
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *vm.swappiness* ]]
	config '.linux.sysctl = { "net.ipv4.ip_forward": "1" } | del(.linux.namespaces[] | select(.type == "network"))'
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *net.ipv4.ip_forward* ]]
}

@test "an idmapped mount" {
	is_vm && skip "the owners of a shared folder are the host's in the guest"
	config '.mounts += [{ destination: "/mapped", type: "bind", source: $source, options: ["bind"],
		uidMappings: [{ containerID: 0, hostID: 1000, size: 10 }],
		gidMappings: [{ containerID: 0, hostID: 2000, size: 10 }] }]' --arg source "$D/volume"
	sh_is 'stat -c "%u %g" /mapped/file'
	[ "$output" = "1000 2000" ]
	config '(.mounts[] | select(.destination == "/mapped")) |= (.type = "tmpfs" | .options = [])'
	run oci run c
	echo "$output"
	[ "$status" -ne 0 ]
	[[ "$output" == *"mounts[3].uidMappings"* ]]
}

@test "in a user namespace root reaches sources in folders that only their owner may enter" {
	is_vm && skip "a microVM's files are served from outside: volumes.bats"
	local inner=$D/of-one/of-another
	mkdir -p "$inner/source" "$D/b/rootfs/mnt"
	echo found > "$inner/source/file"
	chown 100001:100001 "$inner"       # an id of the container
	chown 4242:4242 "$D/of-one"        # nobody's in there
	chmod 700 "$D/of-one" "$inner"
	config '.linux.namespaces += [{ type: "user" }]
		| .linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }] | .linux.gidMappings = .linux.uidMappings
		| .mounts += [{ destination: "/mnt", type: "bind", source: $source, options: ["rbind", "ro"] }]' \
		--arg source "$inner/source"
	sh_is 'cat /mnt/file; (echo x > /mnt/file) 2>&1; true'
	[[ "$output" == found*"Read-only file system"* ]]
}

@test "propagation: a slave sees what the host mounts, a private one does not" {
	is_vm && skip "mounts of the host do not happen in the guest"
	mkdir "$D/shared"
	mount -t tmpfs shared "$D/shared"
	mount --make-shared "$D/shared"
	mkdir "$D/shared/new"
	mkfifo "$D/shared/go" "$D/shared/gone"
	mount_is /slave bind "$D/shared" rbind rslave
	mount_is /private bind "$D/shared" rbind rprivate
	mount_is /shared bind "$D/shared" rbind rshared
	config '.linux.rootfsPropagation = "rshared"'
	command_is sh -c 'echo up > /private/go; cat /private/gone; grep -c " /slave/new " /proc/self/mountinfo
		grep -c " /private/new " /proc/self/mountinfo; grep " /shared " /proc/self/mountinfo'
	oci run c > "$D/out" 2>&1 &
	local pid=$!
	[ "$(timeout 20 cat "$D/shared/go")" = up ]
	mount -t tmpfs late "$D/shared/new"
	timeout 20 sh -c "echo > $D/shared/gone"
	wait "$pid" || true
	cat "$D/out"
	[ "$(sed -n 2,3p "$D/out")" = "1
0" ]
	grep -q 'shared:' "$D/out"
}

@test "a control group is shown, writable only if asked for" {
	is_vm && skip "the guest's own group is another's subject"
	config '.linux.namespaces += [{ type: "cgroup" }]'
	mount_is /sys sysfs sysfs ro
	mount_is /sys/fs/cgroup cgroup cgroup ro nosuid
	sh_is 'cd /sys/fs/cgroup; for g in *; do test -e $g/tasks && cd $g && break; done; cat tasks cgroup.procs 2>/dev/null | sort -u | head -1; mkdir x 2>&1; true'
	[ "${lines[0]}" = 1 ]
	[[ "$output" == *"x"*"Read-only"* ]]
	config '(.mounts[] | select(.type == "cgroup")).options = ["rw"]'
	sh_is 'cd /sys/fs/cgroup; for g in *; do test -e $g/tasks && cd $g && break; done; mkdir x && rmdir x && echo made'
	[ "$output" = made ]
}

@test "what cannot be is refused by the name of its field, at once" {
	mount_is /gone bind "$D/nowhere" bind
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"mounts[3]"*source*"$D/nowhere"* ]]
	config 'del(.mounts[3])'
	mount_is /proc/sys/kernel bind "$D/volume" bind
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"mounts[3]"*destination*/proc/sys/kernel* ]]
	config 'del(.mounts[3])'
	mount_is /t tmpfs tmpfs no-such-word
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"mounts[3]"* ]]
	config 'del(.mounts[3])'
	mount_is /t no-such-fs none
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"mounts[3]"*no-such-fs* ]]
	config '.mounts[3] = { destination: "/t", type: "tmpfs", source: "x" } | .mounts += [range(10000) | { destination: "/t", type: "tmpfs", source: "x" }]'
	run timeout 60 "$RUNTIME" run c
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	[[ "$output" == *mounts* ]]
}

@test "without pivot_root" {
	command_is sh -c 'ls /; cat /proc/self/mountinfo | wc -l'
	run oci run --no-pivot c
	[ "$status" -eq 0 ]
	[[ "$output" == *bin* && "$output" != *"work"* ]]
}
