#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `spec`: a configuration that runs as it is.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

@test "writes a bundle's config.json once; it runs" {
	local b=$BATS_TEST_TMPDIR/b
	mkdir "$b"
	(cd "$b" && oci spec)
	fails "exists already" oci spec --bundle "$b"
	jq -e '.ociVersion and .root.path == "rootfs" and .process.args == ["sh"]' "$b/config.json"
	cp -a "$ROOTFS" "$b/rootfs"
	jq '.process.terminal = false | .process.args = ["echo", "works"]' "$b/config.json" > "$b/new" && mv "$b/new" "$b/config.json"
	[ "$(oci run -b "$b" "sp-$N" < /dev/null)" = works ]
	oci spec -f "$BATS_TEST_TMPDIR/other.json"
	jq -e .ociVersion "$BATS_TEST_TMPDIR/other.json"
	fails "exists already" oci spec --file "$BATS_TEST_TMPDIR/other.json"
	mkdir "$BATS_TEST_TMPDIR/r"
	oci spec --rootless -b "$BATS_TEST_TMPDIR/r"
	jq -e 'any(.linux.namespaces[]; .type == "user")' "$BATS_TEST_TMPDIR/r/config.json"
	fails "cannot write" oci spec -b "$BATS_TEST_TMPDIR/nowhere"
}
