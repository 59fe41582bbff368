#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What has broken container runtimes before, tried on this one, in either shell. Each attack has a canary: something of
# the host that a vulnerable runtime touches, shows or replaces. A refusal is as good as a run that leaves it alone, but
# what is right must still work, so that a runtime which refuses everything fails too. Each test says what a vulnerable
# runtime would do to its canary.

bats_require_minimum_version 1.5.0
load lib/common
load lib/clients

setup() {
	D=$(mktemp -d /tmp/bivalve-cve.XXXXXX)
	make_runtime "$D"
	make_bundle "$D/b"
	mkdir "$D/canary"
	echo untouched > "$D/canary/file"
	cd "$D/b"
}

teardown() {
	local id
	[ "$(head -c 5 "$D/bivalve" 2>/dev/null | tr -d "\0")" != owned ] || cp --remove-destination "$BIVALVE" "$D/bivalve" # an attack did that
	for id in $(oci list -q 2>/dev/null); do
		oci delete --force "$id" || true
	done
	cd /
	# An attack that succeeds must not stay on the host.
	[ -z "${CORE_PATTERN:-}" ] || [ "$(cat /proc/sys/kernel/core_pattern)" = "$CORE_PATTERN" ] ||
		echo "$CORE_PATTERN" > /proc/sys/kernel/core_pattern
	no_mount_left "$D/"
	remove_cgroups "b-$$"
	rm -rf "$D"
}

# The canary folder is as it was made, and nothing is mounted there.
canary_is_well() {
	[ "$(cd "$D/canary" && find . | sort)" = ".
./file" ]
	[ "$(cat "$D/canary/file")" = untouched ]
	no_mount_left "$D/canary"
}

# still_works: the same bundle without the attack, once for all tests.
still_works() {
	[ ! -e "$BATS_FILE_TMPDIR/works" ] || return 0
	touch "$BATS_FILE_TMPDIR/works"
	make_bundle "$D/good"
	(cd "$D/good" && command_is echo fine && [ "$(oci run good)" = fine ])
}

# up SCRIPT: a running container `c`.
up() {
	command_is sh -c "$1"
	oci create c
	oci start c
}

# CVE-2019-5736: a process of the runtime's that enters the container is seen there as /proc/PID/exe; who opens that and
# waits for its end can write to the host's program. The attacker looks for such processes while others enter by exec,
# also through a link that makes the runtime execute itself.
exe_attack='
	while :; do
		for p in /proc/[0-9]*; do
			case $(readlink $p/exe) in
			""|/bin/*) continue ;;
			esac
			if exec 3< $p/exe; then
				echo > /tmp/seen
				n=0
				while [ $n -lt 3000 ]; do
					(echo owned > /proc/self/fd/3) 2>/dev/null && echo > /tmp/owned && break
					n=$((n + 1))
				done
				exec 3<&-
				echo > /tmp/tried
			fi
		done 2>/dev/null
	done'

@test "2019-5736: the runtime is not overwritten by way of /proc/PID/exe" {
	cp "$BIVALVE" "$D/bivalve"
	ln -sf bivalve "$D/bivalve-vm"
	ln -s "$BUILD/bivalve-guest" "$D/bivalve-guest" # looked for beside the program
	[ -n "${OCI_RUNTIME:-}" ] || sed -i "s|^exec '[^']*/|exec '$D/|" "$RUNTIME"
	local before i
	before=$(sha256sum "$D/bivalve")
	ln -s /proc/self/exe rootfs/bin/itself
	up "$exe_attack"
	for i in 1 2 3 4 5; do
		oci exec c itself >/dev/null 2>&1 || true
		oci exec c true
	done
	[ "$(sha256sum "$D/bivalve")" = "$before" ]
	is_vm || [ ! -e rootfs/tmp/owned ]
	[ "$(oci exec c echo fine)" = fine ]
	is_vm && return # no process of the host enters a VM
	# One with all capabilities may look at the link whatever our process says of itself: it sees it, and cannot write.
	oci delete --force c
	config '("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT " +
		"SYS_PTRACE SYS_ADMIN MKNOD AUDIT_WRITE SETFCAP" | split(" ") | map("CAP_" + .)) as $all
		| .process.capabilities = { bounding: $all, effective: $all, permitted: $all }'
	up "$exe_attack"
	for ((i = 0; i < 300; i++)); do
		[ ! -e rootfs/tmp/seen ] || break
		oci exec c true
	done
	eventually test -e rootfs/tmp/tried
	[ "$(sha256sum "$D/bivalve")" = "$before" ]
	[ ! -e rootfs/tmp/owned ]
}

