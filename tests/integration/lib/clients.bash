# SPDX-License-Identifier: Apache-2.0
# For tests of bivalve as other programs call it, as an OCI runtime.
#
#   OCI_RUNTIME    the program under test instead of bivalve (bivalve-vm in the VM shell): to see that a test is right,
#                  it passes with crun or runc too. crun refuses a hybrid host: in `unshare -m`, unmount
#                  /sys/fs/cgroup/unified first.

# As in common.bash.
setup_file() {
	[ "$(id -u)" = 0 ] || need root "bundles are run as root here"
	common_setup_file
}

# The clients of a runtime pass none of their environment on, so it is called by a script that has all of it.
# make_runtime DIR: writes DIR/NAME and sets RUNTIME to it; the instances are below DIR/state.
make_runtime() {
	local program=${OCI_RUNTIME:-$BIVALVE}
	[ -n "${OCI_RUNTIME:-}" ] || ! is_vm || program=$BUILD/bivalve-vm
	RUNTIME=$1/${program##*/}
	export RUNTIME
	cat > "$RUNTIME" <<-END
		#!/bin/sh
		export BIVALVE_STORE='$BIVALVE_STORE' BIVALVE_ENGINE='${BIVALVE_TEST_ENGINE:-auto}'
		exec '$program' --root '$1/state' "\$@"
	END
	chmod 755 "$RUNTIME"
}

# make_layout_image DIR NAME: DIR is an OCI layout with an image NAME, a busybox with a PATH and nothing else.
make_layout_image() {
	"$TESTS/../scripts/busybox-root" "$1.rootfs"
	umoci init --layout "$1"
	umoci new --image "$1:$2"
	umoci insert --image "$1:$2" "$1.rootfs" /
	umoci config --image "$1:$2" --config.cmd sh --config.env PATH=/bin --config.env FROM_IMAGE=yes
	rm -rf "$1.rootfs"
} >/dev/null

need_command() {
	command -v "$1" >/dev/null || need "$1" "no $1: apt-get install $2"
}

# no_cgroup_left NAME: no control group of that name in any hierarchy. remove_cgroups NAME removes those, deepest first.
cgroups_named() {
	find /sys/fs/cgroup -depth -type d -path "*/$1*" 2>/dev/null
}
no_cgroup_left() {
	[ -z "$(cgroups_named "$1")" ] || { cgroups_named "$1" >&2; return 1; }
}
remove_cgroups() {
	cgroups_named "$1" | while read -r dir; do rmdir "$dir"; done
}

# no_mount_left DIR: nothing is mounted below DIR.
no_mount_left() {
	! grep -F " $1" /proc/self/mountinfo >&2
}

# no_process_left DIR: no process was started with a path below DIR on its command line.
no_process_left() {
	local left
	left=$(pgrep -af -- "$1" | grep -v -e bats -e pgrep || true)
	[ -z "$left" ] || { echo "processes left: $left" >&2; return 1; }
}

# make_bundle DIR: an OCI bundle of a busybox, whose config.json runs `true` with nothing shared. config JQ [ARG…] then
# changes that of the current folder; command WORD… sets what it runs.
make_bundle() {
	mkdir -p "$1"
	"$TESTS/../scripts/busybox-root" "$1/rootfs"
	cat > "$1/config.json" <<-END
		{
		  "ociVersion": "1.0.2",
		  "process": { "args": ["true"], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
		    "noNewPrivileges": true },
		  "root": { "path": "rootfs" },
		  "mounts": [
		    { "destination": "/proc", "type": "proc", "source": "proc" },
		    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
		    { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
		      "options": ["newinstance", "ptmxmode=0666", "mode=0620"] }
		  ],
		  "linux": {
		    "cgroupsPath": "/${1##*/}-$$",
		    "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }]
		  }
		}
	END
}
config() {
	jq "$@" < config.json > config.json.new
	mv config.json.new config.json
}
command_is() {
	config '.process.args = $ARGS.positional' --args -- "$@"
}

# oci ARGUMENT…: the runtime of make_runtime, for at most two minutes.
oci() {
	timeout 120 "$RUNTIME" "$@"
}
