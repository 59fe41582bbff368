#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Templates and warm starts: for the VM shell alone (what a container says is in compare.bats). The store is a copy of its
# own: templates must not reach other tests.

bats_require_minimum_version 1.5.0
load lib/common

setup_file() {
	common_setup_file
	mkdir "$BIVALVE_RUN.store"
	# A lab has its folder on another file system.
	cp -al "$BIVALVE_STORE/." "$BIVALVE_RUN.store/" 2>/dev/null || cp -a "$BIVALVE_STORE/." "$BIVALVE_RUN.store/"
	rm -rf "$BIVALVE_RUN.store/templates"
	export BIVALVE_STORE=$BIVALVE_RUN.store
	"$TESTS/../scripts/busybox-root" "$BIVALVE_RUN.root"
	cp "$BUILD/tests/clock_echo" "$BIVALVE_RUN.root/bin/"
	"$BIVALVE" image import "$BIVALVE_RUN.root" clock
	TEMPLATE=$("$BIVALVE" template create clock --engine "${BIVALVE_TEST_ENGINE:-auto}")
	export TEMPLATE
}

teardown_file() {
	rm -rf "$BIVALVE_RUN.store" "$BIVALVE_RUN.root"
	common_teardown_file
}

# of_report MEMBER…: of the last launch's
of_report() {
	jq -r "$1" "$BIVALVE_RUN/report"
}

warm() {
	launch --start warm --report "$BIVALVE_RUN/report" "$@"
}

@test "a template is made once, listed and inspected" {
	[[ "$TEMPLATE" =~ ^[0-9a-f]{16}$ ]]
	run -0 --separate-stderr "$BIVALVE" template create --engine "${BIVALVE_TEST_ENGINE:-auto}" clock
	[ "$output" = "$TEMPLATE" ]
	run -0 "$BIVALVE" template list
	[[ "${lines[1]}" == "$TEMPLATE"*clock* ]]
	[ "$("$BIVALVE" template list --json | jq -r '.[].name')" = "$TEMPLATE" ]
	[ "$("$BIVALVE" template inspect "$TEMPLATE" | jq '.[0].key.memory_bytes')" = $((256 << 20)) ]
	[ "$(stat -c %a "$BIVALVE_STORE/templates/$TEMPLATE")" = 700 ]
	[ -z "$(ls "$BIVALVE_STORE/tmp")" ]
}

@test "a launch goes on from the template that fits, and passes on input, output and status" {
	run -7 launch -i --report "$BIVALVE_RUN/report" clock sh -c 'cat; echo wrong >&2; exit 7' <<< "through"
	[[ "$output" == *through* && "$output" == *wrong* ]]
	[ "$(of_report .start)" = warm ]
	[[ "$(of_report .start_reason)" == *"$TEMPLATE"* ]]
	[ "$(of_report '[.milestones[].name] | index("restored") != null')" = true ]
	[ "$(of_report '[.milestones[].name] | index("kernel-entered")')" = null ]
}

@test "the workload of a plan like the template's is prepared; any other is set up as ever, and both are the same" {
	local who='id; pwd; hostname; env | sort; ls /proc/self/fd; cat /proc/self/status | grep -E "Cap|Seccomp:|NoNewPrivs"; mount | wc -l; ps'
	warm -h me -e A=b clock sh -c "$who" > "$BIVALVE_RUN/one"
	[[ "$(of_report .start_reason)" == *"has prepared the workload" ]]
	warm -h me -e A=b --pids-limit 2000 clock sh -c "$who" > "$BIVALVE_RUN/two"
	[[ "$(of_report .start_reason)" == *"$TEMPLATE fits" ]]
	launch --start cold -h me -e A=b clock sh -c "$who" > "$BIVALVE_RUN/three"
	grep -q "^me$" "$BIVALVE_RUN/one"
	diff "$BIVALVE_RUN/one" "$BIVALVE_RUN/two"
	diff "$BIVALVE_RUN/one" "$BIVALVE_RUN/three"
	# Nobody watches its calls: by --report somebody does.
	launch --start warm -h me -e A=b clock sh -c "$who" > "$BIVALVE_RUN/four"
	diff "$BIVALVE_RUN/one" "$BIVALVE_RUN/four"
	warm clock sh -c 'unshare -U true' || true
	[ "$(of_report '[.denied[].syscall] | index("unshare") != null')" = true ]
	run -127 warm clock no-such-program
	[[ "$output" == *'"no-such-program": executable file not found in $PATH'* ]]
	run -126 warm clock /etc
}

@test "two warm starts differ in random bytes, boot id and host name" {
	local who='head -c 32 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/boot_id; hostname; echo $RANDOM$RANDOM$RANDOM'
	warm clock sh -c "$who" > "$BIVALVE_RUN/one"
	warm clock sh -c "$who" > "$BIVALVE_RUN/two"
	[ "$(wc -l < "$BIVALVE_RUN/one")" -eq 5 ] # 32 bytes take two lines
	[ -z "$(comm -12 <(sort "$BIVALVE_RUN/one") <(sort "$BIVALVE_RUN/two"))" ]
}

# net_launch WHAT…: by a host with an interface to the outside, which a lab has not, in a network namespace
net_launch() {
	unshare -n sh -c 'ip link set lo up && ip link add out0 type veth peer name out1 && ip link set out1 up &&
		ip addr add 198.51.100.1/24 dev out0 && ip link set out0 up && ip route add default via 198.51.100.2 dev out0 &&
		exec "$0" "$@"' "$BIVALVE" launch --vm --engine "${BIVALVE_TEST_ENGINE:-auto}" --net user \
		--report "$BIVALVE_RUN/report" "$@"
}

