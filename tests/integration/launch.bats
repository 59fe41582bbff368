#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One image, one policy, two shells: every test here runs in each shell with the same assertions.

bats_require_minimum_version 1.5.0
load lib/common

@test "echo prints, and standard error stays apart" {
	run --separate-stderr launch busybox sh -c 'echo hi; echo oops >&2'
	[ "$status" -eq 0 ]
	[ "$output" = hi ]
	[ "$stderr" = oops ]
}

@test "exit codes of the workload come back: 0, 3, 143" {
	run launch busybox true
	[ "$status" -eq 0 ]
	run launch busybox sh -c 'exit 3'
	[ "$status" -eq 3 ]
	run launch busybox sh -c 'kill -TERM $$'
	[ "$status" -eq 143 ]
}

@test "killed by SIGKILL is 137, and the report names the signal" {
	run launch --report "$BATS_TEST_TMPDIR/r.json" busybox sh -c 'kill -KILL $$'
	[ "$status" -eq 137 ]
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/r.json")" = signaled ]
	[ "$(jq -r .signal "$BATS_TEST_TMPDIR/r.json")" = SIGKILL ]
}

@test "not found is 127, not executable is 126, and the line names the file" {
	run -127 launch busybox no-such-command
	[[ "$output" == *no-such-command* ]]
	run -126 launch busybox /etc/passwd
	[[ "$output" == */etc/passwd* ]]
}

@test "a time-out is 124 and the report says which limit" {
	run launch --timeout 1s --report "$BATS_TEST_TMPDIR/r.json" busybox sleep 1000
	[ "$status" -eq 124 ]
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/r.json")" = timeout ]
	[ "$(jq -r .limit "$BATS_TEST_TMPDIR/r.json")" = wall_time ]
}

