#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Guest kernels: each of the store boots, one is preferred, the built one is taken from its cache.

bats_require_minimum_version 1.5.0
load lib/common

# A store of this test's own with one kernel in it.
own_store() {
	export BIVALVE_STORE=$BATS_TEST_TMPDIR/store
	"$BIVALVE" kernel import "$VMLINUX" one
}

setup() {
	VMLINUX=$BIVALVE_STORE/kernels/debian-cloud/vmlinux
}

@test "every kernel of the store boots, with modules or without, and says its version" {
	local name version count=0
	while read -r name version; do
		echo "$name $version"
		[ "$(launch --kernel "$name" busybox uname -r)" = "$version" ]
		count=$((count + 1))
	done < <("$BIVALVE" kernel list --json | jq -r '.[] | .name + " " + .version')
	[ "$count" -ge 1 ]
}

@test "the kernel that is to be used stands first, until it is removed" {
	own_store
	"$BIVALVE" kernel import "$VMLINUX" two
	[ "$("$BIVALVE" kernel list --json | jq -r '.[0].name')" = two ]
	"$BIVALVE" kernel use one
	[ "$("$BIVALVE" kernel list --json | jq -r '.[0].name')" = one ]
	"$BIVALVE" kernel import "$VMLINUX" # without a name: this one from now on
	[ "$("$BIVALVE" kernel list --json | jq -r '.[0].name')" = default ]
	"$BIVALVE" kernel use one
	"$BIVALVE" kernel remove one
	[ "$("$BIVALVE" kernel list --json | jq -r '[.[].name] | join(" ")')" = "default two" ]
}

@test "a kernel that is not there is not used: one line, and what was preferred stays so" {
	own_store
	run "$BIVALVE" kernel use none-such
	[ "$status" -eq 125 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" == *none-such*"kernel list"* ]]
	[ "$("$BIVALVE" kernel list --json | jq -r '.[0].name')" = one ]
}

@test "kernel build takes what is built already, imports it and prefers it" {
	local folder
	export BIVALVE_KERNEL_CACHE=$BATS_TEST_TMPDIR/cache
	folder=$("$TESTS/../scripts/build-guest-kernel" --where "$BIVALVE_KERNEL_CACHE")
	mkdir -p "$folder"
	cp "$VMLINUX" "$folder/vmlinux"
	echo 'CONFIG_PVH=y' > "$folder/config"
	echo 6.12.0-test > "$folder/version"
	own_store
	run --separate-stderr "$BIVALVE" kernel build
	echo "$stderr"
	[ "$status" -eq 0 ]
	[ "$output" = tuned ]
	[ "$("$BIVALVE" kernel list --json | jq -c '.[0] | [.name, .version, .no_acpi]')" = '["tuned","6.12.0-test",true]' ]
}

@test "a machine of 64 GiB boots, on a host that has less" {
	run launch -m 64g busybox awk '/MemTotal/ { print $2 }' /proc/meminfo
	[ "$status" -eq 0 ]
	[ "$output" -gt $((60 << 20)) ]
}

@test "a small limit binds before the guest's memory ends; a size that no engine takes is refused" {
	run launch -m 16m --report "$BATS_TEST_TMPDIR/r.json" busybox \
		sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'
	[ "$status" -eq 137 ]
	[ "$(jq -r '.status + " " + .limit' "$BATS_TEST_TMPDIR/r.json")" = "oom memory" ]
	run launch -m 80g busybox true
	[ "$status" -eq 125 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" == *vm.memory_bytes*64\ GiB* ]]
}