@test "with a network card: two warm starts differ in its address, and are up and prepared" {
	local who='cat /sys/class/net/eth0/address; ip -4 addr show eth0; ip route' net
	# Linux says that a card is up a moment after it is, at most once a second.
	who="until grep -q up /sys/class/net/eth0/operstate; do sleep 0.1; done; $who"
	type -P passt >/dev/null || need passt "the user network of the VM shell"
	run -125 warm --net user clock true
	[[ "$output" == *"differs in devices"* ]]
	net=$("$BIVALVE" template create clock --net user --engine "${BIVALVE_TEST_ENGINE:-auto}")
	[ "$net" != "$TEMPLATE" ]
	for i in one two; do
		net_launch --start warm clock sh -c "$who" > "$BIVALVE_RUN/$i"
		[[ "$(of_report .start_reason)" == *"$net fits, and has prepared the workload" ]]
	done
	net_launch --start cold clock sh -c "$who" > "$BIVALVE_RUN/three"
	[[ "$(head -n 1 "$BIVALVE_RUN/one")" =~ ^[0-9a-f]{2}(:[0-9a-f]{2}){5}$ ]]
	[ "$(sort -u <(head -qn 1 "$BIVALVE_RUN"/{one,two,three}) | wc -l)" -eq 3 ]
	grep -q "default via" "$BIVALVE_RUN/one"
	diff <(sed "s/[0-9a-f:]\{17\}//g" "$BIVALVE_RUN/one") <(sed "s/[0-9a-f:]\{17\}//g" "$BIVALVE_RUN/three")
	run -0 "$BIVALVE" template remove "$net"
}

@test "the clock of a warm start is right within 10 ms, and the monotonic one goes on" {
	local before after wall=0 monotonic last=0
	mkfifo "$BIVALVE_RUN/ask" "$BIVALVE_RUN/answer"
	"$BIVALVE" launch --vm --engine "${BIVALVE_TEST_ENGINE:-auto}" --start warm -i clock clock_echo \
		< "$BIVALVE_RUN/ask" > "$BIVALVE_RUN/answer" 3>&- &
	exec 7> "$BIVALVE_RUN/ask" 8< "$BIVALVE_RUN/answer"
	for _ in 1 2 3 4 5; do
		before=$(date +%s%N)
		echo >&7
		read -r wall monotonic <&8
		after=$(date +%s%N)
		echo "$before $wall $after"
		[ "$wall" -ge $((before - 10000000)) ]
		[ "$wall" -le $((after + 10000000)) ]
		[ "$monotonic" -gt "$last" ]
		last=$monotonic
	done
	exec 7>&- 8<&-
	wait $!
}

@test "warm is refused by name where no template fits; auto boots and says why" {
	run -125 warm --cpus 2 clock true
	[[ "$output" == *"start: warm"*"$TEMPLATE differs in vcpus"*"bivalve template create"* ]]
	run -125 warm -v /etc:/mnt:ro clock true
	[[ "$output" == *"start: warm"*"host directories (virtio-fs)"* ]]
	run -0 launch --cpus 2 --report "$BIVALVE_RUN/report" clock true
	[ "$(of_report .start)" = cold ]
	[[ "$(of_report .start_reason)" == *vcpus* ]]
	run -0 launch --start cold --report "$BIVALVE_RUN/report" clock true
	[ "$(of_report .start)" = cold ]
	run -125 launch --start lukewarm clock true
	[[ "$output" == *"--start lukewarm: expected one of auto, cold, warm"* ]]
}

@test "a template that was changed, damaged or is open to others is refused by name" {
	local folder=$BIVALVE_STORE/templates/$TEMPLATE
	chmod 770 "$folder"
	run -125 warm clock true
	[[ "$output" == *"others than its owner may write it"* ]]
	chmod 700 "$folder"
	cp "$folder/state" "$BIVALVE_RUN/state"
	printf X | dd of="$folder/state" bs=1 seek=5000 conv=notrunc status=none
	run -125 warm clock true
	[[ "$output" == *damaged* ]]
	truncate -s -1 "$folder/state"
	run -125 warm clock true
	[[ "$output" == *"cut off"* ]]
	cp "$BIVALVE_RUN/state" "$folder/state"
	run -0 warm clock true
	printf X | dd of="$folder/ram" bs=1 seek=5000 conv=notrunc status=none
	run -125 warm clock true
	[[ "$output" == *"changed since it was made"* ]]
	run -0 launch --start auto --report "$BIVALVE_RUN/report" clock true
	[ "$(of_report .start)" = cold ]
}

@test "a damaged template is made anew; templates are removed by name" {
	[ "$("$BIVALVE" template create clock --engine "${BIVALVE_TEST_ENGINE:-auto}")" = "$TEMPLATE" ]
	run -0 warm clock true
	run -0 "$BIVALVE" template remove "$TEMPLATE"
	run -125 "$BIVALVE" template remove "$TEMPLATE"
	[[ "$output" == *"there is none of that name"* ]]
	run -125 "$BIVALVE" template remove ../images
	[[ "$output" == *"there is none of that name"* ]]
	run -0 "$BIVALVE" template list
	[ "${#lines[@]}" -eq 1 ]
	run -125 "$BIVALVE" template create
	[[ "$output" == *"name of an image"* ]]
	run -125 "$BIVALVE" template create nothing-like-it
	[[ "$output" == *nothing-like-it* ]]
	run -125 "$BIVALVE" template frobnicate
	[[ "$output" == *"expected create IMAGE"* ]]
}
