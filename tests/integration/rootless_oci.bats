#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The OCI verbs without root: of an ordinary user alone, with subordinate ids, below podman, in a delegated control group.

bats_require_minimum_version 1.5.0
load lib/common
load lib/clients

setup_file() {
	[ "$(id -u)" -eq 0 ] || need root "becoming an ordinary user takes root"
	local parent=/tmp
	[ -z "${LAB:-}" ] || parent=/run
	U=$(mktemp -d $parent/bivalve-user.XXXXXX)
	export U
	mkdir "$U/home" "$U/b" "$U/podman"
	"$TESTS/../scripts/busybox-root" "$U/b/rootfs"
	cp "$BUILD/bivalve" "$U"
	# The user's ids, which the host may not know, for mount namespaces of the tests' own.
	cp /etc/passwd /etc/group "$U"
	getent passwd 1000 > /dev/null || echo "bivalve-test:x:1000:1000::$U/home:/bin/sh" >> "$U/passwd"
	getent group 1000 > /dev/null || echo "bivalve-test:x:1000:" >> "$U/group"
	echo 1000:200000:65536 > "$U/subid"
	: > "$U/nosubid"
	chown -R 1000:1000 "$U"
	chmod 755 "$U"
	user spec --rootless -b "$U/b"
	change '.root.readonly = true | .process.terminal = false | .process.args = ["sleep", "1000"]'
}

teardown_file() {
	local id
	for id in $(user list -q); do user delete --force "$id"; done
	rm -rf "$U"
}

setup() {
	[ -z "${LAB:-}" ] || [[ "$BATS_TEST_DESCRIPTION" == *delegated* ]] || skip "done on the host: the lab is slow"
}

# as_user COMMAND…: as after a login; the files of subordinate ids are $SUBIDS.
as_user() {
	unshare -m sh -c 'for f in passwd group; do mount --bind "$U/$f" /etc/$f; done
		for f in subuid subgid; do mount --bind "$U/$SUBIDS" /etc/$f; done
		exec setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all env -i PATH="${USER_PATH:-$PATH}" \
			HOME="$U/home" XDG_RUNTIME_DIR="$U/home" BIVALVE_STORE="$BIVALVE_STORE" "$@"' sh "$@"
}

export SUBIDS=nosubid

# user VERB…: bivalve, as the user.
user() {
	as_user "$U/bivalve" "$@"
}

# change JQ: the bundle's config.json.
change() {
	jq "$1" "$U/b/config.json" > "$U/new.json"
	cat "$U/new.json" > "$U/b/config.json"
}

# with JQ: another configuration of the bundle, $U/with.json.
with() {
	jq "$1" "$U/b/config.json" > "$U/with.json"
}

# created ID [OPTION…]: without the test's streams, which it would keep.
created() {
	user create -b "$U/b" "${@:2}" "$1" < /dev/null > "$U/home/$1.out" 2> "$U/home/$1.err" 3>&- || { cat "$U/home/$1.err"; return 1; }
}

stopped() {
	[ "$(user state "$1" | jq -r .status)" = stopped ]
}

nothing_left() {
	[ -z "$(user list -q)" ]
	[ -z "$(ls "$U/home/bivalve")" ]
	[ -z "$(our_cgroups "$1")" ]
}

