#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# podman with bivalve as its runtime: what podman promises of a container holds, in either shell.

bats_require_minimum_version 1.5.0
load lib/common
load lib/clients

setup_file() {
	[ "$(id -u)" = 0 ] || need root "podman's storage here needs root"
	need_command podman podman
	need_command conmon conmon
	common_setup_file
	P=/tmp/bivalve-podman.$$ # podman makes an image's name of it: no capitals
	mkdir "$P"
	export P CGROUP=${P##*/}
	make_runtime "$P"
	make_layout_image "$P/layout" bb
	# What an administrator would write (docs/clients.md). The limits: podman's own are higher than some hosts' root may
	# set.
	export CONTAINERS_CONF=$P/containers.conf
	cat > "$CONTAINERS_CONF" <<-END
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		netns = "none"
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		conmon_path = ["$(command -v conmon)"]
		runtime = "${RUNTIME##*/}"
		tmp_dir = "$P/tmp"
		runtime_supports_nocgroup = ["${RUNTIME##*/}"]
		[engine.runtimes]
		${RUNTIME##*/} = ["$RUNTIME"]
	END
	PODMAN="timeout 120 podman --root $P/root --runroot $P/run --storage-driver overlay"
	RUN="$PODMAN run --cgroup-parent /$CGROUP"
	TRY="$RUN --label test" # of one test: removed after it, whatever became of it
	export PODMAN RUN TRY
	$PODMAN tag "$($PODMAN pull -q "oci:$P/layout:bb")" bb
	# One container that lives as long as this file, for all that looks into a running one.
	$RUN -d --name long --env GREETING=hello bb sh -c 'echo up; trap "exit 5" TERM; while :; do sleep 0.2; done'
}

teardown_file() {
	$PODMAN rm -f -a -t 0 >/dev/null 2>&1
	$PODMAN pod rm -f -a -t 0 >/dev/null 2>&1
	# What storage keeps mounted for speed is its own; it goes before the folder.
	eventually no_process_left "$P/"
	umount "$P/root/overlay" 2>/dev/null
	no_mount_left "$P/"
	remove_cgroups "$CGROUP"
	rm -rf "$P"
	common_teardown_file
}

setup() {
	cd "$P" # conmon notes an OOM in the current folder
}

teardown() {
	$PODMAN rm -f -t 0 --filter label=test >/dev/null 2>&1 || true
}

state_of() {
	$PODMAN inspect --format "{{.State.$2}}" "$1"
}
is() {
	[ "$("${@:2}")" = "$1" ]
}

@test "run prints both streams apart, and passes standard input on" {
	run --separate-stderr $TRY --rm bb sh -c 'echo hi; echo oops >&2'
	[ "$status" -eq 0 ]
	[ "$output" = hi ]
	[ "$stderr" = oops ]
	is "2" bash -c "$(declare -f $PODMAN $RUN $TRY); RUN_OPTIONS=(${RUN_OPTIONS[*]})
		printf 'one\ntwo\n' | $TRY --rm -i bb sh -c 'wc -l | tr -d \" \"'"
}

@test "exit codes: 3, a signal's, 125, 126 and 127" {
	run $TRY --rm bb sh -c 'exit 3'
	[ "$status" -eq 3 ]
	run $TRY --rm bb sh -c 'sh -c "kill -KILL \$\$"; exit $?'
	[ "$status" -eq 137 ]
	run $TRY --rm --no-such-flag bb true
	[ "$status" -eq 125 ]
	run $TRY --rm bb /etc/passwd
	[ "$status" -eq 126 ]
	run -127 $TRY --rm bb no-such-command
	[ "$status" -eq 127 ]
	[[ "$output" == *no-such-command* ]]
	run $PODMAN ps -a -q --filter label=test
	[ -z "$output" ]
}

@test "a detached container: state, ps, logs, top" {
	[ "$(state_of long Status)" = running ]
	[ "$(state_of long Running)" = true ]
	local pid
	pid=$(state_of long Pid)
	[ -d "/proc/$pid" ]
	[ "$($PODMAN ps --format '{{.Names}}')" = long ]
	eventually is up $PODMAN logs long
	run $PODMAN top long -o pid,args # with options of ps: by exec
	[[ "$output" == *"trap"* ]]
	[[ "$($PODMAN stats --no-stream --no-reset --format json long | jq -r '.[0].cpu_time')" =~ [1-9] ]]
	is_vm || run $PODMAN top long pid args # a VM's processes are not the host's
	[[ "$output" == *"trap"* ]]
}

@test "exec: output, exit code, environment, folder, user, standard input" {
	run --separate-stderr $PODMAN exec long sh -c 'echo out; echo err >&2; exit 4'
	[ "$status" -eq 4 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
	[ "$($PODMAN exec long sh -c 'echo $GREETING')" = hello ]
	[ "$($PODMAN exec --env GREETING=bye long sh -c 'echo $GREETING')" = bye ]
	[ "$($PODMAN exec --workdir /etc long pwd)" = /etc ]
	[ "$($PODMAN exec --user 1000:50 long id -u)" = 1000 ]
	[ "$($PODMAN exec --user app long id -un)" = app ]
	[ "$(echo typed | $PODMAN exec -i long cat)" = typed ]
	run -127 $PODMAN exec long no-such-command
	[ "$status" -eq 127 ]
	run $PODMAN exec long /etc/passwd
	[ "$status" -eq 126 ]
	run $PODMAN exec long sh -c 'kill -KILL $$'
	[ "$status" -eq 137 ]
}

@test "exec -d runs on after podman has left" {
	$PODMAN exec -d long sh -c 'echo done > /tmp/detached'
	eventually $PODMAN exec long test -s /tmp/detached
}

@test "exec -t: a terminal with a size" {
	run python3 "$TESTS/integration/lib/terminal.py" $PODMAN exec -it long sh <<-'STEPS'
		expect #
		type [ -t 0 ] && echo ter''minal; while [ "$(stty size)" != "40 100" ]; do :; done; echo si''zed
		expect terminal
		expect sized
		expect #
		size 33 77
		type while [ "$(stty size)" != "33 77" ]; do :; done; echo resi''zed
		expect resized
		expect #
		type exit 6
	STEPS
	[ "$status" -eq 6 ]
}

@test "run -it: a terminal, and the exit code" {
	run python3 "$TESTS/integration/lib/terminal.py" $TRY --rm -it bb sh <<-'STEPS'
		expect #
		type [ -t 1 ] && echo ter''minal; stty size
		expect terminal
		expect 40 100
		type exit 7
	STEPS
	[ "$status" -eq 7 ]
}

@test "pause and unpause" {
	$PODMAN pause long
	[ "$(state_of long Status)" = paused ]
	run $PODMAN exec long true
	[ "$status" -ne 0 ]
	$PODMAN unpause long
	[ "$(state_of long Status)" = running ]
	$PODMAN exec long true
}

@test "kill sends the signal; the exit code is the workload's" {
	$TRY -d --name killed bb sh -c 'trap "exit 9" USR1; echo ready; while :; do sleep 0.1; done'
	eventually is ready $PODMAN logs killed
	$PODMAN kill -s USR1 killed
	[ "$($PODMAN wait killed)" = 9 ]
	[ "$(state_of killed Status)" = exited ]
	[ "$(state_of killed ExitCode)" = 9 ]
	$PODMAN start killed
	eventually is "ready
ready" $PODMAN logs killed
	$PODMAN kill killed
	[ "$($PODMAN wait killed)" = 137 ]
	$PODMAN rm killed
	run $PODMAN inspect killed
	[ "$status" -ne 0 ]
}

@test "stop: by the signal within the time, by force after it" {
	$TRY -d --name polite bb sh -c 'trap "exit 11" TERM; echo ready; while :; do sleep 0.1; done'
	$TRY -d --name stubborn bb sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
	eventually is ready $PODMAN logs polite
	eventually is ready $PODMAN logs stubborn
	$PODMAN stop -t 20 polite
	[ "$(state_of polite ExitCode)" = 11 ]
	$PODMAN stop -t 1 stubborn
	[ "$(state_of stubborn ExitCode)" = 137 ]
}

@test "rm refuses a running container; rm -f ends it" {
	$TRY -d --name busy bb sleep 1000
	local pid
	pid=$(state_of busy Pid)
	run $PODMAN rm busy
	[ "$status" -ne 0 ]
	$PODMAN rm -f -t 0 busy
	eventually test ! -e "/proc/$pid"
	run $PODMAN inspect busy
	[ "$status" -ne 0 ]
}

@test "created, then started: init, start -a" {
	$PODMAN create --cgroup-parent "/$CGROUP" --label test --name later bb sh -c 'echo late; exit 8'
	[ "$(state_of later Status)" = created ]
	$PODMAN init later
	[ "$(state_of later Status)" = initialized ]
	run $PODMAN start -a later
	[ "$status" -eq 8 ]
	[ "$output" = late ]
}

@test "environment, folder, user, host name, umask" {
	run $TRY --rm --env A=1 --workdir /etc --user 1000:50 --hostname shellfish --umask 0077 bb \
		sh -c 'echo $A $FROM_IMAGE; pwd; id -u; id -g; hostname; umask'
	[ "$status" -eq 0 ]
	[ "$output" = "1 yes
/etc
1000
50
shellfish
0077" ]
}

@test "volumes: writable and read-only" {
	mkdir "$BATS_TEST_TMPDIR/rw" "$BATS_TEST_TMPDIR/ro"
	echo given > "$BATS_TEST_TMPDIR/ro/file"
	run $TRY --rm -v "$BATS_TEST_TMPDIR/rw:/rw" -v "$BATS_TEST_TMPDIR/ro:/ro:ro" bb \
		sh -c 'cp /ro/file /rw/copy; (echo no > /ro/file) 2>/dev/null || echo refused'
	[ "$status" -eq 0 ]
	[[ "$output" == *refused ]]
	[ "$(cat "$BATS_TEST_TMPDIR/rw/copy")" = given ]
	[ "$(cat "$BATS_TEST_TMPDIR/ro/file")" = given ]
}

@test "--read-only, and a tmpfs in it" {
	run $TRY --rm --read-only --tmpfs /scratch:rw,size=1m bb \
		sh -c 'touch /file 2>/dev/null || echo refused; echo kept > /scratch/f && cat /scratch/f'
	[ "$status" -eq 0 ]
	[ "$output" = "refused
kept" ]
}

@test "capabilities and seccomp: podman's defaults bind" {
	run $TRY --rm bb sh -c 'grep -e CapBnd -e Seccomp: /proc/self/status; mount -t tmpfs none /tmp 2>&1'
	[ "$status" -ne 0 ]
	[[ "$output" == *"Seccomp:"*"2"* ]]
	[[ "$output" == *"ermi"* ]] # permission denied, or not permitted
	run $TRY --rm --cap-drop all --cap-add chown bb grep -e CapBnd -e CapEff /proc/self/status
	[ "$output" = "CapEff:	0000000000000001
CapBnd:	0000000000000001" ]
}

@test "--memory and --pids-limit bind" {
	run $TRY --name hog --memory 64m --memory-swap 64m bb sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'
	[ "$status" -eq 137 ]
	run $TRY --rm --pids-limit 20 bb \
		sh -c 'i=0; while [ $i -lt 40 ]; do sleep 30 & i=$((i+1)); done; echo all forked'
	[[ "$output" != *"all forked"* ]]
	[[ "$output" == *"fork"* ]]
}

limit_of() {
	"$RUNTIME" events --stats "$(state_of_id "$1")" | jq -r .data.memory.usage.limit
}
state_of_id() {
	$PODMAN inspect --format '{{.Id}}' "$1"
}

@test "update changes the limit of a running container" {
	$TRY -d --name shrunk --memory 96m bb sleep 1000
	[ "$(limit_of shrunk)" = $((96 << 20)) ]
	$PODMAN update --memory 64m shrunk
	[ "$(limit_of shrunk)" = $((64 << 20)) ]
}

@test "--init: a reaper is PID 1" {
	need_command catatonit catatonit
	run $TRY --rm --init --init-path "$(command -v catatonit)" bb sh -c 'cat /proc/1/comm; echo $$'
	[ "$status" -eq 0 ]
	[[ "${lines[0]}" == *init* ]]
	[ "${lines[1]}" != 1 ]
}

@test "cp into and out of a running container, its volumes too, and nowhere else" {
	local name=carried-$$
	mkdir "$BATS_TEST_TMPDIR/volume" "$BATS_TEST_TMPDIR/folder"
	$TRY -d --name box -v "$BATS_TEST_TMPDIR/volume:/volume" bb sh -c 'echo made > /tmp/made; ls /tmp; exec sleep 1000'
	eventually is made $PODMAN logs box
	echo carried > "$BATS_TEST_TMPDIR/$name"
	echo deep > "$BATS_TEST_TMPDIR/folder/file"
	$PODMAN cp "$BATS_TEST_TMPDIR/$name" box:/tmp/
	$PODMAN cp "$BATS_TEST_TMPDIR/folder" box:/tmp/
	$PODMAN cp "$BATS_TEST_TMPDIR/$name" box:/volume/
	[ "$($PODMAN exec box cat "/tmp/$name" /tmp/folder/file "/volume/$name")" = "carried
deep
carried" ]
	[ ! -e "/tmp/$name" ]
	[ "$(cat "$BATS_TEST_TMPDIR/volume/$name")" = carried ]
	$PODMAN cp box:/tmp/made "$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = made ]
	# a link of the workload's leads nowhere but into its own root
	echo secret > "$BATS_TEST_TMPDIR/secret"
	$PODMAN exec box ln -s "$BATS_TEST_TMPDIR/secret" /tmp/link
	run $PODMAN cp box:/tmp/link "$BATS_TEST_TMPDIR/leaked"
	[ ! -e "$BATS_TEST_TMPDIR/leaked" ] || [ "$(cat "$BATS_TEST_TMPDIR/leaked")" != secret ]
	$PODMAN rm -f -t 0 box
}

@test "a pod of two shares its namespaces" {
	is_vm && skip "a VM cannot join the namespaces of an infra container: see the next test"
	$PODMAN pod create --name pod --infra-image bb --infra-command "/bin/sleep 1000" --share ipc,uts \
		--cgroup-parent "/$CGROUP" --hostname podhost
	$PODMAN run -d --pod pod --name one bb sleep 1000
	run $PODMAN run --rm --pod pod bb \
		sh -c 'hostname; readlink /proc/self/ns/ipc'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = podhost ]
	[ "${lines[1]}" = "$($PODMAN exec one readlink /proc/self/ns/ipc)" ]
	$PODMAN pod rm -f -t 0 pod
	run $PODMAN ps -aq --filter pod=pod
	[ -z "$output" ]
}

@test "a pod without an infra container" {
	$PODMAN pod create --name apart --infra=false --share none --cgroup-parent "/$CGROUP"
	$PODMAN run -d --pod apart --name two bb sleep 1000
	run $PODMAN run --rm --pod apart bb echo hi
	[ "$status" -eq 0 ]
	[ "$output" = hi ]
	[ "$(state_of two Status)" = running ]
	$PODMAN pod rm -f -t 0 apart
	run $PODMAN ps -aq --filter pod=apart
	[ -z "$output" ]
}

@test "stop of the long one, and nothing is left: no process, mount, state or control group" {
	$PODMAN stop -t 20 long
	[ "$(state_of long ExitCode)" = 5 ]
	$PODMAN rm long
	[ -z "$($PODMAN ps -aq)" ]
	eventually no_process_left "$P/"
	[ -z "$(ls "$P/state" 2>/dev/null)" ]
	no_cgroup_left "$CGROUP*/libpod-" # the parents are podman's
	! grep -F " $P/root/overlay/" /proc/self/mountinfo
}

@test "--cgroups=disabled: no control group on the host, and all ends that ran" {
	run -0 $PODMAN run --name ungrouped --label test --cgroups=disabled bb sh -c 'sleep 1000 & echo hi'
	[ "${lines[-1]}" = hi ]
	no_cgroup_left "$($PODMAN inspect -f '{{.Id}}' ungrouped)"
	run -0 $PODMAN run -d --rm --name ungrouped2 --label test --cgroups=disabled bb sleep 1000
	[ "$($PODMAN exec ungrouped2 echo in)" = in ]
	$PODMAN rm -f -t 0 ungrouped ungrouped2
}
