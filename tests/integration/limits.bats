#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Limits that bind, and the report that says which one did: the same in each shell.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	LIMITS=$(mktemp -d /var/tmp/bivalve-limits.XXXXXX)
	chmod 755 "$LIMITS"
	export LIMITS
}

teardown_file() {
	rm -rf "$LIMITS"
	common_teardown_file
}

setup() {
	mkdir -p "$LIMITS/$BATS_TEST_NUMBER"
	cd "$LIMITS/$BATS_TEST_NUMBER"
}

sandbox() {
	"$BIVALVE" sandbox --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" --report "$LIMITS/r.json" "$@"
}

verdict() {
	jq -r '"\(.status) \(.limit)"' "$LIMITS/r.json"
}

@test "wall time: a child that outlives its parent dies with it" {
	local seconds=98.$BASHPID$RANDOM
	run sandbox --timeout 300ms --meta meta --policy judge sh -c "(setsid sleep $seconds &); sleep 60"
	echo "$output"
	[ "$status" -eq 124 ]
	[ "$(verdict)" = "timeout wall_time" ]
	grep -qx 'status:TO' meta
	grep -qx 'killed:1' meta
	grep -Eqx 'time-wall:[0-9]+\.[0-9]{3}' meta
	run ! grep -Eq '^(exitcode|exitsig):' meta
	for key in time cg-mem max-rss csw-voluntary csw-forced; do
		grep -Eq "^$key:[0-9.]+\$" meta
	done
	[ "$(jq -r .policy_digest "$LIMITS/r.json")" = "$("$BIVALVE" policy show --digest judge)" ]
	run -1 pgrep -f "sleep $seconds"
}

@test "CPU time: all processes together, and what the report says of it" {
	# The quota is far below what three busy processes get even of a loaded host; a machine's boot has it too.
	run sandbox --cpus "$(is_vm && echo 0.5 || echo 0.2)" --cpu-time 400ms --timeout 120s \
		sh -c 'for i in 1 2 3; do (while :; do :; done) & done; wait'
	echo "$output"
	[ "$status" -eq 124 ]
	[ "$(verdict)" = "timeout cpu_time" ]
	[ "$(jq '.cpu_user_us + .cpu_system_us >= 400000' "$LIMITS/r.json")" = true ]
	jq -e '.cpu_throttled > 0 and .cpu_throttled_us > 0' "$LIMITS/r.json"
}

@test "output: not a byte more passes" {
	sandbox --output-limit 1000 sh -c 'while :; do echo 0123456789; done' > out && status=0 || status=$?
	[ "$status" -eq 137 ]
	[ "$(verdict)" = "limit output" ]
	[ "$(wc -c < out)" -eq 1000 ]
	sandbox --output-limit 1000 sh -c 'echo few; echo err >&2; exit 3' > out 2> err && status=0 || status=$?
	[ "$status" -eq 3 ]
	[ "$(cat out err)" = "few
err" ]
	sandbox -t --output-limit 1000 sh -c 'while :; do echo 0123456789; done' > out < /dev/null && status=0 || status=$?
	[ "$status" -eq 137 ]
	[ "$(verdict)" = "limit output" ]
	[ "$(wc -c < out)" -eq 1000 ]
}

@test "file size, open files, bytes and inodes of what it writes" {
	run sandbox --fsize 600k --nofile 20 --disk 1m --disk-inodes 60 sh -c 'exec 2> /dev/null; ulimit -n
		head -c 700000 /dev/zero > large; echo $?; wc -c < large; rm large
		head -c 500000 /dev/zero > a; head -c 500000 /dev/zero > b; head -c 500000 /dev/zero > c || echo full
		rm a b c; i=0; while [ $i -lt 100 ] && : > f$i; do i=$((i+1)); done; echo "$i files"'
	echo "$output"
	[ "${lines[0]}" = 20 ]
	[ "${lines[1]}" = 153 ]
	[ "${lines[2]}" = 614400 ]
	[ "${lines[3]}" = full ]
	[[ "$output" != *"100 files"* ]]
	run sandbox --fsize 10k sh -c 'exec head -c 20000 /dev/zero > f'
	[ "$status" -eq 153 ]
	[ "$(verdict)" = "signaled file_size" ]
}

@test "memory: an OOM is told apart from a SIGKILL, also for what lies in a tmpfs" {
	run sandbox -m 64m --timeout 240s sh -c 'exec head -c 200000000 /dev/zero > /tmp/f'
	echo "$output"
	[ "$(verdict)" = "oom memory" ]
	run sandbox sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	[ "$(verdict)" = "signaled null" ]
}

@test "a policy's limits bind like the command line's, which wins" {
	cat > policy.json <<- 'E'
		{ "version": 1, "extends": "strict", "limits": { "cpu_time": "60s", "output": "4k", "file_size": "10k",
		  "open_files": 30 }, "disk": { "bytes": "1m", "inodes": 500 } }
	E
	run sandbox --policy ./policy.json --nofile 25 sh -c 'ulimit -n; ulimit -f; yes'
	[ "$status" -eq 137 ]
	[ "$(verdict)" = "limit output" ]
	[ "${lines[0]}" = 25 ]
	[ "${#output}" -ge 4000 ]
}

@test "what cannot bind is refused by name, or let go by --best-effort and named in the report" {
	[ "$SHELL_UNDER_TEST" = container ] || skip "a guest binds its limits itself"
	[ "$(id -u)" -eq 0 ] || skip "needs root, to become somebody without control groups"
	mkdir -m 777 user
	cd user
	as_nobody() {
		setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent BIVALVE_RUN="$PWD/run" \
			XDG_RUNTIME_DIR="$PWD" BIVALVE_STORE="$PWD/store" "$BIVALVE" sandbox --report r.json "$@"
	}
	cp "$BIVALVE" bivalve && BIVALVE=$PWD/bivalve
	run as_nobody true
	echo "$output"
	[ "$status" -eq 125 ]
	[[ "$output" == *"resources.memory"* || "$output" == *memory* ]]
	run as_nobody --best-effort --cpu-time 1s sh -c 'ulimit -t'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = 1 ]
	[[ "$(jq -c .not_bound r.json)" == *'"memory"'*'"cpu_time"'* ]]
}

@test "the summary says how it ended, what it took and where" {
	run sandbox --summary --changes --nofile 25 sh -c 'echo x > made; exit 4'
	echo "$output"
	[ "$status" -eq 4 ]
	[[ "${lines[1]}" =~ ^"bivalve: exit 4; "[0-9.]+" s, CPU "[0-9.]+" s user "[0-9.]+" s system, peak memory "[0-9.]+" MiB"$ ]]
	[[ "${lines[2]}" == "bivalve: $SHELL_UNDER_TEST"*", policy strict; 1 change"* ]]
	run sandbox --summary --output-limit 10 yes
	[[ "$output" == *"bivalve: limit: output; "* ]]
	run sandbox true
	[ -z "$output" ]
}
