#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Denials: what the report and --audit say of them, the same in both shells.

bats_require_minimum_version 1.5.0
load lib/common

setup() {
	enter_folder
	cat >"$folder/policy.json" <<-'EOF'
	{
		"version": 1,
		"seccomp": { "rules": { "add": [
			{ "syscalls": ["mkdir", "mkdirat"], "action": "errno", "errno": "EROFS" },
			{ "syscalls": ["sethostname"], "action": "kill" },
			{ "syscalls": ["sync"], "action": "notify" }
		] } }
	}
	EOF
}

teardown() {
	leave_folder
}

# The rows of the report as lines: syscall path address action error rule count.
denied() {
	python3 - "$folder/report.json" <<-'EOF'
	import json, sys
	report = json.load(open(sys.argv[1]))
	assert report["audited"] and report["denied_more"] == 0
	for d in report["denied"]:
	    print(d["syscall"], d["path"], d["address"], d["action"], d["error"], d["rule"], d["count"])
	EOF
}

@test "denied calls are in the report, with what they were about, the rule and a count" {
	run launch --policy "$folder/policy.json" --report "$folder/report.json" busybox \
		sh -c 'mkdir /a; mkdir /a; mount -t tmpfs x /mnt; sync; exit 3'
	[ "$status" -eq 3 ]
	[[ "$output" == *"Read-only file system"*"Read-only file system"* ]]
	run denied
	echo "$output"
	[[ "$output" == *"mkdir /a None errno EROFS $folder/policy.json:4 2"* ]]
	[[ "$output" =~ "mount /mnt None errno EPERM preset default:"[0-9]+" 1" ]]
	[[ "$output" == *"sync None None notify None $folder/policy.json:6 1"* ]]
}

@test "a call that kills ends the program as if nobody watched, and the report names it" {
	run launch --policy "$folder/policy.json" --report "$folder/report.json" busybox hostname other
	[ "$status" -eq 159 ] # 128 + SIGSYS
	run denied
	[[ "$output" == *"sethostname None None kill None $folder/policy.json:5 1"* ]]
	grep -q '"signal": "SIGSYS"' "$folder/report.json"
	run launch --policy "$folder/policy.json" busybox hostname other
	[ "$status" -eq 159 ]
}

@test "--audit: a line of JSON for each denial, also of attempts to reach the network" {
	run launch --policy "$folder/policy.json" --audit "$folder/audit" busybox \
		sh -c 'mkdir /a; wget -q -O- http://192.0.2.1/; wget -q -O- http://127.0.0.1/'
	python3 - "$folder/audit" "$folder" <<-'EOF'
	import json, sys
	lines = [json.loads(line) for line in open(sys.argv[1])]
	made = [l for l in lines if l["syscall"].startswith("mkdir")]
	reached = [l["address"] for l in lines if l["syscall"] == "connect"]
	assert len(made) == 1 and made[0]["path"] == "/a" and made[0]["error"] == "EROFS", made
	assert made[0]["rule"] == sys.argv[2] + "/policy.json:4" and made[0]["at_us"] > 0 and len(made[0]["args"]) == 6
	assert reached == ["192.0.2.1:80"], reached
	assert all(l["rule"].startswith("network: none preset default:") for l in lines if l["syscall"] == "connect")
	EOF
}

@test "a workload that is denied without end fills neither the file nor the report" {
	run launch --policy "$folder/policy.json" --audit "$folder/audit" --report "$folder/report.json" busybox \
		sh -c 'mkdir $(seq 1 300) 2>/dev/null'
	python3 - "$folder/report.json" "$folder/audit" <<-'EOF'
	import json, sys
	report = json.load(open(sys.argv[1]))
	assert len(report["denied"]) == 256 and report["denied_more"] == 44, report["denied_more"]
	assert len(open(sys.argv[2]).readlines()) == 300
	EOF
}

@test "--audit: a file that cannot be written is refused before anything starts" {
	run launch --audit "$folder/none/audit" busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"--audit $folder/none/audit: No such file or directory"* ]]
}
