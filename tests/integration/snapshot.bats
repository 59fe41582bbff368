#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Saved microVMs: `snapshot save` of one that runs, `launch --from` that goes on from it. For the VM shell alone; what a
# container says is in compare.bats.

bats_require_minimum_version 1.5.0
load lib/common

# One workload counts the lines of its input; it is saved after two of them.
setup_file() {
	common_setup_file
	export SAVED=$BIVALVE_RUN.saved OUT=$BIVALVE_RUN.out
	mkfifo "$BIVALVE_RUN.in"
	"$BIVALVE" launch --vm --engine "${BIVALVE_TEST_ENGINE:-auto}" -i --name "count-$$" busybox sh -c \
		'date +%s > /tmp/began; n=0; while read -r line; do n=$((n + 1)); echo "$n $line"; done; echo wrong >&2; exit 5' \
		< "$BIVALVE_RUN.in" > "$OUT" 2>&1 3>&- &
	local pid=$!
	exec 7> "$BIVALVE_RUN.in"
	printf 'a\nb\n' >&7
	eventually grep -q '^2 b' "$OUT"
	"$BIVALVE" snapshot save "count-$$" "$SAVED"
	printf 'c\n' >&7
	exec 7>&-
	wait "$pid" && ORIGINAL=0 || ORIGINAL=$?
	export ORIGINAL
}

teardown_file() {
	rm -f "$BIVALVE_RUN".in "$BIVALVE_RUN".out "$BIVALVE_RUN".saved*
	common_teardown_file
}

from() {
	"$BIVALVE" launch --from "$@"
}

@test "what was saved runs on as if nothing had been" {
	[ "$ORIGINAL" -eq 5 ]
	[ "$(cat "$OUT")" = "$(printf '1 a\n2 b\n3 c\nwrong')" ]
	[ "$(stat -c %a "$SAVED")" = 600 ]
	[ -z "$(ls "$SAVED".* 2>/dev/null)" ]
}

@test "a launch goes on from it, more than once, with input, output and status of its own" {
	run -5 --separate-stderr from "$SAVED" -i --report "$BIVALVE_RUN/report" <<< $'x\ny'
	[ "$output" = "$(printf '3 x\n4 y')" ]
	[ "$stderr" = wrong ]
	[ "$(jq -r .start "$BIVALVE_RUN/report")" = snapshot ]
	run -5 from "$SAVED" -i <<< z
	[ "${lines[0]}" = "3 z" ]
	run -5 from "$SAVED" # no input: its end
	[ "$output" = wrong ]
	[ -z "$(ls "$BIVALVE_RUN" | grep -v report)" ]
}

@test "kill and exec reach what goes on" {
	local pid
	mkfifo "$BIVALVE_RUN/hold"
	from "$SAVED" -i --name "again-$$" < "$BIVALVE_RUN/hold" > "$BIVALVE_RUN/again" 2>&1 3>&- &
	pid=$!
	exec 7> "$BIVALVE_RUN/hold"
	echo here >&7
	eventually grep -q '^3 here' "$BIVALVE_RUN/again"
	[ "$("$BIVALVE" exec "again-$$" cat /tmp/began | wc -l)" -eq 1 ]
	"$BIVALVE" kill "again-$$" KILL
	wait "$pid" && status=0 || status=$?
	[ "$status" -eq 137 ]
	exec 7>&-
	rm -f "$BIVALVE_RUN"/hold "$BIVALVE_RUN"/again "$BIVALVE_RUN"/report
}

