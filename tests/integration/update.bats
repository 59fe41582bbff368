#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `update`: limits of a running instance.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	long_lived u
}

# The quota that the host's scheduler knows: of the container's processes, or of the machine.
host_quota() {
	find /sys/fs/cgroup -path "*$ID*/cpu.cfs_quota_us" -o -path "*$ID*/cpu.max" | head -n 1 | xargs cut -d " " -f 1
}

limit() { oci stats "$ID" | jq ".data.$1"; }

@test "flags and a resources object; what is not named stays; what is wrong changes nothing" {
	need_operation update --pids-limit 50 "$ID"
	[ "$status" -eq 0 ]
	[ "$(limit pids.limit)" = 50 ]
	oci update --memory 64m --memory-swap 64m "$ID"
	[ "$(limit memory.usage.limit)" = $((64 << 20)) ]
	[ "$(limit pids.limit)" = 50 ]
	echo '{ "memory": { "limit": 33554432, "swap": 33554432 }, "pids": { "limit": 60 } }' | oci update -r - "$ID"
	[ "$(limit memory.usage.limit)" = $((32 << 20)) ]
	[ "$(limit pids.limit)" = 60 ]
	oci update --pids-limit -1 --cpu-quota 50000 --cpu-period 100000 --cpu-share 512 "$ID"
	[ "$(limit pids.limit)" = 0 ]
	[ "$(host_quota)" = 50000 ]
	fails "memory" oci update --memory lots "$ID"
	fails "cpu-quota" oci update --cpu-quota many "$ID"
	fails "l3-cache-schema" oci update --l3-cache-schema x "$ID"
	fails "does not exist" oci update --memory 1g nobody
	[ "$(limit memory.usage.limit)" = $((32 << 20)) ]
}
