#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `exec`: one more process, as it was asked for, and its status.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	long_lived e
}

@test "its streams and status: 0, 5, a signal, not found, not executable" {
	need_operation exec "$ID" true
	[ "$status" -eq 0 ]
	[ "$(echo in | oci exec "$ID" cat)" = in ]
	run --separate-stderr oci exec "$ID" sh -c 'echo out; echo err >&2; exit 5'
	[ "$status" -eq 5 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
	run -137 oci exec "$ID" sh -c 'kill -KILL $$'
	run -127 oci exec "$ID" no-such-program
	run -126 oci exec "$ID" /etc/passwd
	is "$ID" running
}

@test "folder, variables, user, groups, capabilities, no_new_privs, options after the command" {
	need_operation exec "$ID" true
	[ "$(oci exec --cwd /etc "$ID" pwd)" = /etc ]
	[ "$(oci exec -e A=1 --env B=2 "$ID" sh -c 'echo $A$B')" = 12 ]
	[ "$(oci exec -u 5:6 "$ID" id -u)" = 5 ]
	[ "$(oci exec -u 5:6 "$ID" id -g)" = 6 ]
	[ "$(oci exec "$ID" echo -e x --cwd y)" = "x --cwd y" ]
	local before after
	before=$(oci exec "$ID" sed -n 's/^CapEff:\s*//p' /proc/self/status)
	after=$(oci exec -c CAP_NET_RAW "$ID" sed -n 's/^CapEff:\s*//p' /proc/self/status)
	[ $((16#$after & ~16#$before)) -eq $((1 << 13)) ]
	fails "--cwd" oci exec --cwd relative "$ID" true
	run oci exec --cap CAP_NOPE "$ID" true # runc: a warning, the capability is not granted
	[ "$status" -eq 0 ] && [[ $output == *"CAP_NOPE"* ]]
	fails "no command" oci exec "$ID"
}

@test "more groups" {
	need_operation exec "$ID" true
	local groups
	groups=$(oci exec -g 7 --additional-gids 8 "$ID" grep ^Groups: /proc/self/status)
	[[ "$groups " == *"7 8 "* ]]
}

@test "a process object in a file; detached with a pid file" {
	need_operation exec "$ID" true
	echo '{ "args": ["sh", "-c", "echo $X; pwd; id -u; exit 9"], "cwd": "/tmp", "env": ["PATH=/bin", "X=y"],
		"user": { "uid": 3, "gid": 4 } }' > "$BATS_TEST_TMPDIR/p.json"
	run -9 oci exec --process "$BATS_TEST_TMPDIR/p.json" "$ID"
	[ "$output" = $'y\n/tmp\n3' ]
	oci exec -d --pid-file "$BATS_TEST_TMPDIR/pid" "$ID" sleep 1000 < /dev/null > /dev/null 2>&1 3>&-
	kill -0 "$(cat "$BATS_TEST_TMPDIR/pid")"
	kill -KILL "$(cat "$BATS_TEST_TMPDIR/pid")"
	run -127 oci exec -d --pid-file "$BATS_TEST_TMPDIR/none" "$ID" no-such-program
	[ ! -e "$BATS_TEST_TMPDIR/none" ]
}

@test "a terminal: its size, what is typed, its end" {
	need_operation exec "$ID" true
	local program=$BIVALVE
	! is_vm || program=$BUILD/bivalve-vm
	run "$TESTS/integration/lib/terminal.py" "$program" exec -t "$ID" sh -c 'stty size; read x; echo "got $x"; exit 4' <<-END
		expect 40 100
		type hello
		expect got hello
	END
	[ "$status" -eq 4 ]
	fails console-socket oci exec -d -t "$ID" true
}

@test "what is over, and what never was" {
	local id=e2-$N
	bundle "$BATS_FILE_TMPDIR/b2"
	create "$id" "$BATS_FILE_TMPDIR/b2"
	oci start "$id"
	eventually is "$id" stopped
	fails "container not running" oci exec "$id" true
	oci delete "$id"
	fails "does not exist" oci exec "$id" true
}