@test "what is in the file is shown, and what is not a saved microVM refused" {
	"$BIVALVE" snapshot inspect "$SAVED" | jq -e '.plan.process.argv[0] == "sh" and .machine.key.vcpus == 1' > /dev/null
	cp "$SAVED" "$SAVED.bad"
	printf X | dd of="$SAVED.bad" bs=1 seek=1000000 conv=notrunc status=none
	run -125 from "$SAVED.bad"
	[[ "$output" == *"$SAVED.bad"*damaged* ]]
	truncate -s 100000 "$SAVED.bad"
	run -125 from "$SAVED.bad"
	[[ "$output" == *"cut off"* ]]
	run -125 from /dev/null
	[[ "$output" == *"/dev/null: not a regular file"* ]]
	run -125 from "$SAVED" busybox
	[[ "$output" == *"--from: busybox"* ]]
	run -125 from "$SAVED" -t
	[[ "$output" == *"without -t"* ]]
	run -125 "$BIVALVE" plan --from "$SAVED"
	[[ "$output" == *"only launch"* ]]
	run -125 "$BIVALVE" snapshot save nobody "$BIVALVE_RUN/x"
	[[ "$output" == *nobody* ]]
	[ ! -e "$BIVALVE_RUN/x" ]
}

@test "another disk is refused by name" {
	local store=$BIVALVE_RUN.saved.store
	mkdir "$store"
	cp -a "$BIVALVE_STORE"/{images,layers,disks,kernels} "$store/"
	for disk in "$store"/disks/*; do
		cp "$disk" "$disk.new"
		printf X | dd of="$disk.new" bs=1 seek=100 conv=notrunc status=none
		mv "$disk.new" "$disk"
	done
	BIVALVE_STORE=$store run -125 from "$SAVED"
	rm -rf "$store"
	[[ "$output" == *"would differ from the saved one in disk"* ]]
}

# What was written since the last sync lies in the guest's memory, the rest on its disk: both are what they were.
@test "a disk for the writes is saved with it, and each copy has one of its own" {
	local in=$BIVALVE_RUN.disk.in out=$BIVALVE_RUN.out.disk saved=$BIVALVE_RUN.saved.disk pid
	mkfifo "$in"
	launch --disk 48m -i --name "disk-$$" busybox sh -c 'head -c 4000000 /dev/urandom > /synced; sync
		head -c 1000000 /dev/urandom > /late; sha256sum /synced /late > /sums; : > /lines
		while read -r line; do echo "$line" >> /lines; sha256sum -c /sums; xargs < /lines; done' < "$in" > "$out" 3>&- &
	pid=$!
	exec 7> "$in"
	echo one >&7
	eventually grep -q '^one' "$out"
	"$BIVALVE" snapshot save "disk-$$" "$saved"
	exec 7>&-
	wait "$pid"
	run -0 from "$saved" -i <<< $'two\nthree'
	[ "${lines[0]}" = "/synced: OK" ]
	[ "${lines[4]}" = "/late: OK" ]
	[ "${lines[5]}" = "one two three" ]
	run -0 from "$saved" -i <<< four
	[ "${lines[2]}" = "one four" ]
	[ "$("$BIVALVE" snapshot inspect "$saved" | jq -r .machine.key.devices)" = "console block:2 rng balloon" ]
	rm -f "$in" "$out" "$saved"
}

@test "two warm starts of a template have each its own random bytes and boot id" {
	local store=$BIVALVE_RUN.saved.store who='head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/boot_id'
	mkdir "$store"
	cp -a "$BIVALVE_STORE"/{images,layers,disks,kernels} "$store/"
	export BIVALVE_STORE=$store
	"$BIVALVE" template create --engine "${BIVALVE_TEST_ENGINE:-auto}" busybox
	launch --start warm busybox sh -c "$who" > "$BIVALVE_RUN.out.1"
	launch --start warm busybox sh -c "$who" > "$BIVALVE_RUN.out.2"
	rm -rf "$store"
	[ "$(wc -l < "$BIVALVE_RUN.out.1")" -eq 2 ]
	[ -z "$(comm -12 <(sort "$BIVALVE_RUN.out.1") <(sort "$BIVALVE_RUN.out.2"))" ]
	rm -f "$BIVALVE_RUN".out.?
}
