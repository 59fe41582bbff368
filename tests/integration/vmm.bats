#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Our own VMM, engine kvm: its jail seen from outside while a guest runs, its size, its kernels, its end. Only where
# /dev/kvm can run an ordinary kernel.

bats_require_minimum_version 1.5.0
load lib/common

OWN_KIB_MAX=5120 # of the VMM beside the guest's memory

# One machine serves all tests that only look at it.
setup_file() {
	common_setup_file
	VMM_NO=$("$BIVALVE" doctor --json | jq -r '.checks.kvm | select(.verdict != "ok") | .found')
	export VMM_NO
	[ -z "$VMM_NO" ] || return 0
	SECRET=in-the-environment "$BIVALVE" launch --vm --engine kvm --cpus 2 -m 512m --name "look-$$" busybox \
		sh -c 'nproc; grep MemTotal /proc/meminfo; echo ready; exec sleep 100000' \
		> "$BIVALVE_RUN/look.out" 2> "$BIVALVE_RUN/look.err" < /dev/null 3>&- &
	export LOOK_PID=$! LOOK=look-$$
	eventually grep -q ready "$BIVALVE_RUN/look.out"
	VMM=$(jq .vmm_pid "$BIVALVE_RUN/$LOOK/state.json")
	export VMM
}

teardown_file() {
	[ -z "${LOOK:-}" ] || "$BIVALVE" kill "$LOOK" KILL || kill -KILL "$LOOK_PID" || true
	[ -z "${LOOK:-}" ] || eventually nothing_left "$LOOK"
	common_teardown_file
}

setup() {
	[ -z "$VMM_NO" ] || need kvm "$VMM_NO"
}

# field NAME: of the status of each thread of the VMM, one line each
field() {
	cat /proc/"$VMM"/task/*/status | awk -v name="$1:" '$1 == name { $1 = ""; print substr($0, 2) }'
}

@test "the jail: every thread filtered, without capabilities, identity or new privileges" {
	local name
	[ "$(field Seccomp | wc -l)" -ge 4 ] # the main one, two processors, a disk
	[ "$(field Seccomp | sort -u)" = 2 ]
	[ "$(field NoNewPrivs | sort -u)" = 1 ]
	for name in CapInh CapPrm CapEff CapBnd CapAmb; do
		[ "$(field $name | sort -u)" = 0000000000000000 ] || { echo "$name: $(field $name)"; return 1; }
	done
	for name in Uid Gid; do
		[ "$(field $name | sort -u | wc -l)" -eq 1 ]
		! field $name | tr ' \t' '\n\n' | grep -qx 0
	done
	[ -z "$(field Groups | tr -d ' \n')" ]
}

@test "the jail: a thread for each kind of work, each with one list of system calls, its own" {
	local names
	names=$(cat /proc/"$VMM"/task/*/comm | sed "s/^vmm:$LOOK\$/main/" | cut -c 1-15 | sort | tr '\n' ',')
	[ "$names" = "main,vcpu 0,vcpu 1,vda," ] || { echo "threads: $names"; return 1; }
	# two would be another's on top: filters only add up
	[ "$(field Seccomp_filters | sort -u)" = 1 ] || { field Seccomp_filters; return 1; }
}

@test "the jail: an empty root, no environment, no arguments of others, namespaces of its own" {
	local ns
	[ -z "$(ls -A "/proc/$VMM/root/")" ]
	[ -z "$(ls -A "/proc/$VMM/cwd/")" ]
	[ "$(wc -l < "/proc/$VMM/mountinfo")" -eq 1 ]
	grep -q ' ro,' "/proc/$VMM/mountinfo"
	[ "$(tr -d '\0' < "/proc/$VMM/environ" | wc -c)" -eq 0 ]
	for ns in mnt net ipc uts; do
		[ "$(readlink "/proc/$VMM/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ] || { echo "$ns"; return 1; }
	done
	[ "$(awk 'NR > 2' "/proc/$VMM/net/dev" | grep -vc ' *lo:')" -eq 0 ]
}

