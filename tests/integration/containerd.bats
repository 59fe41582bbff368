#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd with bivalve as the runtime of its runc shim: `ctr run` and `ctr task` hold, in either shell. The
# containerd is a private one: its own root, state and socket, and no CRI.

bats_require_minimum_version 1.5.0
load lib/common
load lib/clients

setup_file() {
	[ "$(id -u)" = 0 ] || need root "containerd needs root"
	need_command containerd containerd
	need_command ctr containerd
	common_setup_file
	P=/tmp/bivalve-ctrd.$$
	mkdir "$P"
	export P NS=bivalve-ctrd-$$ IMAGE=localhost/busybox:bb
	make_runtime "$P"
	make_layout_image "$P/layout" bb
	cat > "$P/config.toml" <<-END
		version = 2
		root = "$P/root"
		state = "$P/run"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
		[grpc]
		address = "$P/ctrd.sock"
		[ttrpc]
		address = "$P/ctrd.sock.ttrpc"
	END
	containerd --config "$P/config.toml" --log-level warn > "$P/log" 2>&1 3>&- &
	export CONTAINERD=$!
	# The namespace is also the parent of the control groups.
	CTR="timeout -k 5 40 ctr --address $P/ctrd.sock --namespace $NS"
	RUN="$CTR run --runc-binary $RUNTIME --snapshotter native"
	export CTR RUN
	eventually $CTR version
	tar -C "$P/layout" -cf "$P/layout.tar" .
	$CTR image import --base-name localhost/busybox --snapshotter native "$P/layout.tar"
	$RUN -d --env GREETING=hello "$IMAGE" long sh -c 'echo up; trap "exit 5" TERM; while :; do sleep 0.2; done'
}

teardown_file() {
	local id
	for id in $($CTR container list -q 2>/dev/null); do
		remove "$id" # a failed test's too: what runs on holds the test's streams
	done
	# Only what this file has started: the shims are known by the socket that they were given.
	[ -z "${CONTAINERD:-}" ] || kill "$CONTAINERD" 2>/dev/null
	eventually no_process_left "$P/"
	remove_cgroups "$NS"
	no_mount_left "$P/"
	no_mount_left "/run/containerd/fifo/$P"
	rm -rf "$P"
	common_teardown_file
}

# remove ID: whatever state it is in.
remove() {
	$CTR task kill -s KILL "$1" || true
	$CTR task delete -f "$1" || true
	$CTR container delete "$1" || true
	$CTR snapshot --snapshotter native delete "$1" || true
} >/dev/null 2>&1
# status_of ID: RUNNING, PAUSED, STOPPED, or nothing.
status_of() {
	$CTR task list | awk -v id="$1" '$1 == id { print $3 }'
}
is() {
	[ "$("${@:2}")" = "$1" ]
}

@test "run prints both streams apart, and gives the exit code back" {
	run --separate-stderr $RUN --rm "$IMAGE" streams sh -c 'echo hi; echo oops >&2; exit 3'
	[ "$status" -eq 3 ]
	[ "$output" = hi ]
	[[ "$stderr" == *oops* ]]
	run $RUN --rm "$IMAGE" ok true
	[ "$status" -eq 0 ]
	run $RUN --rm "$IMAGE" signal sh -c 'sh -c "kill -KILL \$\$"; exit $?'
	[ "$status" -eq 137 ]
	$CTR container list -q > "$BATS_TEST_TMPDIR/list"
	[ "$(cat "$BATS_TEST_TMPDIR/list")" = long ]
}

@test "a command that is not there is an error that names it, and nothing is left" {
	run $RUN --rm "$IMAGE" missing no-such-command
	[ "$status" -ne 0 ]
	[[ "$output" == *no-such-command* ]]
	remove missing
	[ -z "$(status_of missing)" ]
}

