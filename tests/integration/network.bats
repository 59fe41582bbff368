#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The user network: passt beside a microVM, pasta beside a container, the same view from inside. "The host" is a network
# namespace of the tests' own with one address and a route that leads nowhere.

bats_require_minimum_version 1.5.0
load lib/common

OUTSIDE=198.51.100.1
BIG_BYTES=3000000

# on_host COMMAND…: in that namespace.
on_host() {
	nsenter -t "$HOST_PID" -n "$@"
}

setup_file() {
	common_setup_file
	WEB=$BIVALVE_RUN/.web
	mkdir -p "$WEB"
	echo small > "$WEB/small"
	head -c $BIG_BYTES /dev/urandom > "$WEB/big"
	export WEB
	[ "$(id -u)" -eq 0 ] || return 0
	unshare -n sleep 100000 3>&- &
	export HOST_PID=$!
	eventually other_namespace
	on_host sh -c "ip link set lo up && ip link add out0 type veth peer name out1 && ip link set out1 up &&
		ip addr add $OUTSIDE/24 dev out0 && ip link set out0 up && ip route add default via 198.51.100.2 dev out0"
	nsenter -t "$HOST_PID" -n python3 -m http.server -d "$WEB" 9000 > /dev/null 2>&1 3>&- &
	export WEB_PID=$!
	eventually on_host python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9000))'
}

other_namespace() {
	[ "$(readlink /proc/"$HOST_PID"/ns/net)" != "$(readlink /proc/self/ns/net)" ]
}

teardown_file() {
	[ -z "${WEB_PID:-}" ] || kill "$WEB_PID"
	[ -z "${HOST_PID:-}" ] || kill "$HOST_PID"
	common_teardown_file
}

setup() {
	[ "$(id -u)" -eq 0 ] || need root "a network namespace to play the host takes root"
}

# In the workload: get ADDRESS PATH leaves the answer in /tmp/out. Its end of the connection stays open until the other closes.
GET='get() {
	mkfifo /tmp/pipe; nc -w 20 $1 9000 < /tmp/pipe > /tmp/out 2> /tmp/err & client=$!
	exec 3> /tmp/pipe; printf "GET /%s HTTP/1.0\r\n\r\n" $2 >&3; wait $client; exec 3>&-; rm /tmp/pipe
}'

# In the network namespace of the tests' host.
net_launch() {
	nsenter -t "$HOST_PID" -n "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" \
		--engine "${BIVALVE_TEST_ENGINE:-auto}" --net user "$@"
}