@test "2019-5736: the attack itself works, on a program that enters as a weak runtime would" {
	is_vm && skip "no process of the host enters a VM"
	cp "$(command -v busybox)" "$D/weak"
	up "$exe_attack"
	python3 - "$D/weak" "$(oci state c | jq .pid)" <<-'END'
		import ctypes, os, sys
		program = os.open(sys.argv[1], os.O_RDONLY)
		libc = ctypes.CDLL(None, use_errno=True)
		for kind in ("pid", "mnt"):
		    assert libc.setns(os.open(f"/proc/{sys.argv[2]}/ns/{kind}", os.O_RDONLY), 0) == 0
		for _ in range(50):
		    if os.fork() == 0:
		        for capability in range(64):
		            libc.prctl(24, capability, 0, 0, 0)  # from the bounding set: as little as the attacker has
		        os.execve(program, ["sleep", "0.1"], {})
		    os.wait()
		    if os.path.exists("/tmp/owned"):
		        break
	END
	[ "$(head -c 5 "$D/weak")" = owned ]
}

# CVE-2019-16884, CVE-2025-52881: what the runtime writes to /proc (security labels, sysctls) goes where the container
# has mounted or linked something. A vulnerable runtime writes the value into the canary, or reports a success that is
# none.
@test "2019-16884, 2025-52881: a sysctl is not redirected by a mount over /proc/sys" {
	mkdir "$D/fake"
	echo untouched > "$D/fake/ip_default_ttl"
	config '.linux.sysctl = { "net.ipv4.ip_default_ttl": "77" }'
	config --arg d "$D/fake" '.mounts += [{ destination: "/proc/sys/net/ipv4", type: "bind", source: $d, options: ["rbind"] }]'
	command_is true
	oci run c || true
	[ "$(cat "$D/fake/ip_default_ttl")" = untouched ]
	# by a link, and with a file system of the container's in the place of /proc
	rm "$D/fake/ip_default_ttl"
	ln -s "$D/canary/file" "$D/fake/ip_default_ttl"
	oci run c || true
	canary_is_well
	rmdir rootfs/proc
	ln -s "$D/canary" rootfs/proc
	config 'del(.mounts[] | select(.destination | startswith("/proc")))'
	oci run c || true
	canary_is_well
	still_works
}

@test "2019-16884: a volume of the image's at /proc, where masks and labels would go astray, is refused" {
	mkdir -p "$D/fake"
	config --arg d "$D/fake" '(.mounts[] | select(.destination == "/proc")) |= { destination: "/proc", type: "bind", source: $d,
		options: ["rbind"] } | .linux.maskedPaths = ["/proc/kcore"] | .linux.readonlyPaths = ["/proc/sys"]'
	command_is echo ran
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"/proc: only a procfs may be there"* ]]
	[ -z "$(ls -A "$D/fake")" ]
	no_mount_left "$D/fake"
	config '(.mounts[] | select(.destination == "/proc")) |= { destination: "/proc", type: "tmpfs", source: "tmpfs" }'
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"/proc: only a procfs may be there"* ]]
}

