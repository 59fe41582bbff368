# SPDX-License-Identifier: Apache-2.0
# Bundles and OCI verbs for the integration tests, in the shell under test.

# oci VERB…: bivalve as an engine calls it. Called as bivalve-vm it uses the VM shell whatever the bundle says.
oci() {
	if is_vm; then "$BUILD/bivalve-vm" "$@"; else "$BIVALVE" "$@"; fi
}

# The same for the background, where a function would leave a shell between us and it: `oci_exec run … &`.
oci_exec() {
	if is_vm; then exec "$BUILD/bivalve-vm" "$@"; else exec "$BIVALVE" "$@"; fi
}

# One run-time folder and one root file system for a file; ids end with its number, so that theirs can be told apart.
oci_setup_file() {
	[ "$(id -u)" = 0 ] || need root "bundles with control groups need root"
	common_setup_file
	N=$$
	ROOTFS=$BIVALVE_RUN/.rootfs # the sweep and `list` leave names with a dot alone
	export N ROOTFS
	mkdir "$ROOTFS"
	"$TESTS/../scripts/busybox-root" "$ROOTFS" > /dev/null
}

# long_lived LETTER: one instance, $ID, that lives as long as this file; its bundle is $BATS_FILE_TMPDIR/b.
long_lived() {
	export ID=$1-$N
	sh_bundle "$BATS_FILE_TMPDIR/b" "trap \"exit 0\" TERM; echo ready; while :; do sleep 1000 & wait \$!; done"
	create "$ID" "$BATS_FILE_TMPDIR/b"
	oci start "$ID"
	eventually said "$ID" ready
}

# Ends what a failed test left running; finding something here is no failure of its own.
oci_teardown_file() {
	local id
	for id in $(oci list -q 2>/dev/null); do
		oci delete --force "$id" > /dev/null 2>&1 || true
	done
	common_teardown_file
}

# As in common.bash.
setup_file() {
	oci_setup_file
}

teardown_file() {
	oci_teardown_file
}

# bundle DIR [JQ]: a bundle that runs `sh -c true`, changed by a jq program. Its root is the file's.
bundle() {
	rm -rf "$1"
	mkdir -p "$1"
	"$BIVALVE" spec -b "$1"
	jq --arg root "$ROOTFS" '.root.path = $root | .root.readonly = true | .process.terminal = false
		| .process.args = ["sh", "-c", "true"] | del(.process.rlimits) | '"${2:-.}" "$1/config.json" > "$1/new.json"
	mv "$1/new.json" "$1/config.json"
}

# sh_bundle DIR SCRIPT [JQ]: one that runs a line of sh.
sh_bundle() {
	bundle "$1" "${3:-.}"
	SCRIPT=$2 jq '.process.args = ["sh", "-c", env.SCRIPT]' "$1/config.json" > "$1/new.json"
	mv "$1/new.json" "$1/config.json"
}

# create ID BUNDLE [OPTION…]: detached from the test's own streams, which bats waits for; output in $BATS_FILE_TMPDIR/ID.out.
create() {
	local id=$1 bundle=$2
	shift 2
	oci create -b "$bundle" "$@" "$id" < /dev/null > "$BATS_FILE_TMPDIR/$id.out" 2> "$BATS_FILE_TMPDIR/$id.err" 3>&- ||
		{ local code=$?; cat "$BATS_FILE_TMPDIR/$id.err"; return $code; }
}

out_of() {
	cat "$BATS_FILE_TMPDIR/$1.out"
}

status_of() {
	oci state "$1" | jq -r .status
}

is() { # is ID STATUS
	[ "$(status_of "$1")" = "$2" ]
}

said() { # said ID TEXT: it has printed that line
	grep -qx -- "$2" "$BATS_FILE_TMPDIR/$1.out"
}

# no_trace ID: no folder, no control group of any hierarchy, no process in one, no mount.
no_trace() {
	local left
	[ ! -e "$BIVALVE_RUN/$1" ] || { echo "folder left: $1" >&2; return 1; }
	left=$(find /sys/fs/cgroup -type d -name "*$1*" 2>/dev/null || true) # others vanish under it
	[ -z "$left" ] || { echo "cgroups left: $left" >&2; return 1; }
	left=$(grep -ls -- "$1" /proc/[0-9]*/cgroup || true)
	[ -z "$left" ] || { echo "processes left: $left" >&2; return 1; }
	left=$(grep -- "$1" /proc/mounts || true)
	[ -z "$left" ] || { echo "mounts left: $left" >&2; return 1; }
}

# fails PATTERN COMMAND…: status 125 and one line on standard error, "bivalve: …PATTERN…".
fails() {
	local pattern=$1
	shift
	run --separate-stderr "$@"
	[ "$status" -eq 125 ] && [ "${#stderr_lines[@]}" -eq 1 ] && [[ $stderr == "bivalve: "*"$pattern"* ]] ||
		{ echo "status $status, error: $stderr, wanted: $pattern" >&2; return 1; }
}

# Every operation is there in either shell: what `run` gives, for what the test looks at next.
need_operation() { # need_operation VERB…
	run oci "$@"
	[[ $output != *"cannot do that"* ]]
}
