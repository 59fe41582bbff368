#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The lab machine itself: each test boots it once (3 to 6 s).

bats_require_minimum_version 1.5.0

LAB=$BATS_TEST_DIRNAME/lab

setup() {
	[ "$(id -u)" = 0 ] || skip "the lab needs root"
	TMPDIR=$BATS_TEST_TMPDIR
	export TMPDIR
}

# nothing_left: no directory of the lab in TMPDIR, within two seconds
nothing_left() {
	for _ in $(seq 40); do
		[ -n "$(find "$TMPDIR" -maxdepth 1 -name 'lab.*')" ] || return 0
		sleep 0.05
	done
	return 1
}

@test "lab: streams stay apart and the exit status comes back" {
	run --separate-stderr "$LAB" sh -c 'echo out; echo err >&2; exit 3'
	[ "$status" -eq 3 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
	nothing_left
}

@test "lab: a command that does not exist gives 127, stdin and LAB_ENV pass" {
	export GREETING="it's me"
	LAB_ENV=GREETING run -127 --separate-stderr "$LAB" -i sh -c 'cat; echo "$GREETING $LAB"; exec no-such-command' <<<hello
	[ "${lines[0]}" = hello ]
	[ "${lines[1]}" = "it's me 1" ]
}

@test "lab: KVM, cgroup v2 alone, overlay and user namespaces" {
	run "$LAB" sh -e -c '
		python3 -c "import fcntl, os
kvm = os.open(\"/dev/kvm\", os.O_RDWR)
vm = fcntl.ioctl(kvm, 0xAE01, 0)   # KVM_CREATE_VM
fcntl.ioctl(vm, 0xAE60, 0)         # KVM_CREATE_IRQCHIP
fcntl.ioctl(vm, 0xAE41, 0)         # KVM_CREATE_VCPU"
		for name in cpuset cpu io memory pids; do
			grep -qw $name /sys/fs/cgroup/cgroup.subtree_control
		done
		if grep -q " cgroup " /proc/mounts; then exit 1; fi
		mkdir /dev/shm/u /dev/shm/w /run/m
		mount -t overlay o -o lowerdir=/etc,upperdir=/dev/shm/u,workdir=/dev/shm/w /run/m
		rm /run/m/passwd
		test -e /etc/passwd
		setpriv --reuid 1000 --clear-groups unshare -Urn id -u'
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = 0 ]
}

# Each would patch the kernel under the other processor's feet, if /init did not keep a machine of its own.
@test "lab: machines come and go while the scheduler is busy, and the lab goes on" {
	run "$LAB" --timeout 240 perl -e '
		use strict;
		for (1, 2) { fork or do { select undef, undef, undef, 0.0005 while getppid != 1; exit } }
		open(my $kvm, "+<", "/dev/kvm") or die;
		for (1 .. 150) {
			my $fd = ioctl($kvm, 0xAE01, 0) or die "KVM_CREATE_VM: $!";
			open(my $vm, "+<&=", $fd);
			open(my $vcpu, "+<&=", ioctl($vm, 0xAE41, 0) || die "KVM_CREATE_VCPU: $!");
		}
		print "done\n"'
	[ "$status" -eq 0 ]
	[ "$output" = "done" ]
}

@test "lab: --timeout gives 124" {
	run -124 "$LAB" --timeout 1 sleep 60
	nothing_left
}

@test "lab: a machine that cannot start gives 125 and one line" {
	run -125 "$LAB" -m 4 true
	[[ ${lines[-1]} == "lab: "* ]]
	nothing_left
}

@test "lab: SIGKILL takes the machine and its files along" {
	"$LAB" sh -c 'echo up; sleep 60' >"$TMPDIR/out" 3>&- &
	lab=$!
	until grep -q up "$TMPDIR/out"; do sleep 0.1; done
	children=$(ps -o pid= --ppid "$lab")
	[ -n "$children" ]
	kill -9 "$lab"
	nothing_left
	for pid in $children; do
		[ ! -e "/proc/$pid/exe" ]
	done
}
