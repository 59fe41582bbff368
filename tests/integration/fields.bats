#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Members of config.json that tests/conformance does not ask for: each does what the specification says, or is refused
# by a line that names it. Each test is one table, so that a VM is not started for every line.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

# gives JQ SCRIPT OUTPUT: that configuration, and what the script prints in it.
gives() {
	sh_bundle "$BATS_TEST_TMPDIR/b" "$2" "$1"
	run oci run -b "$BATS_TEST_TMPDIR/b" "f-$N" < /dev/null
	[ "$output" = "$3" ] || { echo "$1: $output, and not $3" >&2; return 1; }
}

# refused JQ FIELD: exit status 125 and one line with the field's name; nothing is left.
refused() {
	sh_bundle "$BATS_TEST_TMPDIR/b" 'echo ran' "$1"
	run oci run -b "$BATS_TEST_TMPDIR/b" "f-$N" < /dev/null
	[ "$status" -eq 125 ] && [ "${#lines[@]}" -eq 1 ] && [[ "$output" == *"$2"* ]] ||
		{ echo "$1: status $status: $output" >&2; return 1; }
	no_trace "f-$N"
}

@test "what is not supported is refused by name" {
	refused '.linux.intelRdt = { closID: "x" }' linux.intelRdt
	refused '.linux.memoryPolicy = { mode: "MPOL_BIND" }' linux.memoryPolicy
	refused '.linux.netDevices = { eth0: {} }' linux.netDevices
	refused '.linux.personality = { domain: "LINUX", flags: ["x"] }' linux.personality.flags
	refused '.vm = { hypervisor: { path: "/x" } }' vm
	refused '.hooks = { preStart: [] }' hooks.preStart
	refused '.process.rlimits = [{ type: "RLIMIT_FOO", soft: 1, hard: 1 }]' 'process.rlimits[0].type'
	refused '.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 9 }' process.ioPriority.priority
	refused '.process.scheduler = { policy: "SCHED_NONE" }' process.scheduler.policy
	refused '.linux.seccomp = { defaultAction: "SCMP_ACT_NONE" }' linux.seccomp.defaultAction
	refused '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", flags: ["NONE"] }' 'linux.seccomp.flags[0]'
	refused '.linux.namespaces += [{ type: "none" }]' 'linux.namespaces[5].type'
	refused '.linux.timeOffsets = { monotonic: { secs: 1 } }' linux.timeOffsets
	refused '.linux.cgroupsPath = "../x"' linux.cgroupsPath
	refused '.mounts += [{ destination: "/mnt", type: "bind", source: "/tmp", options: ["bind", "foo"] }]' foo
}

@test "labels of security modules: set where the kernel has the module, else refused by name" {
	[ -e /sys/module/apparmor/parameters/enabled ] || is_vm || refused '.process.apparmorProfile = "p"' process.apparmorProfile
	! is_vm || refused '.process.apparmorProfile = "p"' process.apparmorProfile
	[ -e /sys/fs/selinux/enforce ] && ! is_vm && skip "this host has SELinux"
	refused '.process.selinuxLabel = "l"' process.selinuxLabel
	refused '.linux.mountLabel = "l"' abel
}

@test "members that nobody knows are no error" {
	gives '.new = { a: 1 } | .linux.new = 1 | .process.new = [] | .process.commandLine = "x" | .windows = {} | .zos = {}
		| .linux.resources.memory = { useHierarchy: true, checkBeforeUpdate: true }' 'echo ok' ok
}

@test "process: priorities, personality, umask" {
	gives '.process.scheduler = { policy: "SCHED_BATCH", nice: 5 } | .process.ioPriority = { class: "IOPRIO_CLASS_IDLE" }
		| .linux.personality = { domain: "LINUX32" } | .process.user.umask = 63 | .process.oomScoreAdj = 77' \
		'cut -d" " -f19,41 /proc/self/stat; ionice -p $$; uname -m; umask; cat /proc/self/oom_score_adj' "5 3
idle
i686
0077
77"
	is_vm || gives '.process.scheduler = { policy: "SCHED_FIFO", priority: 5, flags: ["SCHED_FLAG_RESET_ON_FORK"] }' \
		'cut -d" " -f40,41 /proc/$$/stat' "5 1"
}

# More than a small guest's kernel begins with; the user namespace's root could not raise that.
@test "process: limits of resources are as high as named in a user namespace too, at create and exec" {
	local show='sed -n "s/^Max processes *//p" /proc/self/limits'
	sh_bundle "$BATS_TEST_TMPDIR/b" "$show; exec sleep 1000" '.linux.namespaces += [{ type: "user" }]
		| .linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65536 }] | .linux.gidMappings = .linux.uidMappings
		| .process.rlimits = [{ type: "RLIMIT_NPROC", soft: 20000, hard: 20001 }]'
	oci create -b "$BATS_TEST_TMPDIR/b" "f-$N" < /dev/null > "$BATS_TEST_TMPDIR/out"
	oci start "f-$N"
	run oci exec "f-$N" sh -c "$show"
	oci delete --force "f-$N"
	[[ "$output" =~ ^20000\ +20001\  ]]
	[[ "$(cat "$BATS_TEST_TMPDIR/out")" =~ ^20000\ +20001\  ]]
}

