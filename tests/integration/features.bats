#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `features`: the specification's members, and the shells' findings.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
}

teardown_file() {
	oci_teardown_file
}

@test "what engines read is there" {
	run oci features
	[ "$status" -eq 0 ]
	jq -e '.ociVersionMin == "1.0.0" and (.ociVersionMax | startswith("1.")) and (.hooks | length == 6)
		and (.mountOptions | index("rro") and index("idmap")) and (.linux.namespaces | index("user") and index("time"))
		and (.linux.capabilities | index("CAP_NET_RAW")) and .linux.cgroup.v1 and .linux.cgroup.v2
		and .linux.seccomp.enabled and (.linux.seccomp.actions | index("SCMP_ACT_NOTIFY"))
		and (.linux.apparmor | has("enabled")) and .linux.mountExtensions.idmap.enabled
		and (.container | has("cgroup")) and (.vm | has("engines"))' <<< "$output"
	fails "no arguments" oci features now
}

@test "each mount option of the list is taken in a bundle" {
	local option
	for option in $(oci features | jq -r '.mountOptions[]'); do
		bundle "$BATS_FILE_TMPDIR/b" '.mounts += [{ destination: "/tmp", type: "bind", source: "/usr",
			options: ["rbind", "'"$option"'"] }]'
		case $option in idmap | ridmap | tmpcopyup) continue ;; esac # of other kinds of mount, or with maps
		is_vm && continue # its boots are too slow for this; the container's list is the same one
		run oci run -b "$BATS_FILE_TMPDIR/b" "f-$N"
		[ "$status" -eq 0 ] || { echo "$option: $output" >&2; return 1; }
	done
}
