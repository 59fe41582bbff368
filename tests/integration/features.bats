#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `features`: the specification's members, and the shells' findings.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "what engines read is there" {
	run oci features
	[ "$status" -eq 0 ]
	jq -e '.ociVersionMin == "1.0.0" and (.ociVersionMax | startswith("1.")) and (.hooks | index("poststop"))
		and (.mountOptions | index("rro") and index("rbind")) and (.linux.namespaces | index("user") and index("time"))
		and (.linux.capabilities | index("CAP_NET_RAW")) and .linux.cgroup.v1 and .linux.cgroup.v2
		and .linux.seccomp.enabled and (.linux.seccomp.actions | index("SCMP_ACT_ERRNO"))
		and (.linux.apparmor | has("enabled")) and (.vm.refused | index("linux.namespaces[].path"))
		and (.container | has("cgroup")) and (.vm | has("engines"))' <<< "$output"
	fails "no arguments" oci features now
}

@test "what a VM refuses is not in its lists, and is refused; a container has it" {
	local b=$BATS_FILE_TMPDIR/b wanted='(.hooks | index("createContainer")) and (.mountOptions | index("idmap")) and
		(.linux.seccomp.actions | index("SCMP_ACT_NOTIFY")) and .linux.mountExtensions.idmap.enabled'
	if is_vm; then
		oci features | jq -e '[.hooks, .mountOptions, .linux.seccomp.actions] | flatten |
			all(. != "createContainer" and . != "idmap" and . != "SCMP_ACT_NOTIFY")'
		bundle "$b" '.hooks.createContainer = [{ path: "/bin/true" }]'
		fails "hooks.createContainer" oci create -b "$b" "f-$N"
		bundle "$b" '.linux.namespaces += [{ type: "cgroup", path: "/proc/1/ns/cgroup" }]'
		fails "linux.namespaces" oci create -b "$b" "f-$N"
		no_trace "f-$N"
	else
		oci features | jq -e "$wanted"
	fi
}

@test "each mount option of the list is taken in a bundle" {
	local options
	# those for other kinds of mount, or with maps, apart
	options=$(oci features | jq '.mountOptions - ["idmap", "ridmap", "tmpcopyup"]')
	[ "$(jq length <<< "$options")" -gt 40 ]
	bundle "$BATS_FILE_TMPDIR/b" '.mounts += ('"$options"' | map({ destination: "/tmp", type: "bind", source: "/usr",
		options: ["rbind", .] }))'
	run oci run -b "$BATS_FILE_TMPDIR/b" "f-$N"
	[ "$status" -eq 0 ] || { echo "$output" >&2; return 1; }
	bundle "$BATS_FILE_TMPDIR/b" '.mounts += [{ destination: "/tmp", type: "bind", source: "/usr", options: ["rbind", "no-such"] }]'
	fails no-such oci run -b "$BATS_FILE_TMPDIR/b" "f-$N"
}
