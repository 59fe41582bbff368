#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# compare, plan, doctor, features and help: what a person sees first.

bats_require_minimum_version 1.5.0
load lib/common

has_vm() {
	"$BIVALVE" doctor --json | jq -e .vm > /dev/null || need vm "no engine can run a microVM here"
}

@test "compare runs both shells and finds the same output" {
	has_vm
	run "$BIVALVE" compare busybox sh -c 'echo hello; hostname | wc -c; id -u'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"output equal"*yes* ]]
	[[ "$output" == *"guest kernel entered"* || "$output" == *"agent ready"* ]]
	[[ "$output" == *"engine "* ]]
}

@test "compare --json holds two reports; different output is exit status 1" {
	has_vm
	run --separate-stderr "$BIVALVE" compare --json busybox sh -c 'uname -r; uptime; exit 3'
	[ "$status" -eq 1 ]
	[ "$(jq -r .output_equal <<< "$output")" = false ]
	[ "$(jq -r .container.report.exit_code <<< "$output")" = 3 ]
	[ "$(jq -r .vm.report.exit_code <<< "$output")" = 3 ]
	[ "$(jq -r .vm.report.engine <<< "$output")" != null ]
}

@test "compare without an image is refused once" {
	run "$BIVALVE" compare no-such-image true
	[ "$status" -eq 125 ]
	[ "${#lines[@]}" -eq 1 ]
}

@test "plan prints what would run and makes nothing" {
	"$BIVALVE" plan -m 64m --timeout 10s -e A=b busybox echo hi > "$BATS_TEST_TMPDIR/plan.json"
	[ "$(jq -r '.process.argv | join(" ")' "$BATS_TEST_TMPDIR/plan.json")" = "echo hi" ]
	[ "$(jq -r .resources.memory_bytes "$BATS_TEST_TMPDIR/plan.json")" = 67108864 ]
	[ "$(jq -r .limits.wall_us "$BATS_TEST_TMPDIR/plan.json")" = 10000000 ]
	jq -e '.seccomp | length > 100' "$BATS_TEST_TMPDIR/plan.json" > /dev/null
	[ -z "$(ls "$BIVALVE_RUN")" ]
}

@test "doctor says what works and why not" {
	run "$BIVALVE" doctor
	[ "$status" -eq 0 ]
	[[ "$output" == *"container:"* ]]
	[[ "$output" == *"microVM:"* ]]
	"$BIVALVE" doctor --json | jq -e '.checks.kvm.found | length > 0' > /dev/null
}

@test "features is JSON with both shells" {
	"$BIVALVE" features | jq -e '.container and .vm' > /dev/null
}

@test "a container has no warm start, and says so" {
	run -125 "$BIVALVE" launch --start warm busybox true
	[[ "$output" == *"--start warm: a container"* ]]
	run -0 "$BIVALVE" launch --start cold busybox true
}

@test "a container cannot be saved, and says so" {
	"$BIVALVE" launch --name "kept-$$" busybox sh -c 'echo ready; exec sleep 10000' > "$BIVALVE_RUN/ready" 3>&- &
	local pid=$!
	eventually grep -q ready "$BIVALVE_RUN/ready"
	run -125 "$BIVALVE" snapshot save "kept-$$" "$BIVALVE_RUN/x"
	[[ "$output" == *"kept-$$ is a container"* ]]
	"$BIVALVE" kill "kept-$$" KILL
	wait "$pid" && status=0 || status=$?
	[ "$status" -eq 137 ]
}

@test "every command has a help text on standard output" {
	run --separate-stderr "$BIVALVE" --help
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	for command in launch sandbox compare plan image kernel template snapshot policy list kill delete doctor; do
		[[ "$output" == *"$command"* ]]
		run --separate-stderr "$BIVALVE" "$command" --help
		[ "$status" -eq 0 ]
		[ -z "$stderr" ]
		[[ "$output" == *Usage* || "$output" == *usage* ]]
		run --separate-stderr "$BIVALVE" --help
	done
}

@test "policies built in can be listed, shown, and checked when copied" {
	run "$BIVALVE" policy list
	[[ "$output" == *default* ]]
	[[ "$output" == *strict* ]]
	"$BIVALVE" policy show default > "$BATS_TEST_TMPDIR/mine.json"
	"$BIVALVE" policy check "$BATS_TEST_TMPDIR/mine.json"
}

@test "where no container can run, compare runs the microVM and says what is missing" {
	has_vm
	command -v bwrap > /dev/null || need bwrap "bwrap is not installed"
	# As in an unprivileged container: no capabilities and no new user namespaces.
	run --separate-stderr bwrap --unshare-user --disable-userns --cap-drop ALL --dev-bind / / --proc /proc \
		env BIVALVE_RUN="$BATS_TEST_TMPDIR/run" "$BIVALVE" compare busybox echo hi
	echo "$output"; echo "$stderr"
	[ "$status" -eq 0 ]
	[[ "$output" == *"did not run"* ]]
	[[ "$stderr" == *"container did not run"* ]]
	[[ "$output" == *"engine "* ]]
}

@test "where no microVM can run, compare runs the container and says how to get one" {
	# In a mount namespace of its own nothing is what it was: /dev/kvm and QEMU are empty files.
	run --separate-stderr unshare -m sh -c 'mount -t tmpfs none /mnt && : > /mnt/empty
		[ ! -e /dev/kvm ] || mount --bind /mnt/empty /dev/kvm
		qemu=$(command -v qemu-system-x86_64) && mount --bind /mnt/empty "$(realpath "$qemu")"
		exec "$@"' sh "$BIVALVE" compare busybox echo hi
	echo "$output"; echo "$stderr"
	[ "$status" -eq 0 ]
	[[ "$output" == *"did not run"* ]]
	[[ "$stderr" == *"microVM did not run"* ]]
	[[ "$stderr" == *qemu* ]]
}
