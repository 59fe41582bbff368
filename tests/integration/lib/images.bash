# SPDX-License-Identifier: Apache-2.0
# For tests of bivalve-image: a private store, fixtures made on the spot, and ways to see what an image holds.

BIVALVE_IMAGE=${BIVALVE_IMAGE:-$BUILD/bivalve-image}
MAKE_IMAGE=$TESTS/integration/lib/make_image.py

# A private store and work folder, which is also the current one.
images_setup() {
	export BIVALVE_STORE=$BATS_TEST_TMPDIR/store BIVALVE_RUN=$BATS_TEST_TMPDIR/run
	mkdir "$BATS_TEST_TMPDIR/w"
	cd "$BATS_TEST_TMPDIR/w"
}

image() {
	"$BIVALVE_IMAGE" "$@"
}

# make_tar FILE [gnu] <<END: see make_image.py.
make_tar() {
	"$MAKE_IMAGE" tar "$@"
}

make_layout() {
	"$MAKE_IMAGE" layout "$@"
}

need_root() {
	[ "$(id -u)" = 0 ] || need root "not root"
}

# as_user COMMAND…: as somebody without any privilege; the test's folders become his.
as_user() {
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/.."
	setpriv --reuid 12345 --regid 12345 --clear-groups --inh-caps=-all "$@"
}

# The folder of an image's only, or lowest, layer.
layer_of() {
	image inspect "$1" | jq -r --arg s "$BIVALVE_STORE" '$s + "/layers/" + (.layers[0] | ltrimstr("sha256:"))'
}

# Refused with one line on standard error that starts with "bivalve: ", status 125, and nothing on standard output.
refused() {
	run --separate-stderr image "$@"
	[ "$status" -eq 125 ]
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == "bivalve: "* ]]
}

# Nothing half-made: no work in progress, no layer without its note, nothing that no image uses.
store_is_clean() {
	[ -z "$(ls -A "$BIVALVE_STORE/tmp")" ]
	for layer in "$BIVALVE_STORE"/layers/*; do
		[ ! -d "$layer" ] || [ -f "$layer.json" ]
		[ -d "$layer" ] || [[ $layer == *.json || $layer == *'*' ]]
	done
}

store_is_empty() {
	store_is_clean
	[ -z "$(ls -A "$BIVALVE_STORE/layers" "$BIVALVE_STORE/images" "$BIVALVE_STORE/disks" | grep -v '^/\|^$')" ]
}

# merged_sh IMAGE SCRIPT: runs SCRIPT in the merged layers, as an overlay mounts them.
merged_sh() {
	unshare -m bash -eu -c '
		cd "$1/layers"
		mkdir -p "$BATS_TEST_TMPDIR/empty" "$BATS_TEST_TMPDIR/merged"
		lowers=$(printf "%s\n" "${@:3}" | tac | paste -sd:)
		mount -t overlay overlay -o "ro,lowerdir=$lowers:$BATS_TEST_TMPDIR/empty" "$BATS_TEST_TMPDIR/merged"
		cd "$BATS_TEST_TMPDIR/merged"
		eval "$2"
	' bash "$BIVALVE_STORE" "$2" $(image inspect "$1" | jq -r '.layers[] | ltrimstr("sha256:")')
}

# disk_sh IMAGE SCRIPT: runs SCRIPT in the image's disk.
disk_sh() {
	local disk
	disk=$(image disk "$1")
	[ $(($(stat -c %s "$disk") % 4096)) -eq 0 ]
	unshare -m bash -eu -c '
		mkdir -p "$BATS_TEST_TMPDIR/disk"
		mount -t erofs -o ro,loop "$1" "$BATS_TEST_TMPDIR/disk"
		cd "$BATS_TEST_TMPDIR/disk"
		eval "$2"
		cd /
		umount "$BATS_TEST_TMPDIR/disk"
	' bash "$disk" "$2"
}

need_loop() {
	need_root
	modprobe -q loop erofs 2>/dev/null || true
	grep -qw erofs /proc/filesystems || need erofs "the kernel has no EROFS"
	losetup -f >/dev/null 2>&1 || need loop "no loop devices"
}

# Everything about every file of the current folder, in a fixed order. (How many links a folder has is each file
# system's own matter.)
listing() {
	find . \( -type d -printf '%P d %m %U %G %T@\n' \) -o -printf '%P %y %m %U %G %n %T@ %l\n' | LC_ALL=C sort
}
export -f listing
