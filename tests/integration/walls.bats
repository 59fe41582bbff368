#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Walls that have others before them: alone, or by what the kernel says of the process, so that one which is missing is
# seen although nothing gets through.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	# An image that users other than root can go into.
	local root=$BATS_FILE_TMPDIR/root
	mkdir -m 755 "$root"
	"$TESTS/../scripts/busybox-root" "$root" > /dev/null
	export IMAGE=walls-$$
	"$BIVALVE" image import "$root" "$IMAGE" > /dev/null
}

teardown_file() {
	"$BIVALVE" image remove "$IMAGE" > /dev/null
	common_teardown_file
}

setup() {
	enter_folder
}

teardown() {
	leave_folder
}

# Tries what only Landlock forbids here, and says what was let through.
ATTEMPTS='exec 2> /dev/shm/errors
	cat /etc/passwd > /dev/null && echo "read what it may"
	cat /etc/group > /dev/null && echo read
	ls /etc > /dev/null && echo listed
	cp /bin/busybox /true && /true && echo executed
	mount -t tmpfs none /tmp && echo mounted
	nc -w 5 127.0.0.1 7 < /dev/null; grep -q refused /dev/shm/errors && echo connected
	cat /dev/shm/errors'

@test "Landlock alone: every right, no filter, a root that takes writes, and yet only what its lists name" {
	cat > with.json <<-'E'
		{ "version": 1, "extends": null, "capabilities": ["ALL"], "seccomp": false,
		  "landlock": { "best_effort": true, "read": ["/bin", "/lib", "/lib64", "/dev", "/proc", "/etc/passwd"],
		    "write": [], "execute": ["/bin", "/lib", "/lib64"], "list": ["/bin"], "connect_tcp": [443] } }
	E
	jq '.landlock = false' with.json > without.json
	if ! is_vm; then # the comparison is the same for both shells
		run launch --policy ./without.json -w / "$IMAGE" sh -c "$ATTEMPTS"
		echo "$output"
		[ "$(head -6 <<< "$output" | tr '\n' ' ')" = "read what it may read listed executed mounted connected " ]
	fi
	run launch --policy ./with.json --report r.json -w / "$IMAGE" sh -c "$ATTEMPTS"
	echo "$output"
	[ "${lines[0]}" = "read what it may" ]
	[[ "$output" == *"/etc/group': Permission denied"* && "$output" == *"/etc': Permission denied"* ]]
	[[ "$output" == *"/true: Permission denied"* && "$output" == *"mount: permission denied"* ]]
	for word in read listed executed mounted; do
		[[ $'\n'"$output"$'\n' != *$'\n'"$word"$'\n'* ]]
	done
	if jq -e '[.milestones[].name] | index("without-landlock-tcp") == null' r.json; then
		[[ "$output" == *"127.0.0.1"*"Permission denied"* ]]
	fi
}

# The five sets as numbers, on one line: inheritable, permitted, effective, bounding, ambient; of PID 1 too.
SETS='for pid in self 1; do
	echo "$pid" $(sed -n "s/^Cap...:[[:space:]]*0*\([0-9a-f]\)/\1/p" /proc/$pid/status); done; exit'

# sets ROOT NAMESPACE NO_NEW_PRIVS AUDIT: what a workload has whose policy grants CAP_CHOWN and CAP_NET_RAW.
sets() {
	local root=$1 options=() expected="self 0 2001 2001 2001 0"
	printf '{ "version": 1, "extends": "strict", "capabilities": ["chown", "net_raw"], "user_namespace": %s, "no_new_privs": %s }' \
		"$2" "$3" > p.json
	[ "$root" = true ] || { options+=(-u 1000); expected="self 0 0 0 2001 0"; } # execve(2) leaves nothing to others
	[ "$4" = false ] || options+=(--audit audit)
	run launch --policy ./p.json "${options[@]}" "$IMAGE" sh -c "$SETS"
	[ "${lines[0]}" = "$expected" ] && [[ "${lines[1]}" =~ ^"1 0 20 20 "[0-9a-f]+" 0"$ ]] ||
		{ echo "root $1, user namespace $2, no_new_privs $3, audit $4: $output, and not $expected" >&2; return 1; }
}

@test "capabilities: each set is the policy's, for root and another user, by each way into the container" {
	[ "$(id -u)" -eq 0 ] || need root "without root there is always a user namespace: rootless.bats"
	sets true true true false
	sets false false false false
	! is_vm || return 0 # booting a machine for each shows little more: the code is the same
	for root in true false; do
		for namespace in true false; do
			for no_new_privs in true false; do
				sets "$root" "$namespace" "$no_new_privs" false
				sets "$root" "$namespace" "$no_new_privs" true
			done
		done
	done
}