@test "the jail: only the descriptors that a running machine needs" {
	only_descriptors "$VMM" 'anon_inode:(\[(eventfd|eventpoll|signalfd|timerfd)\]|kvm-vm|kvm-vcpu:.*)|socket:.*|pipe:.*|.*dev/null'
	grep -q '^Max open files  *0  *0 ' "/proc/$VMM/limits"
	grep -q '^Max core file size  *0  *0 ' "/proc/$VMM/limits"
	grep -q '^Max file size  *0  *0 ' "/proc/$VMM/limits" # it has no disk to write to, and its log is a pipe
	grep -q '^Max msgqueue size  *0  *0 ' "/proc/$VMM/limits"
}

@test "the jail: the control group of the instance, with its limit" {
	grep -q "bivalve-$LOOK\$" "/proc/$VMM/cgroup"
}

@test "the VMM itself is small" {
	local own
	own=$(awk -v ram=$((512 << 20)) '
		function hex(s,   i, n) {
			for (i = 1; i <= length(s); i++)
				n = 16 * n + index("0123456789abcdef", substr(s, i, 1)) - 1
			return n
		}
		/^[0-9a-f]+-[0-9a-f]+ / { split($1, at, "-"); guest = hex(at[2]) - hex(at[1]) >= ram }
		/^Rss:/ && !guest { own += $2 }
		END { print own }' "/proc/$VMM/smaps")
	echo "# VMM's own memory: $own KiB" >&3
	[ "$own" -gt 0 ]
	[ "$own" -le "$OWN_KIB_MAX" ]
}

@test "the guest has the processors and the memory asked for" {
	local kib
	[ "$(head -n 1 "$BIVALVE_RUN/look.out")" -eq 2 ]
	kib=$(awk '/MemTotal/ { print $2 }' "$BIVALVE_RUN/look.out")
	# the workload's 512 MiB and what the guest's kernel takes beside it
	[ "$kib" -ge $((500 << 10)) ]
	[ "$kib" -le $((700 << 10)) ]
}

@test "a VMM that is killed ends the launch with 125 and a line, and nothing is left" {
	local code=0 pid
	"$BIVALVE" launch --vm --engine kvm --name "killed-$$" busybox sh -c 'echo ready; exec sleep 100000' \
		> "$BATS_TEST_TMPDIR/out" 2> "$BATS_TEST_TMPDIR/err" < /dev/null 3>&- &
	pid=$!
	eventually grep -q ready "$BATS_TEST_TMPDIR/out"
	kill -KILL "$(jq .vmm_pid "$BIVALVE_RUN/killed-$$/state.json")"
	wait $pid || code=$?
	cat "$BATS_TEST_TMPDIR/err"
	[ "$code" -eq 125 ]
	[ "$(grep -c '^bivalve: ' "$BATS_TEST_TMPDIR/err")" -eq 1 ]
	grep -q 'the machine ended (by signal 9) under the workload' "$BATS_TEST_TMPDIR/err"
	nothing_left "killed-$$"
}

@test "what is no kernel is refused by name: at its import, and from a store that was tampered with" {
	local store=$BATS_TEST_TMPDIR/store entry file
	head -c 100000 /dev/urandom > "$BATS_TEST_TMPDIR/no-kernel"
	run "$BIVALVE" kernel import "$BATS_TEST_TMPDIR/no-kernel" odd
	[ "$status" -eq 125 ]
	[[ "$output" == *no-kernel*"not a kernel"* ]]
	mkdir "$store"
	for entry in "$BIVALVE_STORE"/*; do
		[ "${entry##*/}" = kernels ] || ln -s "$(realpath "$entry")" "$store/"
	done
	cp -r "$BIVALVE_STORE/kernels" "$store/"
	for file in "$store"/kernels/*/kernel "$store"/kernels/*/vmlinux; do
		[ ! -e "$file" ] || cp "$BATS_TEST_TMPDIR/no-kernel" "$file"
	done
	BIVALVE_STORE=$store run "$BIVALVE" launch --vm --engine kvm busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"not a kernel"*"$store/kernels/"* || "$output" == *"$store/kernels/"*"not a kernel"* ]]
}

@test "an ELF kernel boots, and so does the bzImage that the machine above runs" {
	local kernel
	run "$BUILD/tests/vmboot" -m 64 -t 300 -a "seed=1 rounds=1" "$BUILD/tests/hostile_guest"
	[ "$status" -eq 0 ]
	[[ "$output" == *"still running"* ]]
	kernel=$BIVALVE_STORE/kernels/debian-cloud/kernel
	[ "$(dd if="$kernel" bs=1 skip=514 count=4 2> /dev/null)" = HdrS ]
}