# CVE-2021-30465, CVE-2024-45310: the destination of a mount is resolved by name, so a link (or one that appears in
# between) leads out of the root: a vulnerable runtime makes folders in the canary, or mounts over the host's.
@test "2021-30465, 2024-45310: a destination by way of links stays within the root" {
	mkdir "$D/source"
	echo mine > "$D/source/file"
	local up=../../../../../../../..
	ln -s "$D/canary" rootfs/absolute
	ln -s "$up$D/canary" rootfs/relative
	ln -s absolute rootfs/twice
	mkdir rootfs/d
	ln -s "../$up$D/canary" rootfs/d/deep
	config --arg s "$D/source" '.mounts += [
		{ destination: "/absolute", type: "bind", source: $s, options: ["bind"] },
		{ destination: "/relative/made", type: "bind", source: $s, options: ["bind"] },
		{ destination: "/twice/made/file", type: "bind", source: ($s + "/file"), options: ["bind"] },
		{ destination: "/d/deep/tmp", type: "tmpfs", source: "tmpfs" } ]'
	command_is true
	oci run c || true
	canary_is_well
	# one at a time: a refusal of the first does not hide the others
	local i
	is_vm || for i in -4 -3 -2 -1; do
		cp config.json whole.json
		config --argjson i "$i" '.mounts = .mounts[0:3] + [.mounts[$i]]'
		oci run c || true
		mv whole.json config.json
		canary_is_well
	done
	still_works
}

@test "2021-30465: a link that comes and goes while the mounts are made" {
	mkdir "$D/source" "$D/swap" "$D/swap/real"
	ln -s "../../../../../../../..$D/canary" "$D/swap/link"
	config --arg s "$D/source" --arg v "$D/swap" '.mounts += [
		{ destination: "/vol", type: "bind", source: $v, options: ["rbind"] },
		{ destination: "/vol/real/in", type: "bind", source: $s, options: ["bind"] } ]'
	command_is sh -c 'test ! -e /vol/real/in/file'
	python3 - "$D/swap" <<-'END' &
		import ctypes, os, sys
		os.chdir(sys.argv[1])
		libc = ctypes.CDLL(None)
		while os.path.exists("real") or os.path.exists("link"):
		    libc.renameat2(-100, b"real", -100, b"link", 2)
	END
	local swapper=$! i rounds=40
	is_vm && rounds=2
	for ((i = 0; i < rounds; i++)); do
		oci run c 2>/dev/null || true
	done
	kill "$swapper"
	wait "$swapper" || true
	canary_is_well
}

# CVE-2024-21626: a descriptor of the runtime's for a folder of the host is open when the workload starts, so that
# /proc/self/fd/N is a current folder outside the root. In a vulnerable runtime one of the numbers reads the canary.
@test "2024-21626: no descriptor of the host's is a current folder, at run or exec" {
	local n
	command_is sh -c "cat ../../../../../../../..$D/canary/file 2>/dev/null; ls -d /proc/self/cwd/tmp >/dev/null; true"
	for n in $(is_vm && echo 7 8 || seq 3 24); do
		config --arg cwd "/proc/self/fd/$n" '.process.cwd = $cwd'
		run oci run c
		[[ "$output" != *untouched* ]]
	done
	config '.process.cwd = "/"'
	up 'sleep 1000'
	for n in $(seq 3 24); do
		run oci exec --cwd "/proc/self/fd/$n" c sh -c "cat ../../../../../../../..$D/canary/file"
		[[ "$output" != *untouched* ]]
	done
	# by a link that the image brings
	ln -s /proc/self/fd/7 rootfs/cwd
	run oci exec --cwd /cwd c sh -c "cat ../../../../../../../..$D/canary/file"
	[[ "$output" != *untouched* ]]
	[ "$(oci exec --cwd /etc c pwd)" = /etc ]
	# and none is open at all: a host's folder among the descriptors would show
	[ "$(oci exec c sh -c 'for f in 3 4 5 6 7 8 9 10 11 12; do readlink /proc/$$/fd/$f; done')" = "" ]
}

# CVE-2025-31133: a path is masked by mounting the root's own /dev/null over it, which the image made a link: a vulnerable
# runtime mounts the link's target there, writable.
@test "2025-31133: the mask is the real /dev/null, not what the image calls so" {
	config 'del(.mounts[] | select(.destination | startswith("/dev"))) | .linux.maskedPaths = ["/proc/kcore", "/etc/group"]'
	echo secret > rootfs/etc/secret
	rm -f rootfs/dev/null
	ln -s /etc/secret rootfs/dev/null
	command_is sh -c 'head -c 20 /etc/group; head -c 20 /proc/kcore; (echo x > /etc/group) 2>/dev/null; true'
	run oci run c
	[[ "$output" != *secret* ]]
	[[ "$output" != *root:x* ]]
	[ "$(cat rootfs/etc/secret)" = secret ]
	grep -q root: rootfs/etc/group
	rm -f rootfs/dev/null
	ln -s "$D/canary/file" rootfs/dev/null
	run oci run c
	[[ "$output" != *untouched* ]]
	canary_is_well
	still_works
}