@test "the whole life of an instance, its one id root inside" {
	created "r1-$$" --pid-file "$U/home/pid"
	[ "$(user state "r1-$$" | jq -r .status)" = created ]
	user start "r1-$$"
	[ "$(user state "r1-$$" | jq -r .status)" = running ]
	[ "$(user exec "r1-$$" sh -c 'id -u; tr -s " " < /proc/self/uid_map; cat /proc/self/setgroups')" = "0
 0 1000 1
deny" ]
	user list | grep -q "r1-$$"
	run user delete "r1-$$"
	[ "$status" -ne 0 ]
	[[ "$output" == *"not stopped: running"* ]]
	user kill "r1-$$" KILL
	eventually stopped "r1-$$"
	user delete "r1-$$"
	nothing_left "r1-$$"
	with '.process.args = ["sh", "-c", "exit 7"]'
	run user run -b "$U/b" -f "$U/with.json" "r2-$$"
	[ "$status" -eq 7 ]
	nothing_left "r2-$$"
}

@test "more ids than one's own without anybody to give them: refused by name, nothing made" {
	with '.linux.uidMappings += [{ containerID: 1, hostID: 200000, size: 65536 }]'
	run user run -b "$U/b" -f "$U/with.json" "r3-$$"
	[ "$status" -eq 125 ]
	[[ "$output" == *newuidmap*"not allowed"* ]]
	nothing_left "r3-$$"
	mkdir -p "$U/none"
	ln -sf "$(command -v setpriv)" "$(command -v env)" "$U/none"
	USER_PATH=$U/none run user run -b "$U/b" -f "$U/with.json" "r3-$$"
	[ "$status" -eq 125 ]
	[[ "$output" == *uid_maps*newuidmap*"not in PATH"* ]]
	nothing_left "r3-$$"
}

@test "subordinate ids: users, groups and files of theirs, at run and exec" {
	command -v newuidmap > /dev/null || need uidmap "no newuidmap: apt-get install uidmap"
	export SUBIDS=subid
	with '.linux.uidMappings += [{ containerID: 1, hostID: 200000, size: 65536 }] | .linux.gidMappings = .linux.uidMappings
		| .process.user = { uid: 5, gid: 6, additionalGids: [7, 8] } | .root.readonly = false
		| .process.args = ["sh", "-c", "id; sleep 1000"]'
	chmod 777 "$U/b/rootfs/tmp"
	created "r4-$$" -f "$U/with.json"
	user start "r4-$$"
	eventually grep -qx 'uid=5 gid=6 groups=7,8' "$U/home/r4-$$.out"
	[ "$(user exec -u 9:10 -g 11 "r4-$$" sh -c 'touch /tmp/mine; id -u; id -G')" = "9
10 11" ]
	[ "$(stat -c %u:%g "$U/b/rootfs/tmp/mine")" = 200008:200009 ]
	rm "$U/b/rootfs/tmp/mine"
	run user exec -u 70000 "r4-$$" true
	[ "$status" -ne 0 ]
	user delete --force "r4-$$"
	nothing_left "r4-$$"
}

@test "below podman without root, which is root of a namespace of its own" {
	need_command podman podman
	need_command newuidmap uidmap
	export SUBIDS=subid
	cat > "$U/containers.conf" <<-END
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		tmp_dir = "$U/podman/tmp"
		runtime = "$U/bivalve"
	END
	chmod 644 "$U/containers.conf"
	podman() {
		(cd "$U/home" && as_user env CONTAINERS_CONF="$U/containers.conf" timeout 120 podman --root "$U/podman/root" \
			--runroot "$U/podman/run" --storage-driver vfs "$@" 3>&-)
	}
	tar -C "$U/b/rootfs" -cf "$U/root.tar" .
	podman import -q "$U/root.tar" bb
	run podman run --rm --network none bb sh -c 'id -u; id -g'
	[ "$status" -eq 0 ]
	[ "${lines[-2]}:${lines[-1]}" = 0:0 ]
	podman run -d --name long --network none bb sh -c 'echo up; exec sleep 1000' < /dev/null > /dev/null
	[ "$(podman exec -u 12 long id -u)" = 12 ]
	podman rm -f -t 0 long > /dev/null
	[ -z "$(podman ps -aq)" ]
	as_user env CONTAINERS_CONF="$U/containers.conf" podman --root "$U/podman/root" --runroot "$U/podman/run" \
		unshare rm -rf "$U/podman/root"
}

# What systemd gives a user's session: a group of his own with controllers, and a group in it where his processes are.
delegate() {
	G=/sys/fs/cgroup/bivalve-user-$$
	echo "+memory +pids +cpu" > /sys/fs/cgroup/cgroup.subtree_control
	mkdir -p "$G/session"
	chown 1000:1000 "$G" "$G/cgroup.procs" "$G/cgroup.subtree_control" "$G/cgroup.threads" "$G/session"
	echo "$BASHPID" > "$G/session/cgroup.procs"
}

@test "a delegated control group: limits bind, and what binds them goes" {
	[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || skip "only a pure v2 host delegates: tests/run lab-container"
	with '.linux.resources.memory.limit = 67108864 | .linux.resources.pids.limit = 33
		| .mounts |= map(select(.destination != "/sys/fs/cgroup")) +
			[{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" }]
		| .linux.namespaces |= map(select(.type != "cgroup")) + [{ type: "cgroup" }]'
	(
		delegate
		created "d1-$$" -f "$U/with.json"
		user start "d1-$$"
		[ "$(user exec "d1-$$" cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max)" = "67108864
33" ]
		user update --memory 100663296 "d1-$$"
		[ "$(user exec "d1-$$" cat /sys/fs/cgroup/memory.max)" = 100663296 ]
		user pause "d1-$$"
		[ "$(user state "d1-$$" | jq -r .status)" = paused ]
		user resume "d1-$$"
		user ps -f json "d1-$$" | jq -e 'length == 1'
		user events --stats "d1-$$" | jq -e '.data.memory.usage.limit == 100663296'
		user delete --force "d1-$$"
		nothing_left "d1-$$"
		with '.linux.resources.memory = { limit: 67108864, swap: 67108864 } | .process.args = ["sh", "-c",
			"x=0123456789abcdef; while :; do x=$x$x; done"]'
		run user run -b "$U/b" -f "$U/with.json" "d2-$$"
		[ "$status" -eq 137 ]
		nothing_left "d2-$$"
	)
	rmdir "/sys/fs/cgroup/bivalve-user-$$/session" "/sys/fs/cgroup/bivalve-user-$$"
}
