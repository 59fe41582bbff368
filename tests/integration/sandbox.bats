#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `bivalve sandbox`: a program of the host, its view of the host and what stays of its writes; the same in each shell.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	SANDBOX=$(mktemp -d /var/tmp/bivalve-sandbox.XXXXXX) # a real file system, and not one of the private folders' own
	export SANDBOX
}

teardown_file() {
	rm -rf "$SANDBOX"
	common_teardown_file
}

setup() {
	WORK=$SANDBOX/$BATS_TEST_NUMBER
	mkdir -p "$WORK"
	cd "$WORK"
}

# sandbox [OPTION…] PROGRAM…: in the shell under test.
sandbox() {
	"$BIVALVE" sandbox --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" "$@"
}

@test "the program sees the system, its folder and nothing else; what it writes stays aside" {
	mkdir "$SANDBOX/other"
	echo secret > "$SANDBOX/other/canary"
	echo before > file
	HOME=$SANDBOX/home
	mkdir -p "$HOME/.ssh"
	echo key > "$HOME/.ssh/id"
	run --separate-stderr env HOME="$HOME" "$BIVALVE" sandbox --backend "$SHELL_UNDER_TEST" sh -c "
		pwd; cat file; echo after > file; cat file; rm -f gone; mkdir made
		cat '$SANDBOX/other/canary' '$HOME/.ssh/id' /etc/shadow /etc/ssh/sshd_config
		touch /usr/mine /etc/mine /mine
		ls -A /tmp /home /var '$HOME' 2>&1 | tr '\n' ' '
		echo; grep ^Cap /proc/self/status | sort -k 2 -u
		test -x /usr/bin/env && id -u && test -s /etc/passwd && echo fine"
	echo "$output"; echo "$stderr"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "$WORK" ]
	[ "${lines[1]}" = before ]
	[ "${lines[2]}" = after ]
	[[ "$output" == *fine ]]
	[ "$(grep '^Cap' <<< "$output")" = "CapInh:	0000000000000000" ] # the first of five that are alike
	[[ "$output" != *secret* && "$output" != *key* && "$output" != *root:* ]]
	[ "$(grep -c "Read-only file system" <<< "$stderr")" -eq 3 ]
	[ "$(cat file)" = before ]
	[ ! -e made ]
	[ ! -e /usr/mine ]
}

