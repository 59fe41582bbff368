#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest that writes garbage into every virtqueue and register ends its own VM at most. The guest is
# tests/containment/hostile; it needs a /dev/kvm, but none that can run an ordinary kernel.

bats_require_minimum_version 1.5.0
load lib/common

OWN_KIB_MAX=${OWN_KIB_MAX:-5120} # of the VMM beside the guest's memory; a sanitized one needs more

setup_file() {
	common_setup_file
	head -c 1M /dev/urandom > "$BIVALVE_RUN/read-only"
	echo alive > "$BIVALVE_RUN/canary"
	mkdir -p "$BIVALVE_RUN/shared/folder"
	echo seen > "$BIVALVE_RUN/shared/file"
	sleep 100000 3>&- &
	export CANARY_PID=$!
	(cd "$BIVALVE_RUN" && sha256sum read-only canary shared/file > sums)
}

teardown_file() {
	kill "$CANARY_PID" || true
	common_teardown_file
}

setup() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || need kvm "no /dev/kvm that we may open"
	[ -x "$BUILD/tests/vmboot" ] || { echo "no $BUILD/tests/vmboot: make units" >&2; return 1; }
	LOG=$BIVALVE_RUN/log
	head -c 1M /dev/urandom > "$BIVALVE_RUN/writable"
}

# attack "SEED WORDS…" [VMBOOT-OPTION…]: fails unless the VM ended by its guest or with one error of its own, the
# VMM did not crash or grow, and nobody else noticed.
attack() {
	local words=$1 code=0 own
	shift
	timeout -k 5 400 "$BUILD/tests/vmboot" -f -N -v "$BIVALVE_RUN/shared" -m 64 -t "${LIMIT:-360}" -D "$BIVALVE_RUN/read-only" -d "$BIVALVE_RUN/writable" "$@" \
		-a "$words" "$BUILD/tests/hostile_guest" > "$LOG" 2>&1 < /dev/null || code=$?
	grep -a -o 'hostile guest: [a-z0-9 ,]*\|\[vmboot: [a-z].*\|\[event 2 .*' "$LOG" | tr -cd '\n -~'
	case $code in
	0) ;;
	124) [[ "$words" == *end=wild* ]] || { echo "$words: hung"; return 1; } ;; # its processors wait for each other
	1) [ "$(grep -a -c '\[event 2 .*: kvm: ' "$LOG")" -eq 1 ] || { echo "$words: ended without its reason"; return 1; } ;;
	*) echo "$words: vmboot says $code"; return 1 ;;
	esac
	(cd "$BIVALVE_RUN" && sha256sum --quiet -c sums)
	[ "$(stat -c %s "$BIVALVE_RUN/writable")" -eq $((1 << 20)) ]
	kill -0 "$CANARY_PID"
	own=$(grep -a -o "at most [0-9]* KiB" "$LOG" | tr -cd 0-9)
	[ "$own" -gt 0 ]
	[ "$own" -le "$OWN_KIB_MAX" ]
	run pgrep -x vmm:vmboot
	[ "$status" -eq 1 ]
}

# survived SEED: the guest itself got to its end, and the devices' own code was reached
survived() {
	grep -a -q "hostile guest: [0-9]* rounds, seed $1, still running" "$LOG"
	[ "$(grep -a -o '[0-9]* answers' "$LOG" | tr -cd 0-9)" -gt 0 ]
}

@test "garbage in every register and virtqueue: the guest's own end, by a reset" {
	local seed
	for seed in 1 2 3 4; do
		attack "seed=$seed rounds=250"
		survived $seed
	done
	[ "$(grep -a -o '[0-9]* devices broken' "$LOG" | tr -cd 0-9)" -gt 0 ]
}

@test "two processors, one lies while the device reads" {
	attack "seed=5 rounds=150 cpus=2" -c 2
	survived 5
	grep -a -q '2 processors' "$LOG"
}

@test "every port by every width, and a triple fault" {
	attack "seed=6 rounds=5 ports=all end=fault"
	grep -a -q "seed 6, still running" "$LOG"
}

@test "without a serial port there is nothing to see, nor to break" {
	attack "seed=7 rounds=100" -n
}

@test "wild interrupts: whatever becomes of its processors, the VM is all that ends" {
	local seed
	for seed in 8 9; do
		LIMIT=20 attack "seed=$seed rounds=20 cpus=2 end=wild" -c 2
		grep -a -q "hostile guest: 20 rounds, seed $seed, still running" "$LOG" # whether a device answered is chance
	done
}
