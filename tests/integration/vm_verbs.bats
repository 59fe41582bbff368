#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What only the VM shell can get wrong: many processes over one channel, a machine that stands still, limits on two sides.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	is_vm || need vm "for the VM shell alone"
	oci_setup_file
	export ID=vv-$N
	sh_bundle "$BATS_FILE_TMPDIR/b" 'echo ready; while :; do sleep 0.1; echo tick; done'
	create "$ID" "$BATS_FILE_TMPDIR/b"
	oci start "$ID"
	eventually said "$ID" ready
}

teardown_file() {
	oci_teardown_file
}

commands() {
	oci ps -f json "$ID" | jq length
}

# One of many at once: megabytes each way, unchanged.
echo_much() {
	oci exec "$ID" cat < "$BATS_TEST_TMPDIR/much" | cmp - "$BATS_TEST_TMPDIR/much" && : > "$BATS_TEST_TMPDIR/same.$1"
}

@test "eight at once, 10 MB each way" {
	local i
	head -c 10000000 /dev/urandom > "$BATS_TEST_TMPDIR/much"
	for i in 1 2 3 4 5 6 7 8; do echo_much $i 3>&- & done
	wait
	[ "$(ls "$BATS_TEST_TMPDIR"/same.* | wc -l)" -eq 8 ]
}

@test "eight terminals at once" {
	local i
	for i in 1 2 3 4 5 6 7 8; do
		printf 'expect here-%s\ntype echo $((40 + %s))\nexpect %s\ntype exit %s\n' $i $i $((40 + i)) $i |
			"$TESTS/integration/lib/terminal.py" "$BUILD/bivalve-vm" exec -t "$ID" \
				sh -c "echo here-$i; exec sh" > "$BATS_TEST_TMPDIR/t.$i" 3>&- ||
			echo $? > "$BATS_TEST_TMPDIR/status.$i" &
	done
	wait
	for i in 1 2 3 4 5 6 7 8; do
		[ "$(cat "$BATS_TEST_TMPDIR/status.$i")" = $i ] || { cat "$BATS_TEST_TMPDIR/t.$i" >&2; return 1; }
	done
}

sleeps() {
	oci ps "$ID" | grep -q 'sleep 77777'
}

no_sleeps() {
	! sleeps
}

@test "one whose client is killed is killed; its number is free again" {
	local i
	for i in $(seq 70); do # more than there are sessions
		oci exec "$ID" true
	done
	oci_exec exec "$ID" sleep 77777 3>&- &
	local client=$!
	eventually sleeps
	kill -KILL $client
	eventually no_sleeps
}

ticks() {
	grep -c tick "$BATS_FILE_TMPDIR/$ID.out"
}

more_ticks_than() {
	[ "$(ticks)" -gt "$1" ]
}

@test "paused, its process is stopped; then it goes on, with the host's time" {
	local vmm before
	vmm=$(jq .vmm_pid "$BIVALVE_RUN/$ID/state.json")
	oci pause "$ID"
	grep -q '^State:[[:space:]]T' "/proc/$vmm/status"
	before=$(ticks)
	run -0 oci events --stats "$ID"
	oci resume "$ID"
	eventually more_ticks_than "$((before + 3))"
	[ $(($(date +%s) - $(oci exec "$ID" date +%s))) -lt 3 ]
	oci pause "$ID" # what is paused can be ended
	oci kill "$ID" KILL
	eventually is "$ID" stopped
	oci delete "$ID"
	no_trace "$ID"
}

refused() { # refused TEXT JQ
	sh_bundle "$BATS_TEST_TMPDIR/r" true "$2"
	run oci create -b "$BATS_TEST_TMPDIR/r" "vr-$N"
	[ "$status" -ne 0 ]
	[[ $output == *"$1"* ]] || { echo "expected $1, got: $output" >&2; return 1; }
	no_trace "vr-$N"
}

@test "what is the host kernel's to give is refused by name" {
	refused "by path" '.linux.namespaces |= map(if .type == "network" then .path = "/proc/1/ns/net" else . end)'
	refused "hooks.createContainer" '.hooks.createContainer = [{"path": "/bin/true"}]'
	refused "devices" '.linux.devices = [{"path": "/dev/x", "type": "c", "major": 10, "minor": 229}]'
	refused "io_read_bytes" '.linux.resources.blockIO.throttleReadBpsDevice = [{"major": 8, "minor": 0, "rate": 1000}]'
}
