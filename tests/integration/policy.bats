#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Policies from the command line: what they say, what they refuse, what they are learnt from; in both shells.

bats_require_minimum_version 1.5.0
load lib/common

setup() {
	enter_folder
}

teardown() {
	leave_folder
}

# refused TEXT: `policy check` of the document on standard input ends with this, and nothing is launched by it.
refused() {
	cat >bad.json
	run "$BIVALVE" policy check ./bad.json
	echo "$output"
	[ "$status" -eq 125 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" == *"$1"* ]]
}

@test "a bad policy is refused with file, line and key" {
	refused './bad.json:3: capabilites: unknown key: did you mean "capabilities"?' <<-'EOF'
	{
		"version": 1,
		"capabilites": []
	}
	EOF
	refused './bad.json:1: root: "upper" has no use with "read_only"' <<-'EOF'
	{ "version": 1, "root": { "read_only": true, "upper": "64m" } }
	EOF
	refused './bad.json:2: seccomp.rules.add[0].syscalls[1]: "opne": no such system call' <<-'EOF'
	{ "version": 1, "seccomp": { "rules": { "add": [
		{ "syscalls": ["read", "opne"], "action": "allow" } ] } } }
	EOF
	refused './bad.json:2: seccomp.rules.add[0].syscalls[0]: "@netwrok": no such group: did you mean "@network"?' <<-'EOF'
	{ "version": 1, "seccomp": { "rules": { "add": [
		{ "syscalls": ["@netwrok"], "action": "errno" } ] } } }
	EOF
	refused './bad.json:2: seccomp.rules.add[0].except: read is not among the rule' <<-'EOF'
	{ "version": 1, "seccomp": { "rules": { "add": [
		{ "syscalls": ["write"], "except": ["read"], "action": "errno" } ] } } }
	EOF
	refused './bad.json:1: landlock.connect_tcp[0]: not a port' <<-'EOF'
	{ "version": 1, "landlock": { "connect_tcp": [70000] } }
	EOF
	echo '{ "version": 1, "extends": "./bad.json" }' >other.json
	refused './bad.json:1: extends: ' <<<'{ "version": 1, "extends": "./other.json" }' || true
	[[ "$output" == *"extends itself in the end"* ]]
	run launch --policy ./bad.json busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"extends itself in the end"* ]]
}

@test "list, show, check: presets and groups, also as JSON" {
	run "$BIVALVE" policy list
	for name in default strict open judge build net-client; do
		[[ "$output" == *"$name "* ]]
		"$BIVALVE" policy show "$name" >"$name.json"
		"$BIVALVE" policy check "./$name.json"
	done
	[ "$("$BIVALVE" policy show --digest strict)" = "sha256:$("$BIVALVE" policy show --canonical strict | sha256sum | cut -d' ' -f1)" ]
	[ "$("$BIVALVE" policy show --digest strict)" = "$("$BIVALVE" policy check --json ./strict.json | jq -r .digest)" ]
	[ "$("$BIVALVE" policy show --digest strict)" != "$("$BIVALVE" policy show --digest judge)" ]
	"$BIVALVE" policy check --json ./strict.json | jq -e '.valid and .policy == "./strict.json"'
	echo '{ "version": 2 }' >bad.json
	run --separate-stderr "$BIVALVE" policy check --json ./bad.json
	[ "$status" -eq 125 ]
	jq -e '.valid == false and (.error | startswith("./bad.json:1: version: "))' <<<"$output"
	"$BIVALVE" policy list --groups --json | python3 -c 'if True:
	import json, sys
	groups = {g["name"]: g["syscalls"] for g in json.load(sys.stdin)}
	assert "connect" in groups["@network"] and len(groups["@all"]) > 380'
}

@test "what is in force, as one document, says the same as the chain it came from" {
	for name in default strict open judge build net-client; do
		"$BIVALVE" policy show --effective "$name" >"$name.json"
		"$BIVALVE" policy diff "$name" "./$name.json"
	done
	run "$BIVALVE" policy diff strict judge
	[ "$status" -eq 1 ]
	[[ "$output" == *"+ limits.wall_time: 10000000us"* ]]
	run "$BIVALVE" policy diff --json strict judge
	[ "$status" -eq 1 ]
	jq -e 'any(.right == "limits.wall_time: 10000000us" and .left == null) and
		any(.key == "seccomp connect" and (.right | startswith("denied, EPERM")))' <<<"$output"
	[ "$("$BIVALVE" policy diff --json strict strict | jq length)" = 0 ]
}

@test "the JSON schema, the tables in the program and the README agree" {
	python3 "$TESTS/integration/lib/policy_schema.py" "$BIVALVE" "$TESTS/.."
}

@test "explain: what it may, and which rule of which document says so" {
	printf '{ "version": 1, "extends": "strict",\n"network": "host",\n"landlock": { "read": ["/usr"], "connect_tcp": [443] } }\n' >p.json
	run "$BIVALVE" policy explain ./p.json call mount
	[[ "$output" =~ ^no$'\n'"  mount: denied, EPERM   preset strict:"[0-9]+$'\n'"  chain: ./p.json → preset strict → preset default"$ ]]
	run "$BIVALVE" policy explain ./p.json call socket 40 1 0
	[[ "${lines[0]}" == no && "${lines[1]}" == *"EAFNOSUPPORT   preset strict:"* ]]
	run "$BIVALVE" policy explain ./p.json read /etc/passwd
	[[ "${lines[0]}" == no && "${lines[1]}" == "  landlock.read: not beneath any of its paths   ./p.json:3" ]]
	run "$BIVALVE" policy explain ./p.json read /usr/lib/x
	[ "${lines[0]}" = yes ]
	run "$BIVALVE" policy explain ./p.json reach 192.0.2.1:443
	[[ "${lines[0]}" == yes && "${lines[1]}" == "  network: host   ./p.json:2" ]]
	run "$BIVALVE" policy explain ./p.json reach 192.0.2.1:80
	[[ "${lines[0]}" == no && "$output" == *"landlock.connect_tcp: 80 is not listed   ./p.json:3"* ]]
	"$BIVALVE" policy explain --json strict read /proc/kcore | python3 -c 'if True:
	import json, sys
	e = json.load(sys.stdin)
	assert e["answer"] == "no" and e["reasons"][0]["what"] == "masked_paths: /proc/kcore", e
	assert e["chain"] == ["preset strict", "preset default"]'
	run "$BIVALVE" policy explain strict call nonsense
	[ "$status" -eq 125 ]
}

