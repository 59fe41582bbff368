#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Folders and files of the host in the workload (-v): the same in each shell, whoever serves them.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	# The lab's /tmp is a share itself, without all that a file system can do: there the folders are in /run.
	local parent=$BATS_FILE_TMPDIR
	[ -z "${LAB:-}" ] || parent=/run
	VOLUMES=$(mktemp -d "$parent/volumes.XXXXXX")
	chmod 755 "$VOLUMES"
	export VOLUMES
}

teardown_file() {
	rm -rf "$VOLUMES"
	common_teardown_file
}

setup() {
	SRC=$VOLUMES/$BATS_TEST_NUMBER/src
	mkdir -p "$SRC"
}

# in_volume SCRIPT: runs it with the folder at /data; its standard error is shown when the test fails.
in_volume() {
	launch -v "$SRC:/data" busybox sh -c "$1"
}

@test "what is written is on the host, with owner, mode and kind" {
	in_volume 'set -e; cd /data; umask 0
		echo text > file; chmod 640 file; chown 1234:2345 file
		mkdir -m 1777 dir; mkfifo -m 620 fifo; ln -s target link; ln file hard
		echo old > a; echo new > b; mv b a; mkdir gone; rmdir gone; echo x > removed; rm removed
		touch -d @12345 file; chmod 4755 a'
	[ "$(cat "$SRC/file")" = text ]
	[ "$(stat -c '%a %u %g %h %Y' "$SRC/file")" = "640 1234 2345 2 12345" ]
	[ "$(stat -c '%a %F' "$SRC/dir")" = "1777 directory" ]
	[ "$(stat -c '%a %F' "$SRC/fifo")" = "620 fifo" ]
	[ "$(readlink "$SRC/link")" = target ]
	[ "$SRC/file" -ef "$SRC/hard" ]
	[ "$(cat "$SRC/a")" = new ]
	[ "$(stat -c %a "$SRC/a")" = 4755 ]
	[ "$(ls "$SRC" | tr '\n' ' ')" = "a dir fifo file hard link " ]
}

@test "another user of the workload owns what it makes, and is kept from what is not its own" {
	chmod 777 "$SRC"
	echo secret > "$SRC/secret"
	chmod 600 "$SRC/secret"
	run launch -u 4321:1234 -v "$SRC:/data" busybox sh -c 'id -u; echo mine > /data/mine; cat /data/secret'
	echo "$output"
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = 4321 ]
	[[ "$output" == *"ermission denied"* ]]
	[ "$(stat -c '%u %g' "$SRC/mine")" = "4321 1234" ]
}

