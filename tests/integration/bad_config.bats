#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A bad config.json: exit status 125, one line that names file and field, and nothing made: no folder, group or process.

bats_require_minimum_version 1.5.0
load lib/common

setup() {
	ID=badconfig-$$-$BATS_TEST_NUMBER
	B=$BATS_TEST_TMPDIR/bundle
	mkdir -p "$B/rootfs"
	OCI=$BIVALVE
	if is_vm; then
		OCI=$BUILD/bivalve-vm
	fi
}

# config PYTHON: runc's kind of document, changed by the statements, which see it as c, is the bundle's config.json.
config() {
	[ -s "$BATS_TEST_TMPDIR/good/config.json" ] || {
		mkdir "$BATS_TEST_TMPDIR/good"
		"$BIVALVE" spec --bundle "$BATS_TEST_TMPDIR/good"
	}
	python3 - "$BATS_TEST_TMPDIR/good/config.json" "$B/config.json" "$1" <<-'END'
		import json, sys
		c = json.load(open(sys.argv[1]))
		c["process"]["terminal"] = False
		exec(sys.argv[3])
		json.dump(c, open(sys.argv[2], "w"), indent="\t")
	END
}

# refused WORD: `create` and `run` both refuse the bundle by a line that names its config.json and WORD.
refused() {
	local verb left
	for verb in create run; do
		run --separate-stderr timeout 20 "$OCI" --root "$BIVALVE_RUN" "$verb" --bundle "$B" "$ID"
		echo "$verb: status $status, output: $output, error: $stderr"
		[ "$status" -eq 125 ]
		[ -z "$output" ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ "$stderr" == *"$B/config.json"*"$1"* ]]
		[ -z "$(ls "$BIVALVE_RUN")" ]
		[ -z "$(our_cgroups "$ID")" ]
		left=$(pgrep -af -- "$ID" | grep -v bats || true)
		[ -z "$left" ]
	done
}

@test "no config.json, an empty one, a folder and a FIFO in its place" {
	refused "No such file"
	: > "$B/config.json"
	refused "premature EOF"
	rm "$B/config.json"
	mkdir "$B/config.json"
	refused "not a regular file"
	rmdir "$B/config.json"
	mkfifo "$B/config.json"
	refused "not a regular file"
}

@test "cut off anywhere: never a start with half of what was asked" {
	local size at
	config pass
	cp "$B/config.json" "$B/whole"
	size=$(stat -c %s "$B/whole")
	for at in 1 $((size / 4)) $((size / 2)) $((size - 3)); do
		head -c "$at" "$B/whole" > "$B/config.json"
		refused "not JSON"
	done
}

@test "wrong types: the line and the member" {
	config 'c["process"]["args"] = "sh"'
	refused ": process.args: expected an array of strings, found a string"
	config 'c["linux"]["namespaces"][1] = 7'
	refused ": linux.namespaces[1]: expected an object, found an integer"
	config 'c["mounts"][2]["options"] = {}'
	refused ": mounts[2].options: "
	config 'c["root"]["readonly"] = "true"'
	refused ": root.readonly: "
	config 'c["linux"]["resources"]["memory"] = {"limit": 1.5}'
	refused ": linux.resources.memory.limit: "
}

@test "numbers out of range" {
	config 'c["process"]["user"]["uid"] = 4294967296'
	refused ": process.user.uid: "
	config 'c["process"]["user"]["gid"] = -1'
	refused ": process.user.gid: "
	config 'c["process"]["rlimits"][0]["hard"] = 3'
	refused ": process.rlimits[0].soft: "
	config 'c["process"]["oomScoreAdj"] = 1e9'
	refused ": process.oomScoreAdj: "
	config 'c["linux"]["resources"]["memory"] = {"limit": -7}'
	refused ": linux.resources.memory.limit: "
}

@test "required members missing" {
	config 'del c["ociVersion"]'
	refused ": ociVersion: missing"
	config 'del c["root"]["path"]'
	refused ": root.path: missing"
	config 'del c["process"]'
	refused ": process: missing"
	config 'c["process"]["args"] = []'
	refused ": process.args: empty"
	config 'c["process"]["cwd"] = "relative"'
	refused ": process.cwd: not an absolute path"
	config 'del c["mounts"][0]["destination"]'
	refused ": mounts[0].destination: missing"
	config 'c["root"]["path"] = "nowhere"'
	refused "root.path: "
}

@test "a version that is not ours" {
	config 'c["ociVersion"] = "2.0.0"'
	refused ": ociVersion: "
}

@test "duplicate keys and NUL bytes" {
	config pass
	sed -i '0,/"hostname"/s//"hostname": "first", "hostname"/' "$B/config.json"
	refused "duplicate key: hostname"
	config 'c["process"]["args"] = ["/bin/sh\u0000-c"]'
	refused "a NUL byte"
	config pass
	printf '\0' >> "$B/config.json"
	refused "not JSON"
}

@test "nested too deep, too many, too large" {
	config pass
	python3 -c 'print("{\"ociVersion\":\"1.0.2\",\"x\":" + "[" * 100000)' > "$B/config.json"
	refused "nested deeper than 64 levels"
	config 'c["mounts"] = [{"destination": "/m%d" % i, "type": "tmpfs", "source": "t"} for i in range(10000)]'
	refused ": mounts: 10000 entries"
	truncate -s 17M "$B/config.json"
	refused "17825792 bytes"
}

@test "what would weaken the isolation is refused by name" {
	config 'c["linux"]["namespaces"].append({"type": "quantum"})'
	refused ": linux.namespaces[5].type: "
	config 'c["linux"]["namespaces"].append({"type": "pid"})'
	refused "the same namespace twice: pid"
	config 'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_PERHAPS"}'
	refused ": linux.seccomp.defaultAction: "
	config 'c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
		[{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_ISH"}]}]}'
	refused ": linux.seccomp.syscalls[0].args[0].op: "
	config 'c["hooks"] = {"createruntime": [{"path": "/bin/true"}]}'
	refused ": hooks.createruntime: "
	config 'c["linux"]["intelRdt"] = {"closID": "x"}'
	refused ": linux.intelRdt: "
	config 'c["linux"]["cgroupsPath"] = "/../../escape"'
	refused ": linux.cgroupsPath: "
	config 'c["vm"] = {"kernel": {"path": "/rootfs/kernel"}}'
	refused ": vm: "
}

@test "an unknown shell in the annotation; a sysctl of the host in a container" {
	config 'c["annotations"] = {"org.bivalve.backend": "jail"}'
	OCI=$BIVALVE refused ": annotations.org.bivalve.backend: expected container or vm: jail"
	is_vm || {
		config 'c["linux"]["sysctl"] = {"kernel.core_pattern": "|/bin/x"}'
		refused ": linux.sysctl.kernel.core_pattern: "
	}
}
