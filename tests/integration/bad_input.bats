#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input: one clear line that names it, exit status 125, nothing half-made.

bats_require_minimum_version 1.5.0
load lib/common

# refused WORD COMMAND…: exit 125, one line on standard error naming WORD, nothing on standard output, nothing left.
refused() {
	local word=$1
	shift
	run --separate-stderr "$@"
	echo "status $status, output: $output, error: $stderr"
	[ "$status" -eq 125 ]
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ "$stderr" == *"$word"* ]]
	[ -z "$(ls "$BIVALVE_RUN")" ]
}

@test "an image that is not there" {
	refused no-such-image launch no-such-image true
	[[ "$stderr" == *"image import"* ]]
}

@test "an image's name that climbs out of the store" {
	refused "../x" launch ../x true
}

@test "no image, unknown option, unknown command, option without its value" {
	refused image launch
	refused --frobnicate launch --frobnicate busybox true
	refused frobnicate "$BIVALVE" frobnicate
	refused --memory "$BIVALVE" launch --memory
}

@test "values out of range name the option" {
	refused --memory launch -m lots busybox true
	refused --cpus launch --cpus 0 busybox true
	refused --timeout launch --timeout 10 busybox true
	refused --pids-limit launch --pids-limit -3 busybox true
	refused --engine "$BIVALVE" launch --vm --engine warp busybox true
	refused --net launch --net moon busybox true
	refused "instance name" "$BIVALVE" launch --name ../../x busybox true
	refused --workdir launch -w relative busybox true
	refused --volume launch -v nowhere busybox true
}

@test "an unknown policy, an unknown field of one, a wrong type: file, line and key" {
	refused no-such-policy launch --policy no-such-policy busybox true
	printf '{\n  "version": 1,\n  "extends": "default",\n  "colour": "red"\n}\n' > "$BATS_TEST_TMPDIR/p.json"
	refused "p.json:4: colour" launch --policy "$BATS_TEST_TMPDIR/p.json" busybox true
	printf '{ "version": 1,\n "capabilities": 7 }\n' > "$BATS_TEST_TMPDIR/p.json"
	refused "p.json:2: capabilities" launch --policy "$BATS_TEST_TMPDIR/p.json" busybox true
	printf '{ "version": 1,\n "extends": "default"' > "$BATS_TEST_TMPDIR/p.json"
	refused "p.json" launch --policy "$BATS_TEST_TMPDIR/p.json" busybox true
}

@test "a user that the image does not know" {
	run launch --name "user-$$" -u nosuchuser busybox true
	[ "$status" -eq 125 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" == *nosuchuser* ]]
	eventually nothing_left "user-$$"
}

@test "a kernel that is no kernel" {
	head -c 100000 /dev/urandom > "$BATS_TEST_TMPDIR/noise"
	BIVALVE_STORE=$BATS_TEST_TMPDIR/store refused noise "$BIVALVE" kernel import "$BATS_TEST_TMPDIR/noise" noise
	[ -z "$(ls "$BATS_TEST_TMPDIR/store/kernels" 2>/dev/null)" ]
	BIVALVE_STORE=$BATS_TEST_TMPDIR/store refused nowhere "$BIVALVE" kernel import "$BATS_TEST_TMPDIR/nowhere"
}

@test "a kernel that the store does not have" {
	is_vm || skip "the container shell has no guest kernel"
	refused no-such-kernel launch --kernel no-such-kernel busybox true
}

@test "a run-time folder that cannot be made" {
	: > "$BATS_TEST_TMPDIR/file"
	BIVALVE_RUN=$BATS_TEST_TMPDIR/file/run run launch busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"$BATS_TEST_TMPDIR/file"* ]]
}

@test "a report that cannot be written is known before the workload runs" {
	refused /nowhere/r.json launch --report /nowhere/r.json busybox touch "$BATS_TEST_TMPDIR/ran"
}

@test "what a shell cannot do is refused by name" {
	if is_vm; then
		mkfifo "$BATS_TEST_TMPDIR/pipe"
		refused "mounts[0]" launch -v "$BATS_TEST_TMPDIR/pipe:/data" busybox true
		refused network launch --net host busybox true
	else
		skip "the container shell does both"
	fi
}
