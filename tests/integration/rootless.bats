#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Without root: an ordinary user with nothing but the programs and folders of their own.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	[ "$(id -u)" -eq 0 ] || need root "becoming an ordinary user takes root"
	local parent=/tmp
	[ -z "${LAB:-}" ] || parent=/run
	USER_HOME=$(mktemp -d $parent/bivalve-user.XXXXXX)
	chmod 755 "$USER_HOME"
	scripts=$TESTS/../scripts
	"$scripts/busybox-root" "$USER_HOME/root"
	cp "$BUILD"/bivalve "$BUILD"/bivalve-image "$BUILD"/bivalve-guest "$USER_HOME"
	mkdir "$USER_HOME/home"
	chown 1000:1000 "$USER_HOME/home"
	export USER_HOME
	as_user image import "$USER_HOME/root" busybox
}

teardown_file() {
	rm -rf "$USER_HOME"
	common_teardown_file
}

setup() {
	[ -z "${LAB:-}" ] || [[ "$BATS_TEST_DESCRIPTION" == *"on a microVM"* ]] || skip "done on the host: the lab is slow"
}

# What a login gives, and none of the tests' own folders.
as_user() {
	setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all env -i PATH="$PATH" HOME="$USER_HOME/home" \
		BIVALVE_RUN="$USER_HOME/home/run" BIVALVE_ENGINE="${BIVALVE_TEST_ENGINE:-auto}" "$USER_HOME/bivalve" "$@"
}

@test "a container without root: root inside, nobody outside" {
	run as_user launch busybox sh -c 'id -u; touch /new && echo written; cat /proc/self/uid_map; grep ^Cap /proc/self/status'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	[ "${lines[1]}" = written ]
	[[ "${lines[2]}" == *1000*1 ]]
	[ "$(cut -f2 <<< "${output#*CapInh}" | tr '\n' ' ')" = \
		"0000000000000000 00000000800405fb 00000000800405fb 00000000800405fb 0000000000000000 " ]
}

@test "without root the bound on processes still binds" {
	run as_user launch busybox sh -c 'ulimit -u; ulimit -u 10; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 300 & done'
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = 2048 ]
	[[ "$output" == *fork* ]]
}

@test "without root and without control groups a memory limit is refused by name in the container" {
	run as_user launch -m 64m busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *memory* ]]
}

# What a VM needs in the user's own store.
need_vm() {
	"$BIVALVE" doctor --json | jq -e .vm > /dev/null || need vm "no engine can run a microVM here"
	[ -e "$USER_HOME/kernel" ] && return
	if [ -n "${LAB:-}" ]; then # an import there would be most of the test's time
		mkdir "$USER_HOME/kernel"
		cp -r "$BIVALVE_STORE/kernels/debian-cloud" "$USER_HOME/kernel"
		mv "$USER_HOME/kernel" "$USER_HOME/home/.local/share/bivalve/kernels"
		chown -R 1000:1000 "$USER_HOME/home/.local/share/bivalve/kernels"
		: > "$USER_HOME/kernel"
	else
		cp -r "$BUILD/kernel/debian-cloud" "$USER_HOME/kernel" # where another user can reach it
		as_user kernel import "$USER_HOME/kernel" debian-cloud
	fi
}

# engine_is NAME: the one that was asked for, if one was.
engine_is() {
	echo "engine $1"
	[ "${BIVALVE_TEST_ENGINE:-auto}" = auto ] || [ "$1" = "$BIVALVE_TEST_ENGINE" ]
}

@test "a microVM without root, memory limit and all" {
	need_vm
	run as_user launch --vm --engine "${BIVALVE_TEST_ENGINE:-auto}" --report "$USER_HOME/home/r.json" -m 64m busybox \
		sh -c 'id -u; grep -c . /proc/self/cgroup; grep ^Cap /proc/self/status'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	engine_is "$(jq -r .engine "$USER_HOME/home/r.json")"
	[ "$(cut -f2 <<< "${output#*CapInh}" | tr '\n' ' ')" = \
		"0000000000000000 00000000800405fb 00000000800405fb 00000000800405fb 0000000000000000 " ]
}

@test "the verbs on a microVM of a bundle, without root" {
	need_vm
	local b=$USER_HOME/home/b pid
	mkdir "$b"
	cp -r "$USER_HOME/root" "$b/rootfs"
	chown 1000:1000 "$b"
	as_user spec --rootless -b "$b"
	jq '.process.terminal = false | .root.readonly = false | .linux.namespaces += [{ type: "network" }]
		| .annotations["org.bivalve.backend"] = "vm"
		| .process.args = ["sh", "-c", "touch /made; echo up; while :; do sleep 0.2; done"]' "$b/config.json" > "$b/new"
	mv "$b/new" "$b/config.json"
	chown -R 1000:1000 "$b"
	as_user create -b "$b" rl1 < /dev/null > "$BATS_TEST_TMPDIR/out" 2>&1 3>&-
	as_user start rl1
	eventually grep -qx up "$BATS_TEST_TMPDIR/out"
	[ "$(stat -c %u "$b/rootfs/made")" = 1000 ]
	engine_is "$(jq -r .engine "$USER_HOME/home/run/rl1/state.json")"
	pid=$(as_user state rl1 | jq .pid)
	[ "$(stat -c %u "/proc/$pid")" = 1000 ]
	[ "$(as_user exec rl1 sh -c 'id -u; uname -r')" = "0
$(as_user exec rl1 uname -r)" ]
	as_user ps rl1 | grep -q made
	as_user pause rl1
	[ "$(as_user state rl1 | jq -r .status)" = paused ]
	as_user resume rl1
	as_user update --memory 64m rl1
	[ "$(as_user events --stats rl1 | jq .data.memory.usage.limit)" = $((64 << 20)) ]
	as_user delete --force rl1
	run as_user state rl1
	[ "$status" -ne 0 ]
	[ -z "$(ls "$USER_HOME/home/run")" ] # bar the hidden cache of filters
	eventually test ! -e "/proc/$pid"
}