@test "random bytes through cat come back identical" {
	local mib=256 before after
	[ -z "${LAB:-}" ] || mib=32 # the lab's processor is emulated twice over
	head -c "${mib}M" /dev/urandom > "$BATS_TEST_TMPDIR/in"
	launch -i busybox cat < "$BATS_TEST_TMPDIR/in" > "$BATS_TEST_TMPDIR/out"
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
	rm -f "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}

@test "the end of standard input is seen; without -i it is empty" {
	run bash -c 'printf "one\ntwo\n" | "$0" "$@"' "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" \
		--engine "${BIVALVE_TEST_ENGINE:-auto}" -i busybox wc -l
	[ "$status" -eq 0 ]
	[ "${output// /}" = 2 ]
	run bash -c 'echo unseen | "$0" "$@"' "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" \
		--engine "${BIVALVE_TEST_ENGINE:-auto}" busybox wc -c
	[ "$status" -eq 0 ]
	[ "${output// /}" = 0 ]
}

@test "a reader that leaves ends the writer" {
	local first
	first=$(launch busybox yes | head -n 1)
	[ "$first" = y ]
}

@test "a closed standard output is no place for files of ours" {
	run bash -c '"$0" "$@" >&-' "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" \
		--engine "${BIVALVE_TEST_ENGINE:-auto}" busybox sh -c 'echo lost; echo kept >&2; exit 7'
	[ "$status" -eq 7 ]
	[ "$output" = kept ]
}

@test "a terminal: its name, its size, resizing, Ctrl-C, exit status" {
	run python3 "$TESTS/integration/lib/terminal.py" "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" \
		--engine "${BIVALVE_TEST_ENGINE:-auto}" -it busybox sh <<-'STEPS'
		expect #
		type tty; stty size
		expect 40 100
		expect #
		size 33 77
		type while [ "$(stty size)" != "33 77" ]; do :; done; echo resi''zed
		expect resized
		expect #
		type trap 'echo cau''ght; exit 9' INT; echo rea''dy; while :; do sleep 1; done
		expect ready
		key 3
		expect caught
	STEPS
	[ "$status" -eq 9 ]
	[[ "$output" == */dev/* ]]
}

@test "uname -r: the container's is the host's, the VM's is its own" {
	run launch busybox uname -r
	[ "$status" -eq 0 ]
	if is_vm; then
		[ "$output" = "$("$BIVALVE" kernel list --json | jq -r '.[0].version')" ]
		[ -n "${LAB:-}" ] || [ "$output" != "$(uname -r)" ] # the lab runs on the same kernel
	else
		[ "$output" = "$(uname -r)" ]
	fi
}

@test "a memory limit kills the hog and the report says so" {
	run launch -m 64m --report "$BATS_TEST_TMPDIR/r.json" busybox \
		sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'
	[ "$status" -eq 137 ]
	[ "$(jq -r .status "$BATS_TEST_TMPDIR/r.json")" = oom ]
	[ "$(jq -r .limit "$BATS_TEST_TMPDIR/r.json")" = memory ]
	[ "$(jq -r .oom_kills "$BATS_TEST_TMPDIR/r.json")" -ge 1 ]
	[ "$(jq -r .peak_memory_bytes "$BATS_TEST_TMPDIR/r.json")" -gt $((30 << 20)) ]
	[ "$(jq -r .peak_memory_bytes "$BATS_TEST_TMPDIR/r.json")" -le $((64 << 20)) ]
}

@test "a pids limit stops a fork bomb and the report counts the refusals" {
	run launch --pids-limit 20 --timeout 10m --report "$BATS_TEST_TMPDIR/r.json" busybox \
		sh -c 'i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i + 1)); done 2>/dev/null; exit 5'
	[ "$status" -ne 0 ]
	[ "$status" -ne 124 ]
	[ "$(jq -r .pids_denied "$BATS_TEST_TMPDIR/r.json")" -ge 1 ]
}

@test "user, environment, working directory, host name and root are as asked" {
	run launch -u app:staff -e COLOR=green -w /somewhere/new --hostname shell --tmpfs /scratch busybox \
		sh -c 'id -u; id -g; echo $COLOR; pwd; hostname; echo $HOME; touch /scratch/x && echo scratch'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 1000 ]
	[ "${lines[1]}" = 50 ]
	[ "${lines[2]}" = green ]
	[ "${lines[3]}" = /somewhere/new ]
	[ "${lines[4]}" = shell ]
	[ "${lines[5]}" = /home/app ]
}

@test "writes go to a layer of their own and are gone next time; --read-only refuses them" {
	run launch busybox sh -c 'echo changed > /etc/passwd && rm /bin/ls && mkdir /new && cat /etc/passwd'
	[ "$status" -eq 0 ]
	[ "$output" = changed ]
	run launch --read-only busybox sh -c 'grep -c root /etc/passwd; ls /bin/ls; touch /new 2>&1'
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" = /bin/ls ]
	[[ "$output" == *[Rr]ead-only* ]]
}

@test "the default policy: few capabilities, masked paths, no mounts, a seccomp filter" {
	run launch busybox sh -c 'grep -E "Cap|Seccomp:|NoNewPrivs" /proc/self/status; wc -c < /proc/kcore;
		mount -t tmpfs none /mnt 2>&1; echo 1 > /proc/sys/kernel/panic; ls /sys/firmware | wc -l;
		cat /proc/self/uid_map; ls /proc | grep -c "^[0-9]"; cat /proc/1/comm'
	for name in Prm Eff Bnd; do
		[[ "$output" == *"Cap$name:	00000000800405fb"* ]]
	done
	[[ "$output" == *"CapInh:	0000000000000000"*"CapAmb:	0000000000000000"* ]]
	[[ "$output" == *"Seccomp:	2"* ]]
	[[ "$output" == *"ermission denied"* || "$output" == *"not permitted"* ]]
	[[ "$output" == *"Read-only file system"* || "$output" == *"nonexistent"* || "$output" == *"can't create"* ]]
}

@test "the workload sees only its own processes and its own network" {
	run launch busybox sh -c 'ls -d /proc/[0-9]* | wc -l; ip -o link | wc -l; ip -o addr show lo | grep -c 127.0.0.1'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" -le 6 ]
	[ "${lines[1]}" -eq 1 ]
	[ "${lines[2]}" -eq 1 ]
}

@test "a signal to the launcher reaches the workload" {
	launch_exec --name "sig-$$" busybox sh -c 'trap "echo got; exit 42" TERM; echo ready; while :; do sleep 1; done' \
		> "$BATS_TEST_TMPDIR/out" &
	local pid=$!
	eventually grep -q ready "$BATS_TEST_TMPDIR/out"
	kill -TERM $pid
	local code=0
	wait $pid || code=$?
	[ "$code" -eq 42 ]
	grep -q got "$BATS_TEST_TMPDIR/out"
	nothing_left "sig-$$"
}

is_running() {
	[ "$("$BIVALVE" list --json | jq -r ".[] | select(.id == \"$1\") | .status")" = running ]
}

@test "list, kill and delete see a running instance" {
	launch_exec --name "live-$$" busybox sh -c 'echo ready; exec sleep 1000' > "$BATS_TEST_TMPDIR/out" &
	local pid=$!
	eventually grep -q ready "$BATS_TEST_TMPDIR/out"
	eventually is_running "live-$$"
	run launch --name "live-$$" busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"live-$$"* ]]
	run "$BIVALVE" delete "live-$$"
	[ "$status" -eq 125 ]
	"$BIVALVE" kill "live-$$" KILL
	local code=0
	wait $pid || code=$?
	[ "$code" -eq 137 ]
	run "$BIVALVE" kill "live-$$"
	[ "$status" -eq 125 ]
	nothing_left "live-$$"
}

@test "launches killed at random moments leave nothing after the next launch" {
	local i pid
	for i in 1 2 3 4 5; do
		launch_exec --name "dead-$$-$i" busybox sleep 1000 > /dev/null 2>&1 &
		pid=$!
		sleep "0.00$((RANDOM % 10))$((RANDOM % 10))"
		kill -KILL $pid
		wait $pid || true
	done
	launch --name "next-$$" busybox true
	eventually nothing_left "dead-$$"
	nothing_left "next-$$"
}

@test "who is left behind ends with the workload, though it writes without end" {
	launch busybox sh -c 'yes & head -c 1000 /dev/zero >&2; exit 3' > /dev/null 2>&1 && return 1
	[ $? -eq 3 ]
}

@test "the report holds the same members in both shells" {
	launch --report "$BATS_TEST_TMPDIR/r.json" busybox sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
	for key in version id backend image digest policy command status exit_code wall_us peak_memory_bytes milestones; do
		jq -e "has(\"$key\")" "$BATS_TEST_TMPDIR/r.json" > /dev/null
	done
	[ "$(jq '.cpu_user_us + .cpu_system_us' "$BATS_TEST_TMPDIR/r.json")" -gt 1000 ]
	[ "$(jq -r '[.milestones[].name] | join(" ")' "$BATS_TEST_TMPDIR/r.json" | grep -c 'spawn.*isolated.*exec.*exit')" -eq 1 ]
	! is_vm || [ "$(jq -r .engine "$BATS_TEST_TMPDIR/r.json")" != null ]
}

# What each engine can tell; what it cannot it names.
@test "the report has the machine as the host sees it" {
	is_vm || skip "the container has no machine"
	launch --report "$BATS_TEST_TMPDIR/r.json" busybox dd if=/dev/urandom of=/tmp/x bs=1M count=8
	jq -e '.machine | (.vcpus | length) >= 1 and .vcpus[0].cpu_us > 1000 and .dirty_bytes > 8388608' "$BATS_TEST_TMPDIR/r.json"
	if [ "$(jq -r .engine "$BATS_TEST_TMPDIR/r.json")" = kvm ]; then
		jq -e '.machine | .not_counted == [] and ([.vcpus[0].exits[] | select(.reason == "mmio")][0].count > 0)
			and ([.queues[].device] | unique | contains(["vda", "console", "rng"]))
			and ([.queues[] | select(.device == "vda")][0] | .requests > 0 and .descriptors > .requests
				and .written_bytes > 100000 and .interrupts > 0 and .notifications > 0)' "$BATS_TEST_TMPDIR/r.json"
	else
		jq -e '.machine | .not_counted == ["exits", "queues", "returned_bytes"] and .disks[0].device == "vda"
			and .disks[0].reads > 0 and .disks[0].read_bytes > 100000' "$BATS_TEST_TMPDIR/r.json"
	fi
}