@test "seccomp: every action" {
	local action
	for action in KILL KILL_THREAD KILL_PROCESS TRAP; do
		is_vm && [ $action != KILL_PROCESS ] && continue
		sh_bundle "$BATS_TEST_TMPDIR/b" 'exec uname -s' ".linux.seccomp = { defaultAction: \"SCMP_ACT_ALLOW\",
			syscalls: [{ names: [\"uname\"], action: \"SCMP_ACT_$action\" }] }"
		run oci run -b "$BATS_TEST_TMPDIR/b" "f-$N" < /dev/null
		[ "$status" -eq 159 ] || { echo "$action: $status" >&2; false; } # SIGSYS
	done
	# without a tracer the kernel answers ENOSYS for it
	gives '.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_LOG",
		"SECCOMP_FILTER_FLAG_SPEC_ALLOW"], architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
		syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 18 }, { names: ["rmdir"],
		action: "SCMP_ACT_TRACE" }, { names: ["uname"], action: "SCMP_ACT_LOG" }] }' \
		'mkdir /tmp/x 2>&1 | sed "s/.*: //"; rmdir /tmp/x 2>&1 | sed "s/.*: //"; uname -s' "Invalid cross-device link
Function not implemented
Linux"
}

@test "mounts: recursive options, and owners seen through mappings" {
	is_vm && skip "id-mapped mounts are not served to a VM"
	mkdir "$BATS_TEST_TMPDIR/d" "$BATS_TEST_TMPDIR/d/below"
	chown 5:6 "$BATS_TEST_TMPDIR/d"
	gives '.mounts += [{ destination: "/mnt", type: "tmpfs", source: "t", options: ["rro", "rnosuid", "rnodev", "rnoexec",
		"rnoatime", "rnosymfollow"] }]' 'grep " /mnt " /proc/self/mountinfo | cut -d" " -f6' \
		ro,nosuid,nodev,noexec,noatime,nosymfollow
	gives ".mounts += [{ destination: \"/mnt\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/d\", options: [\"rbind\",
		\"ridmap\"], uidMappings: [{ containerID: 5, hostID: 70, size: 1 }], gidMappings: [{ containerID: 6, hostID: 80,
		size: 1 }] }]" 'stat -c %u:%g /mnt' 70:80
}

@test "namespaces of time and control groups, new and by path" {
	is_vm && refused '.linux.namespaces += [{ type: "time", path: "/proc/1/ns/time" }]' "time by path" && return
	gives '.linux.namespaces += [{ type: "time" }] | .linux.timeOffsets = { monotonic: { secs: 1000000, nanosecs: 5 },
		boottime: { secs: 2000000 } }' 'tr -s " \t" " " < /proc/self/timens_offsets' "monotonic 1000000 5
boottime 2000000 0"
	unshare -C -T sleep 1000 3>&- &
	local other=$!
	eventually sh -c "[ \"\$(readlink /proc/$other/ns/cgroup)\" != \"$(readlink /proc/self/ns/cgroup)\" ] &&
		grep -q sleep /proc/$other/comm"
	gives ".linux.namespaces += [{ type: \"time\", path: \"/proc/$other/ns/time_for_children\" },
		{ type: \"cgroup\", path: \"/proc/$other/ns/cgroup\" }]" 'readlink /proc/self/ns/time; readlink /proc/self/ns/cgroup' \
		"$(readlink "/proc/$other/ns/time_for_children" "/proc/$other/ns/cgroup")"
	kill "$other"
}

@test "processors of executed processes: before they join and in the group" {
	sh_bundle "$BATS_TEST_TMPDIR/b" 'sleep 1000' '.process.execCPUAffinity = { initial: "0", final: "0" }'
	if is_vm; then
		refused '.process.execCPUAffinity = { initial: "0" }' process.execCPUAffinity
		return
	fi
	refused '.process.execCPUAffinity = { final: "1-0" }' process.execCPUAffinity.final
	refused '.process.execCPUAffinity = { initial: "0x1" }' process.execCPUAffinity.initial
	sh_bundle "$BATS_TEST_TMPDIR/b" 'grep Cpus_allowed_list /proc/self/status; sleep 1000' \
		'.process.execCPUAffinity = { initial: "0", final: "0" }'
	create "f-$N" "$BATS_TEST_TMPDIR/b"
	oci start "f-$N"
	eventually grep -q "$(grep Cpus_allowed_list /proc/self/status)" "$BATS_FILE_TMPDIR/f-$N.out" # the first one's are all
	[ "$(oci exec "f-$N" grep Cpus_allowed_list /proc/self/status)" = "Cpus_allowed_list:	0" ]
	jq '.process | .args = ["grep", "Cpus_allowed_list", "/proc/self/status"]' "$BATS_TEST_TMPDIR/b/config.json" > \
		"$BATS_TEST_TMPDIR/p.json"
	[ "$(oci exec -p "$BATS_TEST_TMPDIR/p.json" "f-$N")" = "Cpus_allowed_list:	0" ]
	oci delete --force "f-$N"
}

@test "capabilities: what ambient ones leave to another user than root, with and without no_new_privs" {
	local sets='.process.user = { uid: 1000, gid: 1000 } | .process.capabilities = { bounding: ["CAP_CHOWN", "CAP_KILL",
		"CAP_NET_RAW"], permitted: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_CHOWN"], inheritable: ["CAP_KILL"],
		ambient: ["CAP_KILL"] }'
	local show='echo $(sed -n "s/^Cap...:[[:space:]]*0*\([0-9a-f]\)/\1/p" /proc/self/status)'
	gives "$sets | .process.noNewPrivileges = false" "$show" "20 20 20 2021 20"
	is_vm || gives "$sets | .process.noNewPrivileges = true" "$show" "20 20 20 2021 20"
}