@test "a program by a relative path, by a link and from elsewhere; standard input and the exit status as usual" {
	mkdir bin
	printf '#!/bin/sh\necho "$0 $*"\nread line\necho "$line"\nls "$(dirname "$0")"\nexit 7\n' > bin/tool
	chmod 755 bin/tool
	ln -s bin/tool tool
	run sandbox ./tool a b <<< input
	echo "$output"
	[ "$status" -eq 7 ]
	[ "${lines[0]}" = "./tool a b" ]
	[ "${lines[1]}" = input ]
	cd /
	run sandbox "$WORK/bin/tool" c <<< more
	echo "$output"
	[ "$status" -eq 7 ]
	[ "$output" = "$WORK/bin/tool c
more
tool" ]
	run -127 sandbox no-such-program
}

@test "--ro shows a folder, --rw lets it be written" {
	mkdir ro rw
	echo text > ro/file
	chmod 600 ro/file
	cd /
	run sandbox --ro "$WORK/ro" --rw "$WORK/rw" sh -c "cat '$WORK/ro/file'; echo x > '$WORK/ro/new' || echo refused
		echo made > '$WORK/rw/file'"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = text ]
	[[ "$output" == *refused ]]
	[ "$(cat "$WORK/rw/file")" = made ]
	[ "$(stat -c %u "$WORK/rw/file")" = "$(id -u)" ]
	run sandbox --ro /nowhere true
	[ "$status" -eq 125 ]
	[[ "$output" == *"--ro /nowhere: No such file"* ]]
	run sandbox --rw /proc true
	[ "$status" -eq 125 ]
	[[ "$output" == *"cannot be shown"* ]]
}

@test "only what is meant to pass of the environment does" {
	export SECRET_TOKEN=abc GIVEN=yes
	run sandbox -e GIVEN sh -c 'echo "[$SECRET_TOKEN] [$GIVEN] [$LANG]"'
	[ "$status" -eq 0 ]
	[ "$output" = "[] [yes] [$LANG]" ]
}

@test "a guest's kernel cannot read what is masked either" {
	is_vm || skip "a container's kernel is the host's"
	# Under a policy with every right the guest's root takes the masks away: the share has nothing behind them.
	run sandbox --policy open -u 0 sh -c 'umount /etc/shadow 2>/dev/null; umount /etc/ssh 2>/dev/null
		wc -c < /etc/shadow; ls -A /etc/ssh | wc -l'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	[ "${lines[1]}" = 0 ]
}

# A tree with one of each, and a script that changes it in every way.
changed_tree() {
	mkdir -p d/sub
	echo 1 > d/f
	echo 2 > d/sub/g
	echo q > removed
	ln -s nowhere l
	SCRIPT='echo new > new; chmod 4755 new; echo 11 >> d/f; rm removed; ln -sf /etc/passwd l; mkdir -p m/n
		echo deep > m/n/o; chmod 700 d; truncate -s 1G sparse; printf "a\033b" > "evil
name"'
}

@test "the changes are listed, kept in a folder and in the report; the files themselves stay as they were" {
	changed_tree
	run sandbox --changes --keep "$SANDBOX/kept" --report "$SANDBOX/r.json" sh -c "$SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"modified  file              5 bytes  $WORK/d/f"* ]]
	[[ "$output" == *"deleted   file                       $WORK/removed"* ]]
	[[ "$output" == *"modified  link                       $WORK/l -> /etc/passwd"* ]]
	[[ "$output" == *"$WORK/evil\\012name"* ]]
	[ "$(cat d/f)" = 1 ]
	[ ! -e new ]
	jq -c '.changes[] | [.change, .type, (.path | ltrimstr("'"$WORK"'/"))]' "$SANDBOX/r.json" | sort > "$SANDBOX/list"
	diff - "$SANDBOX/list" <<- 'E'
		["created","file","evil\nname"]
		["created","file","m/n/o"]
		["created","file","new"]
		["created","file","sparse"]
		["created","folder","m"]
		["created","folder","m/n"]
		["deleted","file","removed"]
		["modified","file","d/f"]
		["modified","folder","d"]
		["modified","link","l"]
	E
	[ "$(jq .changes_known "$SANDBOX/r.json")" = true ]
	K=$SANDBOX/kept/files$WORK
	[ "$(cat "$K/d/f")" = "1
11" ]
	[ "$(stat -c %a "$K/new")" = 755 ]
	[ "$(stat -c %s "$K/sparse")" -eq 1073741824 ]
	[ "$(stat -c %b "$K/sparse")" -lt 100 ]
	[ "$(readlink "$K/l")" = /etc/passwd ]
	[ "$(jq '.changes | length' "$SANDBOX/kept/changes.json")" -eq 10 ]
	run sandbox --keep "$SANDBOX/kept" true
	[ "$status" -eq 125 ]
	[[ "$output" == *"there is something in it"* ]]
	rm -rf "$SANDBOX/kept"
}

@test "--commit applies them, with the owners' files still the owners', unless something was changed meanwhile" {
	changed_tree
	chown 1234:1235 d/f
	chmod 666 d/f
	run sandbox --commit sh -c "$SCRIPT" < /dev/null
	[ "$status" -eq 125 ]
	[[ "$output" == *"--yes"* ]]
	[ ! -e new ]
	run sandbox --commit --yes sh -c "$SCRIPT"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(cat d/f)" = "1
11" ]
	[ "$(stat -c '%u %g %a' d/f)" = "1234 1235 666" ]
	[ "$(stat -c '%u %a' new)" = "$(id -u) 755" ]
	[ "$(stat -c %a d)" = 700 ]
	[ ! -e removed ]
	[ "$(readlink l)" = /etc/passwd ]
	[ "$(cat m/n/o)" = deep ]
	# What somebody else writes while it runs: the program says when it has begun, and waits for its input.
	mkfifo in out
	sandbox --commit --yes sh -c 'echo theirs > new; echo more > m/n/p; echo begun; read x' < in > out 2> err &
	pid=$!
	exec 4> in 5< out
	read -r line <&5
	[ "$line" = begun ]
	echo ours > new
	exec 4>&-
	status=0
	wait "$pid" || status=$?
	exec 5<&-
	cat err
	[ "$status" -eq 125 ]
	grep -q "$WORK/new was changed meanwhile, nothing was applied" err
	[ "$(cat new)" = ours ]
	[ ! -e m/n/p ]
}
