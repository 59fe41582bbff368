#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `events` and `stats`: JSON lines in runc's shape.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	long_lived v
}

@test "one line of figures, then one each interval until the end" {
	need_operation events --stats "$ID"
	[ "$status" -eq 0 ]
	jq -e --arg id "$ID" '.type == "stats" and .id == $id and .data.cpu.usage.total > 0 and .data.memory.usage.usage > 0
		and .data.pids.current >= 1 and (.data.blkio | has("ioServiceBytesRecursive"))' <<< "$output"
	! is_vm || jq -e '.data.host.cpu.usage.total > 0 and .data.host.machine.vcpus[0].cpu_us > 0
		and .data.host.machine.dirty_bytes > 0' <<< "$output"
	[ "$(oci stats "$ID" | jq -r .type)" = stats ]
	fails "interval" oci events --interval 5 "$ID"
	oci_exec events --interval 100ms "$ID" > "$BATS_TEST_TMPDIR/lines" 2>&1 3>&- &
	local pid=$!
	eventually eval '[ $(wc -l < "$BATS_TEST_TMPDIR/lines") -ge 3 ]'
	oci kill "$ID" KILL
	wait $pid
	jq -se 'all(.type == "stats")' "$BATS_TEST_TMPDIR/lines"
	fails "container not running" oci events --stats "$ID"
}

@test "an OOM kill is an event" {
	local id=v2-$N b=$BATS_FILE_TMPDIR/b2
	sh_bundle "$b" 'echo ready; while [ ! -e /tmp/go ]; do sleep 0.1; done
		sh -c "exec dd if=/dev/zero of=/dev/null bs=200M count=1"; echo after; sleep 1000' \
		'.linux.resources.memory = { limit: 67108864, swap: 67108864 } | .mounts += [{ destination: "/tmp", type: "tmpfs",
		source: "tmpfs" }]'
	create "$id" "$b"
	oci start "$id"
	eventually said "$id" ready
	need_operation events --stats "$id"
	need_operation exec "$id" true
	oci_exec events --interval 200ms "$id" > "$BATS_TEST_TMPDIR/lines" 2>&1 3>&- &
	eventually [ -s "$BATS_TEST_TMPDIR/lines" ]
	oci exec "$id" touch /tmp/go
	eventually grep -q '"type":"oom"' "$BATS_TEST_TMPDIR/lines"
	oci delete -f "$id"
	wait
}
