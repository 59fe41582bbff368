#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The fallback engine's jail seen from outside while a guest runs (vm-backend/qemu_jail.c; what it keeps from a QEMU
# that was broken into is tried in tests/unit/test_qemu_jail.c). vmm.bats is the same for our own VMM.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	SECRET=in-the-environment "$BIVALVE" launch --vm --engine qemu -m 128m --name "look-$$" busybox \
		sh -c 'echo ready; exec sleep 100000' > "$BIVALVE_RUN/look.out" 2> "$BIVALVE_RUN/look.err" < /dev/null 3>&- &
	export LOOK_PID=$! LOOK=look-$$
	eventually grep -q ready "$BIVALVE_RUN/look.out"
	VMM=$(jq .vmm_pid "$BIVALVE_RUN/$LOOK/state.json")
	export VMM
}

teardown_file() {
	"$BIVALVE" kill "$LOOK" KILL || kill -KILL "$LOOK_PID" || true
	eventually nothing_left "$LOOK"
	common_teardown_file
}

# field NAME: of the status of each thread, one line each
field() {
	cat /proc/"$VMM"/task/*/status | awk -v name="$1:" '$1 == name { $1 = ""; print substr($0, 2) }'
}

@test "every thread filtered, without new privileges, with no capability but to read" {
	local name
	[ "$(field Seccomp | wc -l)" -ge 2 ] # the main one, a processor
	[ "$(field Seccomp | sort -u)" = 2 ]
	[ "$(field NoNewPrivs | sort -u)" = 1 ]
	for name in CapPrm CapEff CapBnd; do # CAP_DAC_READ_SEARCH at most
		[ "$(( 0x$(field $name | sort -u) & ~4 ))" -eq 0 ] || [ "$(id -u)" -ne 0 ] || { echo "$name: $(field $name)"; return 1; }
	done
	for name in CapInh CapAmb; do
		[ "$(field $name | sort -u)" = 0000000000000000 ] || { echo "$name: $(field $name)"; return 1; }
	done
}

@test "an environment of our own, a session of its own, the control group of the instance" {
	[ "$(tr '\0' ' ' < "/proc/$VMM/environ")" = "LC_ALL=C MALLOC_ARENA_MAX=1 MALLOC_TOP_PAD_=1048576 " ]
	[ "$(cut -d ' ' -f 6 < "/proc/$VMM/stat")" = "$VMM" ]
	grep -q "bivalve-$LOOK\$" "/proc/$VMM/cgroup"
}

@test "only the descriptors that a running machine needs" {
	only_descriptors "$VMM" 'anon_inode:(\[(eventfd|eventpoll|signalfd|timerfd|io_uring)\]|kvm-.*)|socket:.*|pipe:.*|/dev/(null|kvm)|/memfd:.*'
}

@test "no files of the host that are writable are mapped" {
	# r-x and r-- of its program and libraries are all that is mapped of files; the guest's memory is anonymous
	run awk '$6 ~ "^/" && $2 ~ /w.s/ { print }' "/proc/$VMM/maps"
	[ -z "$output" ]
}
