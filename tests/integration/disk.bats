#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The disk for a workload's writes: the same size in each shell, no memory, and gone with the instance.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	DISK=$(mktemp -d /var/tmp/bivalve-disk.XXXXXX)
	chmod 755 "$DISK"
	export DISK
}

teardown_file() {
	rm -rf "$DISK"
	common_teardown_file
}

setup() {
	[ "$SHELL_UNDER_TEST" = vm ] || [ "$(id -u)" -eq 0 ] || skip "a container's disk needs root"
	mkdir -p "$DISK/$BATS_TEST_NUMBER"
	cd "$DISK/$BATS_TEST_NUMBER"
}

launch() {
	"$BIVALVE" launch --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" --report report.json "$@"
}

# What the store's empty disk of this name says of itself: the same file is behind both shells.
of_empty() {
	dumpe2fs -h "$BIVALVE_STORE/scratch/$1.ext4" 2>/dev/null | sed -n "s/^$2: *//p"
}

# Whether a process has a disk of our store open, or a loop device has one, that has no name any more.
left_over() {
	grep -l "^$BIVALVE_STORE/scratch/.*(deleted)" /sys/block/loop*/loop/backing_file 2>/dev/null ||
		find /proc/[0-9]*/fd -lname "$BIVALVE_STORE/scratch/*(deleted)" 2>/dev/null | grep -m1 .
}

@test "bytes and inodes: the same disk in each shell, and what it is for fits" {
	cat > policy.json <<- 'E'
		{ "version": 1, "extends": "default", "disk": { "bytes": "5m", "inodes": 203 } }
	E
	run launch --policy ./policy.json busybox sh -c 'set -- $(stat -f -c "%b %S %d %c" /); echo $(($2 * $1)); echo $4
		head -c 5242880 /dev/zero > /f && echo fits; head -c 40000 /dev/zero >> /f; rm /f
		i=0; while [ $i -lt 500 ] && (: > /f$i); do i=$((i+1)); done 2> /dev/null; echo $i'
	echo "$output"
	[ "$(jq -r '"\(.scratch) \(.scratch_reason)"' report.json)" = "disk null" ]
	local overhead=$(($(of_empty 5242880-203 "Overhead clusters") * 4096))
	[ "${lines[0]}" = $(($(of_empty 5242880-203 "Block count") * 4096 - overhead)) ]
	[ "${lines[1]}" = "$(of_empty 5242880-203 "Inode count")" ]
	[ "${lines[2]}" = fits ]
	[ "${lines[-1]}" -ge 203 ]
	[ "${lines[-1]}" -lt 220 ]
}

@test "what is written to the disk takes no memory" {
	run launch -m 32m --disk 64m --timeout 300s busybox sh -c 'head -c 48000000 /dev/zero > /f && wc -c < /f'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = 48000000 ]
	[ "$(jq -r '"\(.status) \(.oom_kills)"' report.json)" = "exited 0" ]
}

@test "a user namespace, a read-only root, a sandbox: the disk takes what may be written" {
	cat > policy.json <<- 'E'
		{ "version": 1, "extends": "strict", "disk": { "bytes": "4m" } }
	E
	run "$BIVALVE" sandbox --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" --changes \
		--policy ./policy.json sh -c 'head -c 3000000 /dev/zero > kept; head -c 3000000 /dev/zero > more'
	echo "$output"
	[ "$status" -eq 1 ]
	[[ "$output" == *"No space left on device"* ]]
	[[ "$output" == *kept* ]]
	[ ! -e kept ]
	run launch --read-only --disk 4m busybox sh -c '> /f'
	[ "$status" -eq 1 ]
	[ "$(jq -r .scratch report.json)" = null ]
}

@test "nothing of the disk is left, also after a SIGKILL of the launcher" {
	launch --disk 4m busybox sh -c 'echo x > /f'
	eventually eval '! left_over'
	mkfifo out
	launch --name "disk-$$" --disk 4m busybox sh -c 'echo x > /f; sync; echo written; sleep 600' > out 2>&1 3>&- &
	local launcher=$! line
	read -r line < out
	[ "$line" = written ]
	left_over
	kill -KILL "$(jq .supervisor "$BIVALVE_RUN/disk-$$/state.json")"
	wait $launcher || true
	eventually eval '! left_over'
	[ "$(ls "$BIVALVE_STORE/scratch" | grep -vc 'ext4$')" -eq 0 ]
	launch busybox true # sweeps
	[ ! -e "$BIVALVE_RUN/disk-$$" ]
}