# CVE-2025-52565: the terminal is put at /dev/console by name. A vulnerable runtime mounts it where the image's link leads,
# makes a file there, or hands out what lies at /dev/pts/N.
@test "2025-52565: the console is mounted by descriptor, not where a link leads" {
	config 'del(.mounts[] | select(.destination == "/dev")) | .process.terminal = true'
	mkdir -p rootfs/dev/pts
	ln -s "$D/canary/file" rootfs/dev/pts/0
	echo secret > rootfs/etc/secret
	command_is sh -c 'ls -l /etc/secret; cat /dev/pts/0 < /dev/null 2>/dev/null & echo ran'
	local target
	for target in /etc/secret "$D/canary/file" "$D/canary/made" $(is_vm || echo "../../../../../../..$D/canary/made" /proc/self/attr/current); do
		rm -f rootfs/dev/console
		ln -s "$target" rootfs/dev/console
		run timeout 60 script -qec "$RUNTIME run c" /dev/null
		[ "$status" -ne 0 ]
		[[ "$output" == *"/dev/console"* ]]
		[[ "$output" != *ran* ]]
		[[ "$output" != *untouched* ]]
		[ "$(cat rootfs/etc/secret)" = secret ]
		canary_is_well
	done
	# a file, or nothing, is covered by the terminal
	rm -f rootfs/dev/console
	command_is sh -c 'test -c /dev/console && test -t 0 && echo fine'
	run timeout 60 script -qec "$RUNTIME run c" /dev/null
	[ "$status" -eq 0 ]
	[[ "$output" == *fine* ]]
	canary_is_well
}

# CVE-2026-41579: the image's /dev is a link; a vulnerable runtime mounts or makes its nodes in the host's folder.
@test "2026-41579: a root whose /dev, /proc or /sys is a link out of it" {
	local name
	for name in dev proc sys; do
		rm -rf "rootfs/$name"
		ln -s "$D/canary" "rootfs/$name"
	done
	config '.mounts += [{ destination: "/sys", type: "sysfs", source: "sysfs" }]'
	command_is echo ran
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"in the root: a symbolic link"* ]]
	canary_is_well
	for name in dev proc sys; do
		rm -rf "rootfs/$name"
		ln -s "../../../../../../..$D/canary" "rootfs/$name"
	done
	run oci run c
	[ "$status" -ne 0 ]
	[[ "$output" == *"in the root: a symbolic link"* ]]
	canary_is_well
	# without a tmpfs the nodes would be made through the link
	config 'del(.mounts[] | select(.destination | startswith("/dev")))
		| .linux.devices = [{ path: "/dev/mine", type: "c", major: 1, minor: 3, fileMode: 438 }]'
	oci run c || true
	canary_is_well
	still_works
}