@test "Landlock holds beside everything else" {
	cat >p.json <<-'EOF'
	{
		"version": 1, "extends": "strict",
		"root": { "read_only": null, "upper": "64m" },
		"landlock": { "best_effort": false, "read": ["/bin", "/lib", "/lib64", "/etc/passwd"], "write": ["/tmp"] }
	}
	EOF
	run launch --policy ./p.json --audit audit busybox sh -c 'cat /etc/passwd >/dev/null && echo read; cat /etc/group'
	echo "$output"
	[[ "$output" == read*"/etc/group"*"Permission denied"* ]]
	[ "$(grep -c landlock audit)" -eq 1 ]
	grep '"path":"/etc/group","action":"errno","error":"EACCES","rule":"landlock.read ./p.json:4"' audit
	# A root that takes writes may be written, since the policy says so; without, only where the list says.
	run launch --policy strict --tmpfs /x busybox sh -c 'echo 1 >/x/y && echo wrote; echo 1 >/z'
	[[ "$output" == wrote*"Read-only file system"* ]]
}

# learnt NAME PROGRAM [ARG…]: learns from it, runs it under what was learnt: the same output, nothing denied that was not.
learnt() {
	local name=$1
	shift
	run sandbox_of learn "$name" "$@"
	echo "$name: $output"
	[ "$status" -eq 0 ]
	local first=$output
	run "$BIVALVE" policy check "./$name.json"
	[ "$status" -eq 0 ]
	run sandbox_of use "$name" "$@"
	echo "$name under its policy: $output"
	[ "$status" -eq 0 ]
	[ "$output" = "$first" ]
}

sandbox_of() {
	local verb=$1 name=$2
	shift 2
	local shell=(--engine "${BIVALVE_TEST_ENGINE:-auto}" --rw "$folder/work" --workdir "$folder/work")
	! is_vm || shell+=(--vm)
	if [ "$verb" = learn ]; then
		"$BIVALVE" policy learn -o "$folder/$name.json" "${shell[@]}" -- "$@"
	else
		"$BIVALVE" sandbox --policy "$folder/$name.json" --audit "$folder/$name.audit" "${shell[@]}" "$@"
	fi
}

@test "learn on five programs, then running under the learnt policy works; something else is denied and explained" {
	mkdir work
	cp /etc/passwd work/in
	echo 'int main(void) { return 0; }' >work/a.c
	learnt sh /bin/sh -c 'grep root in | wc -l; cat a.c'
	if is_vm; then # in one machine: booting one for each costs more than it shows
		learnt five /bin/sh -c 'set -e; grep root in; /usr/bin/python3 -c "import json; print(json.dumps([1]))"
			/usr/bin/gcc -o a.out a.c; ./a.out; /bin/tar cf out.tar in a.c; /usr/bin/sort in'
	else
		learnt python3 /usr/bin/python3 -c 'import json; open("o", "w").write(json.dumps([1])); print(open("o").read())'
		learnt gcc /usr/bin/gcc -o a.out a.c
		learnt tar /bin/tar cf out.tar in a.c
		learnt sort /usr/bin/sort in
	fi
	run sandbox_of use sh /bin/sh -c 'cat /etc/group; mkdir x; kill -0 1'
	echo "$output"
	[ "$status" -ne 0 ]
	[[ "$output" == *"/etc/group: Permission denied"* && "$output" == *"mkdir: Permission denied"* ]]
	[ ! -e work/x ]
	grep '"syscall":"kill","args":\[.*\],"action":"errno","error":"EPERM","rule":"'"$folder/sh.json:" sh.audit
	run "$BIVALVE" policy explain ./sh.json call kill
	[[ "${lines[0]}" == no && "${lines[1]}" == *"kill: denied, EPERM   ./sh.json:"* ]]
	run "$BIVALVE" policy explain ./sh.json execute /usr/bin/mkdir
	[ "${lines[0]}" = no ]
	run "$BIVALVE" policy explain ./sh.json read /etc/group
	[[ "${lines[0]}" == no && "${lines[1]}" == *"landlock.read: not beneath any of its paths   ./sh.json:"* ]]
}

@test "learn: an image, whose root takes writes only while it is learnt from, or because it needs to" {
	run "$BIVALVE" policy learn -o p.json $(is_vm && echo --vm) --engine "${BIVALVE_TEST_ENGINE:-auto}" busybox \
		sh -c 'echo 1 >/kept; cat /kept; exit 3'
	[ "$status" -eq 3 ]
	grep -q '"read_only": false' p.json
	run launch --policy ./p.json busybox sh -c 'echo 1 >/kept; cat /kept; exit 3'
	[ "$status" -eq 3 ]
	[ "$output" = 1 ]
}