@test "without root a container has a tmpfs with the same bounds, and the report says so" {
	[ "$SHELL_UNDER_TEST" = container ] || skip "a guest mounts its disk itself"
	mkdir -m 777 user
	cd user
	cp "$BIVALVE" bivalve
	cat > policy.json <<- 'E'
		{ "version": 1, "extends": "open", "disk": { "bytes": "5m", "inodes": 203 } }
	E
	run setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent BIVALVE_RUN="$PWD/run" \
		XDG_RUNTIME_DIR="$PWD" BIVALVE_STORE="$PWD/store" ./bivalve sandbox --best-effort --policy ./policy.json \
		--report r.json stat -f -c "%T %b %S %c" .
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = "overlayfs 1280 4096 203" ]
	[ "$(jq -r '"\(.scratch), \(.scratch_reason)"' r.json)" = "tmpfs, only root mounts disks" ]
}

@test "a machine's disk survives fsync and SIGKILL of the machine" {
	[ "$SHELL_UNDER_TEST" = vm ] || skip "a container has no machine to kill: its kernel is the host's"
	mkfifo out
	launch --name "fsync-$$" --disk 16m busybox sh -c '
		i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done > /pattern; sync /pattern || fsync /pattern
		sha256sum < /pattern; sleep 600' > out 2>&1 3>&- &
	local launcher=$! sum machine fd disk
	exec {fd}< out
	read -r sum _ <&$fd
	machine=$(jq .vmm_pid "$BIVALVE_RUN/fsync-$$/state.json")
	disk=$(find "/proc/$machine/fd" -lname "$BIVALVE_STORE/scratch/*(deleted)" | head -1)
	exec {disk}< "$disk"
	kill -KILL "$machine"
	wait $launcher || true
	cat <&$disk > disk.img
	exec {disk}<&- {fd}<&-
	# The host never mounts it; this reads it as a file.
	debugfs -R "dump /upper/pattern pattern" disk.img 2>/dev/null
	[ "$(sha256sum < pattern)" = "$sum  -" ]
}

@test "I/O rates bind: bytes a second, from the disk and to it" {
	cat > policy.json <<- 'E'
		{ "version": 1, "extends": "default", "disk": { "bytes": "64m" },
		  "resources": { "io": { "read_bytes": "1m", "write_bytes": "1m" } } }
	E
	local relaxed=()
	[ "$SHELL_UNDER_TEST" = vm ] || relaxed=(--best-effort)
	[ "$("$BIVALVE" plan --backend "$SHELL_UNDER_TEST" --policy ./policy.json busybox true |
		jq '.resources.disk_read_bytes + .resources.disk_write_bytes')" = 2097152 ]
	# A loaded machine is only slower. What is written is waited for, which binds it with control groups v1 too.
	run launch "${relaxed[@]}" --policy ./policy.json --timeout 300s busybox sh -c 'set -e; uptime() { read -r t _ < /proc/uptime; echo "${t%.*}"; }
		b=$(uptime); dd if=/dev/zero of=/f bs=1M count=4 conv=fsync 2> /dev/null; m=$(uptime)
		dd if=/f of=/dev/null bs=64k iflag=direct 2> /dev/null; e=$(uptime); echo $((m-b)) $((e-m))'
	echo "$output"
	[ "$status" -eq 0 ]
	if [ "$(jq -r '.not_bound // [] | index("io") // "bound"' report.json)" = bound ]; then
		local took=($output)
		[ "${took[0]}" -ge 2 ]
		[ "${took[1]}" -ge 2 ]
	fi
	if [ "$(jq -r .engine report.json)" = kvm ]; then # QEMU and the host's kernel do not count them
		jq -e '[.machine.queues[] | select(.throttled > 0 and .throttled_us > 1000000)] | length >= 1' report.json
	fi
}

@test "I/O rates that cannot bind are refused by name, or let go and named in the report" {
	cat > policy.json <<- 'E'
		{ "version": 1, "extends": "default", "resources": { "io": { "read_ops": 0 } } }
	E
	run launch --policy ./policy.json busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"resources.io.read_ops"* ]]
	sed -i 's/"read_ops": 0/"write_bytes": "1m"/' policy.json
	if [ "$SHELL_UNDER_TEST" = vm ]; then
		run launch --policy ./policy.json -v "$PWD:/mnt" busybox true
		[ "$status" -eq 125 ]
		[[ "$output" == *"resources.io: in a VM only disks have a rate"* ]]
	elif [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
		run launch --policy ./policy.json busybox true
		[ "$status" -eq 125 ]
		[[ "$output" == *"resources.io.write_bytes: control groups v1 bind it only for writes that are waited for"* ]]
		run launch --best-effort --policy ./policy.json busybox true
		[ "$status" -eq 0 ]
		[ "$(jq -c .not_bound report.json)" = '["io_buffered_writes"]' ]
	else
		skip "this host's control groups have everything"
	fi
}