@test "one card beside loopback, its route and its name server; what is outside is reached, the host's loopback is not" {
	net_launch busybox sh -c "$GET
		mkdir -p /tmp; ls /sys/class/net | tr '\n' ' '; echo
		cat /etc/resolv.conf
		ip -4 -o addr show eth0 | tr -s ' ' | cut -d ' ' -f 4
		ip route | grep ^default | cut -d ' ' -f 1-5
		get $OUTSIDE small; tail -n 1 /tmp/out
		for i in 1 2 3; do get $OUTSIDE big; tail -c $BIG_BYTES /tmp/out | md5sum; done
		for address in 127.0.0.1 10.0.2.15 10.0.2.2; do
			nc -w 1 \$address 9000 < /dev/null > /tmp/out 2>&1 || echo \$address is nobody
		done" > "$BATS_TEST_TMPDIR/out"
	cat "$BATS_TEST_TMPDIR/out"
	[ "$(sed -n 1p "$BATS_TEST_TMPDIR/out" | tr ' ' '\n' | grep -xE 'eth0|lo' | wc -l)" -eq 2 ]
	[ "$(sed -n 2,5p "$BATS_TEST_TMPDIR/out")" = "nameserver 10.0.2.3
10.0.2.15/24
default via 10.0.2.2 dev eth0
small" ]
	[ "$(grep -c "^$(md5sum < "$WEB/big")" "$BATS_TEST_TMPDIR/out")" -eq 3 ]
	[ "$(tail -n 3 "$BATS_TEST_TMPDIR/out")" = "127.0.0.1 is nobody
10.0.2.15 is nobody
10.0.2.2 is nobody" ]
}

@test "a published port leads into the workload, under the strict policy too" {
	net_launch --policy strict -p 127.0.0.1:8088:8080 --name "published-$$" busybox \
		sh -c 'echo ready; while :; do nc -l -p 8080 -e echo from inside; done' > "$BATS_TEST_TMPDIR/out" < /dev/null 3>&- &
	local launcher=$!
	eventually grep -q ready "$BATS_TEST_TMPDIR/out"
	# The listener may not be there yet: passt then takes the connection and ends it without a word.
	eventually grab_published
	"$BIVALVE" kill "published-$$" KILL
	wait $launcher || true
	nothing_left "published-$$"
}

# The client speaks first, as with HTTP: Debian 12's passt sometimes keeps to itself what a guest says to a silent one.
grab_published() {
	[ "$(on_host python3 -c 'import socket
s = socket.create_connection(("127.0.0.1", 8088)); s.settimeout(2)
s.sendall(b"hello\n")
print(s.makefile().readline(), end="")')" = "from inside" ]
}

@test "what cannot be published is refused by name" {
	local ports
	run -125 "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" -p 8080:80 busybox true
	[[ "$output" == *"--publish 8080:80: needs --net user"* ]]
	for ports in 80 0:1 1:65536 x:1 1:2/sctp 1.2.3.4.5:1:2 1:2:3:4; do
		run -125 net_launch -p "$ports" busybox true
		[ "${#lines[@]}" -eq 1 ]
		[[ "$output" == *"ublish $ports"* || "$output" == *"ports[0].address"* ]]
	done
	run -125 net_launch -p 9000:80 --name "taken-$$" busybox true # the web server's
	[ "${#lines[@]}" -eq 1 ]
	[[ "$output" == *"network: user: "*9000* ]]
	nothing_left "taken-$$"
}

@test "without it there is no card" {
	run -0 launch busybox sh -c 'ls /sys/class/net; ip -4 -o addr show'
	! grep -q eth0 <<< "$output"
	! grep -q 'inet 10' <<< "$output"
}

# The running passt or pasta that was told of this port.
helpers() {
	local pid
	for pid in $(pgrep -f -- " 127\.0\.0\.1/$1:"); do
		[ "$(cut -d ' ' -f 3 "/proc/$pid/stat")" = Z ] || echo "$pid"
	done
}

no_helper() {
	[ -z "$(helpers "$1")" ]
}

@test "a launcher that is killed takes the helper along" {
	nsenter -t "$HOST_PID" -n "$BIVALVE" launch --backend "$SHELL_UNDER_TEST" --engine "${BIVALVE_TEST_ENGINE:-auto}" \
		--net user -p "127.0.0.1:18123:80" --name "killed-$$" busybox sh -c 'echo ready; exec sleep 100000' > "$BATS_TEST_TMPDIR/out" < /dev/null 3>&- &
	local launcher=$!
	eventually grep -q ready "$BATS_TEST_TMPDIR/out"
	[ -n "$(helpers 18123)" ]
	kill -KILL $launcher
	wait $launcher || true
	eventually no_helper 18123
	launch --name "sweeper-$$" busybox true
	nothing_left "killed-$$"
}

# Its connections of before are nobody's; it makes new ones by the same card, in each copy and beside the original.
@test "a saved microVM goes on with its card" {
	[ "$SHELL_UNDER_TEST" = vm ] || skip "containers are not saved"
	local in=$BIVALVE_RUN/.in out=$BATS_TEST_TMPDIR/out saved=$BATS_TEST_TMPDIR/saved pid
	mkfifo "$in"
	net_launch -i --name "saved-$$" busybox sh -c "$GET
		mkdir -p /tmp; while read -r line; do get $OUTSIDE \$line; tail -n 1 /tmp/out; cat /sys/class/net/eth0/address; done" \
		< "$in" > "$out" 3>&- &
	pid=$!
	exec 7> "$in"
	echo small >&7
	eventually grep -q : "$out"
	"$BIVALVE" snapshot save "saved-$$" "$saved"
	echo small | nsenter -t "$HOST_PID" -n "$BIVALVE" launch --from "$saved" -i > "$out.copy" 7>&-
	echo small >&7
	exec 7>&-
	wait "$pid"
	rm "$in"
	[ "$(head -n 1 "$out")" = small ]
	[ "$(cat "$out")" = "$(cat "$out.copy" "$out.copy")" ]
}
