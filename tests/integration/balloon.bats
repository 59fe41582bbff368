#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Memory that a guest no longer uses is the host's again. For the VM shell, with either engine.

bats_require_minimum_version 1.5.0
load lib/common

FILE_MIB=160

# What the machine's process has in memory, in MiB.
resident_mib() {
	awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/$1/status"
}

shrunk_to() {
	[ "$(resident_mib "$1")" -le "$2" ]
}

@test "at least 80% of what a guest frees is given back to the host" {
	local machine full least start
	mkfifo "$BATS_TEST_TMPDIR/go"
	launch_exec --start cold -m 400m --name "balloon-$$" -i busybox sh -c \
		"dd if=/dev/zero of=/tmp/file bs=1M count=$FILE_MIB 2>/dev/null; echo full; read -r go; rm /tmp/file; echo freed; read -r go" \
		> "$BATS_TEST_TMPDIR/out" < "$BATS_TEST_TMPDIR/go" 3>&- &
	exec 4> "$BATS_TEST_TMPDIR/go"
	eventually grep -q full "$BATS_TEST_TMPDIR/out"
	machine=$(jq .vmm_pid "$BIVALVE_RUN/balloon-$$/state.json")
	full=$(resident_mib "$machine")
	echo go >&4
	eventually grep -q freed "$BATS_TEST_TMPDIR/out"
	start=$(date +%s%N)
	least=$((full - FILE_MIB * 8 / 10))
	eventually shrunk_to "$machine" "$least"
	echo "# $full MiB, $FILE_MIB freed, $(resident_mib "$machine") MiB after $((($(date +%s%N) - start) / 1000000)) ms" >&3
	shrunk_to "$machine" "$least"
	echo go >&4
	exec 4>&-
	wait
}
