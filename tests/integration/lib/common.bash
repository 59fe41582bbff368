# SPDX-License-Identifier: Apache-2.0
# Shared by the integration tests. tests/run sets:
#
#   BUILD                    where the programs are (build)
#   BIVALVE_STORE            images and kernel, made by tests/prepare-store
#   BIVALVE_TEST_SHELL       container or vm: each file runs once per shell, with the same assertions
#   BIVALVE_TEST_ENGINE      for vm: auto, kvm, qemu
#   REQUIRE                  words of what must not be missing: a skip for one of them is a failure

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$TESTS/../build}
case $BUILD in /*) ;; *) BUILD=$TESTS/../$BUILD ;; esac
BIVALVE=$BUILD/bivalve
SHELL_UNDER_TEST=${BIVALVE_TEST_SHELL:-container}
export BIVALVE_STORE=${BIVALVE_STORE:-$BUILD/test-store}

# need WORD REASON…: skips, or fails when REQUIRE says that WORD must be here.
need() {
	local word=$1
	shift
	case " ${REQUIRE:-} " in
	*" $word "*)
		echo "required but missing: $word: $*" >&2
		return 1
		;;
	esac
	skip "$*"
}

is_vm() {
	[ "$SHELL_UNDER_TEST" = vm ]
}

# Each test file has a run-time folder of its own, so that what is left behind in it is ours. Inside the lab the
# shared /tmp is slow and sees no flock of the host: /run is used there.
common_setup_file() {
	local parent=$BATS_FILE_TMPDIR
	[ -z "${LAB:-}" ] || parent=/run
	BIVALVE_RUN=$(mktemp -d "$parent/bivalve-test.XXXXXX")
	export BIVALVE_RUN
}

common_teardown_file() {
	rm -rf "$BIVALVE_RUN"
}

# What a file begins and ends with unless it has functions of its own; these begin with common_setup_file then.
setup_file() {
	common_setup_file
}

teardown_file() {
	common_teardown_file
}

# For setup() and teardown(): a folder of the test's own, in $folder, to work in.
enter_folder() {
	folder=$(mktemp -d)
	cd "$folder"
}

leave_folder() {
	cd /
	rm -rf "$folder"
}

# launch [OPTION…] IMAGE COMMAND…: in the shell under test.
launch() {
	"$BIVALVE" launch --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" "$@"
}

# The same for the background, where a function would leave a shell between us and the launcher: `launch_exec … &`.
launch_exec() {
	exec "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" "$@"
}

# The cgroups of this run's instances, in whichever hierarchy.
our_cgroups() {
	find /sys/fs/cgroup -maxdepth 3 -type d -name "bivalve-$1*" 2>/dev/null
}

# nothing_left NAME: no folder, cgroup or process of instances called NAME…
nothing_left() {
	local left
	left=$(ls "$BIVALVE_RUN" | grep "^$1" || true)
	[ -z "$left" ] || { echo "left in the run-time folder: $left" >&2; return 1; }
	left=$(our_cgroups "$1")
	[ -z "$left" ] || { echo "cgroups left: $left" >&2; return 1; }
	left=$(pgrep -af -- "--name $1|$BIVALVE_RUN/$1" || true) # virtiofsd and QEMU name its folder
	[ -z "$left" ] || { echo "processes left: $left" >&2; return 1; }
}

# eventually COMMAND…: until it succeeds; the test's own limit ends it.
eventually() {
	local i
	for ((i = 0; i < ${EVENTUALLY_TRIES:-1200}; i++)); do
		"$@" 2>/dev/null && return 0
		sleep 0.05
	done
	"$@" || true # once more, to be heard
	echo "never came true: $*" >&2
	return 1
}

# only_descriptors PID REGEX: what that process has open are files that REGEX names, and one disk of an image, read-only.
only_descriptors() {
	local fd what n_disks=0
	for fd in /proc/"$1"/fd/*; do
		what=$(readlink "$fd")
		[ -n "$what" ] || continue # closed meanwhile
		[[ ! $what =~ ^($2)$ ]] || continue
		[[ $what == *.erofs || $what == */disks/* ]] || { echo "unexpected: $fd: $what"; return 1; }
		n_disks=$((n_disks + 1))
		grep -q '^flags:.*0$' "/proc/$1/fdinfo/${fd##*/}" # O_RDONLY
	done
	[ "$n_disks" -eq 1 ]
}
