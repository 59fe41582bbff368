#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# SIGKILL in the middle of create, start and delete: `delete --force` removes all there is, wherever it was. At so many
# system calls of each, evenly spread; `make soak-crash` is at every one.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	export KILL_AT=$BUILD/tests/kill_at
	PROGRAM=$BIVALVE POINTS=${CRASH_POINTS:-40}
	if is_vm; then
		PROGRAM=$BUILD/bivalve-vm POINTS=${CRASH_POINTS:-4}
	fi
	export PROGRAM POINTS
	sh_bundle "$BATS_FILE_TMPDIR/b" 'sleep 1000'
}

teardown_file() {
	oci_teardown_file
}

# kill_at N VERB…: without the test's streams, which the instance would hold.
kill_at() {
	"$KILL_AT" "$1" "$PROGRAM" "${@:2}" < /dev/null 2> /dev/null 3>&-
}

# to_file FILE COMMAND…: its output by a file, not by a pipe that an instance would keep open.
to_file() {
	local file=$1
	shift
	"$@" > "$file"
}

# points TOTAL: which of so many system calls.
points() {
	local i step=$(($1 / POINTS + 1))
	for ((i = 1; i <= $1; i += step)); do echo $i; done
}

# tried VERB: said when it is the soak that asks.
tried() {
	[ -z "${CRASH_POINTS:-}" ] || echo "# $SHELL_UNDER_TEST: $1: killed at $2 of $3 system calls" >&3
}

# No matter what was left: gone, and its name can be used again.
delete_all() {
	run oci delete --force "$1"
	[ "$status" -eq 0 ] || { echo "at $2: delete: $output" >&2; return 1; }
	eventually no_trace "$1" || { echo "at $2" >&2; return 1; }
}

@test "create" {
	local id=x1-$N b=$BATS_FILE_TMPDIR/b total n killed=0
	to_file "$BATS_TEST_TMPDIR/n" kill_at 0 create -b "$b" --pid-file "$BATS_TEST_TMPDIR/pid" "$id"
	total=$(cat "$BATS_TEST_TMPDIR/n")
	[ "$total" -gt 50 ]
	delete_all "$id" whole
	for n in $(points "$total"); do
		to_file /dev/null kill_at "$n" create -b "$b" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" || true
		delete_all "$id" "system call $n of create"
		killed=$((killed + 1))
	done
	tried create "$killed" "$total"
}

@test "a create of the same name takes a dead one's place" {
	local id=x2-$N b=$BATS_FILE_TMPDIR/b total n
	to_file "$BATS_TEST_TMPDIR/n" kill_at 0 create -b "$b" "$id"
	total=$(cat "$BATS_TEST_TMPDIR/n")
	delete_all "$id" whole
	for n in $((total / 2)) $((total * 3 / 4)); do
		to_file /dev/null kill_at "$n" create -b "$b" "$id" || true
		if [ "$(status_of "$id")" != created ]; then
			create "$id" "$b"
			is "$id" created
		fi
		delete_all "$id" "system call $n of create"
	done
}

@test "start" {
	local id=x3-$N b=$BATS_FILE_TMPDIR/b total n killed=0
	create "$id" "$b"
	to_file "$BATS_TEST_TMPDIR/n" kill_at 0 start "$id"
	total=$(cat "$BATS_TEST_TMPDIR/n")
	delete_all "$id" whole
	for n in $(points "$total"); do
		create "$id" "$b"
		to_file /dev/null kill_at "$n" start "$id" || true
		[[ " created running " == *" $(status_of "$id") "* ]]
		delete_all "$id" "system call $n of start"
		killed=$((killed + 1))
	done
	tried start "$killed" "$total"
}

@test "delete" {
	local id=x4-$N b=$BATS_FILE_TMPDIR/b total n killed=0
	create "$id" "$b"
	oci start "$id"
	to_file "$BATS_TEST_TMPDIR/n" kill_at 0 delete --force "$id"
	total=$(cat "$BATS_TEST_TMPDIR/n")
	no_trace "$id"
	for n in $(points "$total"); do
		create "$id" "$b"
		oci start "$id"
		to_file /dev/null kill_at "$n" delete --force "$id" || true
		delete_all "$id" "system call $n of delete"
		killed=$((killed + 1))
	done
	tried delete "$killed" "$total"
}