@test "environment, folder, read-only root" {
	run $RUN --rm --env A=1 --cwd /etc --read-only "$IMAGE" fields \
		sh -c 'echo $A $FROM_IMAGE; pwd; touch /tmp/x 2>/dev/null || echo refused'
	[ "$status" -eq 0 ]
	[ "$output" = "1 yes
/etc
refused" ]
}

@test "mounts: a folder of the host, read-only and not" {
	mkdir "$BATS_TEST_TMPDIR/d"
	echo given > "$BATS_TEST_TMPDIR/d/file"
	run $RUN --rm --mount "type=bind,src=$BATS_TEST_TMPDIR/d,dst=/ro,options=rbind:ro" \
		--mount "type=bind,src=$BATS_TEST_TMPDIR/d,dst=/rw,options=rbind:rw" "$IMAGE" mounts \
		sh -c 'cp /ro/file /rw/copy; (echo no > /ro/file) 2>/dev/null || echo refused'
	[ "$status" -eq 0 ]
	[ "$output" = refused ]
	[ "$(cat "$BATS_TEST_TMPDIR/d/copy")" = given ]
}

@test "a terminal" {
	run python3 "$TESTS/integration/lib/terminal.py" $RUN --rm -t "$IMAGE" terminal sh <<-'STEPS'
		expect #
		type [ -t 1 ] && echo ter''minal; while [ "$(stty size)" != "40 100" ]; do :; done; echo si''zed
		expect terminal
		expect sized
		type exit 7
	STEPS
	[ "$status" -eq 7 ]
}

@test "task list, task ps, and exec: output, exit code, environment, terminal" {
	[ "$(status_of long)" = RUNNING ]
	run $CTR task ps long
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -ge 2 ]
	run --separate-stderr $CTR task exec --exec-id e1 long sh -c 'echo out; echo err >&2; exit 4'
	[ "$status" -eq 4 ]
	[ "$output" = out ]
	[[ "$stderr" == *err* ]]
	[ "$($CTR task exec --exec-id e2 long sh -c 'echo $GREETING')" = hello ]
	[ "$($CTR task exec --exec-id e3 --user 1000:50 --cwd /etc long sh -c 'id -u; pwd')" = "1000
/etc" ]
	run $CTR task exec --exec-id e5 long no-such-command
	[ "$status" -ne 0 ]
	run python3 "$TESTS/integration/lib/terminal.py" $CTR task exec --exec-id e6 -t long sh <<-'STEPS'
		expect #
		type [ -t 1 ] && echo ter''minal
		expect terminal
		type exit 6
	STEPS
	[ "$status" -eq 6 ]
}

@test "pause and resume" {
	$CTR task pause long
	[ "$(status_of long)" = PAUSED ]
	$CTR task resume long
	[ "$(status_of long)" = RUNNING ]
	$CTR task exec --exec-id p1 long true
}

@test "metrics name what the workload uses" {
	run $CTR task metrics --format json long
	[ "$status" -eq 0 ]
	[ "$(jq -r .pids.current <<< "$output")" -ge 1 ]
	[ "$(jq -r '.memory.usage.usage' <<< "$output")" -ge 1 ]
}

@test "the memory limit binds the workload, and the control group has room for no more than its shell needs" {
	local group
	$RUN -d --memory-limit $((64 << 20)) "$IMAGE" limited sleep 1000
	# the shim has its own place for instances
	[ "$("$RUNTIME" --root "/run/containerd/runc/$NS" events --stats limited | jq -r .data.memory.usage.limit)" = \
		$((64 << 20)) ]
	group=$(cat "$(cgroups_named "memory/$NS/limited")/memory.limit_in_bytes")
	if is_vm; then [ "$group" -lt $((1024 << 20)) ]; else [ "$group" = $((64 << 20)) ]; fi
	remove limited
	[ -z "$(status_of limited)" ]
}

@test "kill: a signal, the exit code, delete" {
	$RUN -d "$IMAGE" killed sh -c 'trap "exit 9" USR1; while :; do sleep 0.1; done'
	# The trap may not be set yet: the signal is repeated until it is.
	stopped() {
		$CTR task kill -s USR1 killed >/dev/null 2>&1
		[ "$(status_of killed)" = STOPPED ]
	}
	eventually $CTR task exec --exec-id k1 killed true
	eventually stopped
	run $CTR task delete killed
	[[ "$output" == *9* || "$status" -eq 9 ]]
	$CTR container delete killed
	run $CTR container info killed
	[ "$status" -ne 0 ]
}

@test "a shim that dies takes nothing of the host with it: delete still cleans up" {
	$RUN -d "$IMAGE" orphan sleep 1000
	local pid
	pid=$($CTR task list | awk '$1 == "orphan" { print $2 }')
	kill -KILL "$(pgrep -f -- "-id orphan -address $P/")"
	eventually test ! -e "/proc/$pid"
	remove orphan
	eventually no_cgroup_left "$NS/orphan"
	[ ! -e "/run/containerd/runc/$NS/orphan" ]
}

@test "the end of the long one, and nothing is left: no process, mount, state or control group" {
	$CTR task kill -s TERM long
	eventually is STOPPED status_of long
	run $CTR task delete long
	[[ "$output" == *5* || "$status" -eq 5 ]]
	$CTR container delete long
	eventually no_cgroup_left "$NS/"
	eventually no_mount_left "$P/run"
	no_shim() { ! pgrep -f -- "-address $P/"; }
	eventually no_shim
	[ -z "$(ls -A "/run/containerd/runc/$NS" 2>/dev/null)" ]
	rmdir "/run/containerd/runc/$NS" 2>/dev/null || true
}