# CVE-2026-30892: `exec -u 1` was read as the user 0. Anything that is no number must be refused, not read as 0 either.
@test "2026-30892: exec -u is taken as it is written, or refused" {
	up 'sleep 1000'
	[ "$(oci exec -u 1 c id -u)" = 1 ]
	[ "$(oci exec -u 1:2 c sh -c 'id -u; id -g')" = "1
2" ]
	[ "$(oci exec --user 1000 c id -u)" = 1000 ]
	local bad
	for bad in 1x x1 -1 1:x 1:2:3 4294967295 4294967296 18446744073709551617 0x1 ' 1' '1 ' : 1:-1 nosuchuser; do
		run oci exec -u "$bad" c id -u
		[ "$status" -ne 0 ] || { echo "-u '$bad' ran: $output" >&2; false; }
	done
}

# CVE-2022-27650: capabilities were inheritable, so that a program with file capabilities gave them to anybody. The same
# for exec --cap.
@test "2022-27650: no capability is inheritable unless asked for" {
	config '.process.capabilities = { bounding: ["CAP_CHOWN", "CAP_KILL"], permitted: ["CAP_CHOWN", "CAP_KILL"],
		effective: ["CAP_CHOWN", "CAP_KILL"] }'
	up 'grep CapInh /proc/self/status > /tmp/caps; sleep 1000'
	[ "$(oci exec c sh -c 'grep -h CapInh /proc/self/status /tmp/caps' | sort -u)" = "CapInh:	0000000000000000" ]
	[ "$(oci exec --cap CAP_NET_RAW -u 1000 c grep CapInh /proc/self/status)" = "CapInh:	0000000000000000" ]
	oci exec -u 0 c grep CapEff /proc/self/status | grep -q 0000000021
}

# CVE-2022-0811: more settings behind a + or the like in the value, or in a name that leads elsewhere: a vulnerable runtime
# sets the host's core_pattern.
@test "2022-0811: a sysctl sets itself and nothing else" {
	local before value name
	before=$(cat /proc/sys/kernel/core_pattern)
	CORE_PATTERN=$before
	for value in "1+kernel.core_pattern=|/evil" "1;kernel.core_pattern=|/evil" $'1\nkernel.core_pattern=|/evil' \
		"1 kernel.core_pattern=|/evil"; do
		config --arg v "$value" '.linux.sysctl = { "kernel.shm_rmid_forced": $v }'
		is_vm || oci run c || true
		[ "$(cat /proc/sys/kernel/core_pattern)" = "$before" ]
	done
	# in a VM the kernel is its own, and most of these boot one
	for name in $(is_vm || echo kernel.core_pattern kernel/core_pattern) net/../kernel/core_pattern net.ipv4/../../kernel/core_pattern \
		"net.ipv4.ip_forward=1+kernel.core_pattern" kernel.shm_rmid_forced/../core_pattern /proc/sys/kernel/core_pattern; do
		config --arg n "$name" '.linux.sysctl = { ($n): "|/evil" }'
		run oci run c
		[ "$status" -ne 0 ]
		[ "$(cat /proc/sys/kernel/core_pattern)" = "$before" ]
	done
	config '.linux.sysctl = { "kernel.shm_rmid_forced": "1" }'
	command_is cat /proc/sys/kernel/shm_rmid_forced
	[ "$(oci run c)" = 1 ]
}

# CVE-2025-24965: the VM's configuration was written to, and read from, a file in the root, by name: a link there wrote to
# the host, and a file there changed the VM.
@test "2025-24965: nothing of ours is written to the root, or read from it" {
	local name
	for name in .krun_vm.json .krun_config.json .bivalve.json config.json plan.json state.json run/bivalve; do
		mkdir -p "$(dirname "rootfs/$name")"
		ln -s "$D/canary/file" "rootfs/$name"
	done
	(cd rootfs && find . | sort) > "$D/before"
	command_is echo fine
	run oci run c
	[ "$status" -eq 0 ]
	[[ "$output" == *fine* ]]
	canary_is_well
	(cd rootfs && find . | sort) > "$D/after"
	cmp "$D/before" "$D/after"
}

# The process that stands for a VM has the root of the bundle as its own, for who enters its namespaces: what it opens by
# name from then on would be what the image put there.
@test "what stands for a workload opens nothing in the root by name" {
	local n
	mkdir -p rootfs/proc/self/fd rootfs/lower
	echo untouched > rootfs/lower/file
	for n in $(seq 0 40); do
		ln -s /lower/file "rootfs/proc/self/fd/$n"
	done
	config 'del(.mounts[] | select(.destination == "/proc"))'
	up 'sleep 1000'
	[ "$(echo typed | oci exec c cat)" = typed ]
	[ "$(oci exec c sh -c 'echo out; echo err >&2' 2>&1 | sort)" = "err
out" ]
	[ "$(cat rootfs/lower/file)" = untouched ]
	[ "$(find rootfs/proc -type l | wc -l)" = 41 ]
}
