#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The containment probes (tests/containment), against what was recorded of them; docs/containment.md is made of that.

bats_require_minimum_version 1.5.0
load lib/common

setup() {
	[ "$(id -u)" = 0 ] || need root "the host's canaries need root"
	[ -x "$BUILD/tests/probes" ] || { echo "no $BUILD/tests/probes: make units" >&2; return 1; }
}

# containment WHAT [OPTION…]: in the shell under test
containment() {
	"$TESTS/containment/run" "$1" --shell "$SHELL_UNDER_TEST" --bivalve "$BIVALVE" --probes "$BUILD/tests/probes" "${@:2}"
}

@test "strict: no probe gets further than recorded, nothing on the host is touched" {
	containment check --policy strict
}

@test "default: no probe gets further than recorded, nothing on the host is touched" {
	containment check --policy default
}

@test "a policy with holes is found out, and so is a host that was touched" {
	! is_vm || skip "the comparison is the same for both shells"
	local policy=$BIVALVE_RUN/holes.json
	cat > "$policy" <<-END
		{ "version": 1, "extends": "strict", "network": "host", "seccomp": { "rules": { "add": [
		  { "syscalls": ["io_uring_setup"], "action": "allow" }
		] } } }
	END
	run -1 containment check --policy strict --instead "$policy"
	[[ $output == *"io-uring: recorded as blocked ENOSYS, now allowed"* ]]
	[[ $output == *"abstract-socket: recorded as blocked ECONNREFUSED, now host"* ]]
	[[ $output == *"touched on the host: "* ]]
	[[ $output != *" packet-socket: "* ]]
}

@test "where the shells differ there is a reason, and the document says what was recorded" {
	! is_vm || skip "the same for both shells"
	containment consistent
	local known
	known=$("$BUILD/tests/probes" --list | sort)
	[ "$known" = "$(jq -r '.probes | keys[]' "$TESTS/containment/matrix.json" | grep -v outlive-timeout | sort)" ]
}

@test "tightness counts every probe once" {
	containment tightness --recorded --policy strict > "$BIVALVE_RUN/tightness"
	jq -e --arg shell "$SHELL_UNDER_TEST" '.[$shell].strict | .host == 0 and .blocked + .allowed + .["not-run"] == .probes and
		.probes > 60' "$BIVALVE_RUN/tightness"
}