@test "a read-only volume cannot be written, single files are volumes too" {
	echo one > "$SRC/one"
	echo two > "$SRC/two"
	mkdir "$SRC/dir"
	run launch -v "$SRC/dir:/dir:ro" -v "$SRC/one:/one:ro" -v "$SRC/two:/etc/two" busybox sh -c '
		cat /one /etc/two; echo more >> /etc/two; touch /dir/no; echo no >> /one; rm /dir; mkdir /dir/no; echo end'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]} ${lines[1]}" = "one two" ]
	[ "$(grep -c "Read-only file system" <<< "$output")" -ge 3 ]
	[ "$(cat "$SRC/one")" = one ]
	[ "$(cat "$SRC/two")" = "two
more" ]
	[ -z "$(ls "$SRC/dir")" ]
}

@test "symbolic links lead to the workload's files, never to the host's" {
	echo host > "$VOLUMES/$BATS_TEST_NUMBER/secret"
	ln -s "$VOLUMES/$BATS_TEST_NUMBER/secret" "$SRC/absolute"
	ln -s ../secret "$SRC/relative"
	ln -s ../../../../../../../../etc/inside "$SRC/up"
	run in_volume 'echo guest > /etc/inside; cat /data/up; cat /data/absolute; cat /data/relative; cat /data/../secret;
		ls /data/..; cd /data; cat ../etc/inside'
	echo "$output"
	[ "${lines[0]}" = guest ]
	[ "$(grep -c "No such file" <<< "$output")" -eq 3 ]
	[[ "$output" != *host$'\n'* ]]
}

@test "many files, and names of every kind" {
	(cd "$SRC" && mkdir many && cd many && seq -f 'file-%04.0f' 2000 | xargs touch)
	echo 1 > "$SRC/two
lines"
	echo 2 > "$SRC/naïve ☃"
	run in_volume 'cd /data; ls many | wc -l; find many -type f | sort -u | wc -l; cat "two
lines" "naïve ☃"; echo 3 > "a\b *"; rm many/file-1*; ls many | wc -l'
	echo "$output"
	[ "${lines[*]}" = "2000 2000 1 2 1000" ]
	[ "$(cat "$SRC/a\\b *")" = 3 ]
	[ "$(ls "$SRC/many" | wc -l)" -eq 1000 ]
}

@test "large offsets, holes, and two who append to one file" {
	run in_volume 'cd /data
		echo end | dd of=sparse bs=1 seek=1073741824 conv=notrunc 2>/dev/null
		tail -c 4 sparse
		dd if=/dev/urandom of=random bs=1M count=8 2>/dev/null; md5sum < random
		append() { for i in $(seq 300); do echo "$1 $i"; done >> log; }
		append a & append b & wait
		wc -l < log; sort -u log | wc -l; truncate -s 3 random; wc -c < random'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = end ]
	[ "${lines[2]} ${lines[3]} ${lines[4]}" = "600 600 3" ]
	[ "$(stat -c %s "$SRC/sparse")" -eq 1073741828 ]
	[ "$(stat -c %b "$SRC/sparse")" -lt 1000 ]
	[ "$(sort -u "$SRC/log" | wc -l)" -eq 600 ]
}

@test "a file that is removed on the host stays readable for who has it open" {
	echo still > "$SRC/file"
	launch_exec --name "volume-$$" -v "$SRC:/data" busybox sh -c '
		exec 3< /data/file; touch /data/opened
		while [ ! -e /data/removed ]; do usleep 50000; done
		cat <&3; while [ -e /data/file ]; do usleep 50000; done; echo gone' > "$SRC.out" 2>&1 3>&- &
	pid=$!
	eventually test -e "$SRC/opened"
	rm "$SRC/file"
	touch "$SRC/removed"
	wait "$pid" || true
	cat "$SRC.out"
	[ "$(tr '\n' ' ' < "$SRC.out")" = "still gone " ]
}

@test "what the host changes is seen, and what is mounted below a volume too" {
	[ "$(id -u)" -eq 0 ] || need root "mounting takes root"
	mkdir "$SRC/below"
	mount -t tmpfs tmpfs "$SRC/below"
	echo mounted > "$SRC/below/file"
	echo first > "$SRC/file"
	launch_exec --name "volume-$$" -v "$SRC:/data" busybox sh -c '
		cat /data/below/file /data/file; touch /data/ready
		while [ ! -e /data/go ]; do usleep 50000; done
		while ! grep -q second /data/file; do usleep 50000; done; cat /data/file' > "$SRC.out" 2>&1 3>&- &
	pid=$!
	eventually test -e "$SRC/ready" || { umount "$SRC/below"; return 1; }
	echo second > "$SRC/file"
	touch "$SRC/go"
	wait "$pid" || true
	umount "$SRC/below"
	cat "$SRC.out"
	[ "$(tr '\n' ' ' < "$SRC.out")" = "mounted first second " ]
}

@test "our own VMM that serves a volume reaches it and no other file, with a file server's capabilities alone" {
	is_vm || skip "about the VM shell"
	[ "${BIVALVE_TEST_ENGINE:-}" = kvm ] || skip "about engine kvm"
	local pid vmm tree empty
	echo one > "$SRC/file"
	launch_exec --name "volume-$$" -v "$SRC:/data" -v "$SRC/file:/single:ro" busybox sh -c '
		touch /data/ready; while [ ! -e /data/go ]; do usleep 50000; done' > "$SRC.out" 2>&1 3>&- &
	pid=$!
	eventually test -e "$SRC/ready"
	vmm=$(jq .vmm_pid "$BIVALVE_RUN/volume-$$/state.json")
	tree=$(cd "/proc/$vmm/root/" && echo * && ls 0 && touch no 2>&1 || true)
	echo "$tree"
	empty=$(stat -c '%s %a' "/proc/$vmm/root/empty")
	grep '' "/proc/$vmm/mountinfo"
	awk '/^(Uid|Cap|Seccomp:|NoNewPrivs)/' "/proc/$vmm/status" | tee "$SRC.status"
	touch "$SRC/go"
	wait "$pid"
	[ "$(head -n 1 <<< "$tree")" = "0 1 empty" ] # what covers a masked file: it has no content and no mode but 0444
	[ "$empty" = "0 444" ]
	[[ "$tree" == *"Read-only file system"* ]]
	# chown, dac_override, fowner, fsetid, setgid, setuid, mknod, setfcap
	[ "$(awk '/^Cap(Prm|Eff)/ { print $2 }' "$SRC.status" | sort -u)" = 00000000880000db ]
	[ "$(awk '/^Cap(Bnd|Inh|Amb)/ { print $2 }' "$SRC.status" | sort -u)" = 0000000000000000 ]
	! grep -q '^Uid:.*[[:space:]]0[[:space:]]' "$SRC.status"
	grep -q '^Seccomp:.*2' "$SRC.status"
}

no_server() {
	! pgrep -af "source=$BIVALVE_RUN"
}

@test "nobody who served the files is left" {
	launch --name "volume-$$" -v "$SRC:/data" busybox true
	eventually nothing_left "volume-$$"
	eventually no_server
}
