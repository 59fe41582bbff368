#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bench: the command, its results and its page. What the figures are is no test; that they are there and honest is.

bats_require_minimum_version 1.5.0
load lib/common

# result SAMPLES_A SAMPLES_B [UNIT_BETTER]: a result of one metric and two columns, on standard output.
result() {
	jq -n --argjson a "$1" --argjson b "$2" --arg better "${3:-lower}" '{version: 1, kind: "bivalve-bench", created: "x",
		interrupted: false, environment: {}, columns: [{name: "native"}, {name: "container"}], notes: [],
		metrics: [{suite: "cpu", name: "integer", unit: "ns", better: $better,
			cells: [{column: "native", samples: $a, error: null}, {column: "container", samples: $b, error: null}]}]}'
}

# The shells that work here, with a comma between.
shells_here() {
	"$BIVALVE" doctor --json | jq -e .vm > /dev/null && echo container,vm || echo container
}

@test "bench fills its columns and writes every form of result" {
	cd "$BATS_TEST_TMPDIR"
	"$BIVALVE" bench startup --quick cpu --runs 15 --backends native,container --json r.json --csv r.csv --md r.md --html r.html \
		> table.txt
	[ "$(jq -r .version r.json)" = 1 ]
	[ "$(jq '[.metrics[] | select(.name == "wall" or .suite == "cpu") | .cells[] | select((.samples | length) == 15 and .error == null)] | length' r.json)" = 8 ]
	jq -e '.metrics[] | select(.name == "at exec") | .cells[1].summary.median > 0' r.json > /dev/null
	jq -e '.environment["control groups"] and .environment.kernel and .environment.image' r.json > /dev/null
	# A container costs more than a process: if this is not found, nothing is.
	[ "$(jq -r '.metrics[] | select(.name == "wall") | .cells[1].against_first.verdict' r.json)" = worse ]
	[ "$(grep -c '"wall"' r.csv)" = 30 ]
	grep -q '^## startup' r.md
	grep -q '█' table.txt
	grep -q '<svg data-plot="milestones"' r.html
}

@test "the same workloads run in the microVM, in one boot, and its clock is checked" {
	"$BIVALVE" doctor --json | jq -e .vm > /dev/null || need vm "no engine can run a microVM here"
	"$BIVALVE" bench syscall --runs 6 --backends native,vm --json - > "$BATS_TEST_TMPDIR/r.json"
	[ "$(jq '[.metrics[].cells[] | select((.samples | length) == 6)] | length' "$BATS_TEST_TMPDIR/r.json")" = 8 ]
	jq -e '.environment["clock of vm"] and .environment["guest kernel"]' "$BATS_TEST_TMPDIR/r.json" > /dev/null
}

@test "bench net has both ends in each column and from the host; a warm start has no card and says so" {
	command -v passt > /dev/null || need passt "passt is not installed"
	"$BIVALVE" bench net --runs 2 --warmup 0 --backends "native,$(shells_here)" --json - > "$BATS_TEST_TMPDIR/r.json"
	[ "$(jq '[.metrics[].cells[] | select((.samples | length) == 2 and .error == null)] | length' "$BATS_TEST_TMPDIR/r.json")" = \
		"$(jq '5 * (.columns | length)' "$BATS_TEST_TMPDIR/r.json")" ]
	mkdir "$BATS_TEST_TMPDIR/store"
	BIVALVE_STORE=$BATS_TEST_TMPDIR/store "$BIVALVE" bench net --runs 2 --warmup 0 --backends native,vm-warm \
		--json "$BATS_TEST_TMPDIR/warm.json" > "$BATS_TEST_TMPDIR/table"
	[ "$(grep -c "vm-warm .*- a VM with a network card starts cold" "$BATS_TEST_TMPDIR/table")" -eq 5 ]
	"$BIVALVE" bench show "$BATS_TEST_TMPDIR/warm.json" | diff - "$BATS_TEST_TMPDIR/table"
}

@test "what cannot run is an error in its cell and no number" {
	mkdir "$BATS_TEST_TMPDIR/store"
	BIVALVE_STORE=$BATS_TEST_TMPDIR/store run --separate-stderr "$BIVALVE" bench startup --runs 2 --backends native,vm --json -
	[ "$status" -eq 1 ]
	[ "$(jq '.metrics[0].cells[0].samples | length' <<< "$output")" = 2 ]
	[ "$(jq '.metrics[0].cells[1].samples | length' <<< "$output")" = 0 ]
	jq -e '.metrics[0].cells[1] | (.error | contains("kernel")) and .summary == null' <<< "$output" > /dev/null
}

@test "a workload that fails is an error in that cell alone, in both shells" {
	local shells
	shells=$(shells_here)
	echo '{"version": 1, "extends": "default", "resources": {"pids": 2}}' > "$BATS_TEST_TMPDIR/p.json"
	run --separate-stderr "$BIVALVE" bench process --runs 2 --backends "native,$shells" --policy "$BATS_TEST_TMPDIR/p.json" --json -
	[ "$status" -eq 1 ]
	jq -e --arg shells "$shells" '.metrics[] | select(.name == "fork and exit") | .cells[0].error == null and
		(.cells[0].samples | length == 2) and
		([.cells[1:][] | select((.error | contains("fork")) and (.samples | length == 0))] | length) == ($shells | split(",") | length)' \
		<<< "$output" > /dev/null || { jq -c '.metrics[].cells[]' <<< "$output"; false; }
}

@test "compare --runs measures the user's own command in turn, natively too" {
	cd "$BATS_TEST_TMPDIR"
	# It changes its root: neither the image's layers nor the next run may see that. The status is its own affair.
	"$BIVALVE" compare --runs 6 --warmup 1 --backends native,container -e A=b --json --html page.html busybox \
		sh -c '[ "$A" = b ] || kill -9 $$; [ -e /etc/passwd ] && echo x > /changed && exit 3' > r.json
	[ "$(jq '[.metrics[0].cells[] | select((.samples | length) == 6 and .error == null)] | length' r.json)" = 2 ]
	grep -q 'data-plot="cdf"' page.html
	run "$BIVALVE" launch busybox ls /changed
	[ "$status" -eq 1 ]
	run "$BIVALVE" compare --backends native busybox true
	[ "$status" -eq 125 ]
	[[ "$output" == *"--runs"* ]]
	run --separate-stderr "$BIVALVE" compare --runs 2 --backends native,container --json busybox sh -c 'kill -9 $$'
	[ "$status" -eq 1 ]
	jq -e '[.metrics[0].cells[] | select(.error != null and (.samples | length) == 0)] | length == 2' <<< "$output" > /dev/null
}

@test "bench peers runs the others on the same bundle; who is not there says so" {
	[ "$(id -u)" = 0 ] || need root "peers need root"
	command -v crun bwrap > /dev/null || need crun "crun and bwrap are not installed"
	run --separate-stderr "$BIVALVE" bench peers --runs 2 --warmup 0 --json -
	echo "$stderr"
	for peer in container vm "bivalve run" crun bwrap "qemu microvm"; do
		jq -e --arg peer "$peer" '.metrics[0].cells[] | select(.column == $peer) | .error == null and (.samples | length) == 2' \
			<<< "$output" > /dev/null || { echo "$peer"; false; }
	done
	jq -e '.metrics[0].cells[] | select(.column == "firecracker") | .error != null' <<< "$output" > /dev/null
}

@test "bench isolation puts one wall at a time against none" {
	"$BIVALVE" bench isolation --runs 6 --backends container --json - > "$BATS_TEST_TMPDIR/r.json"
	[ "$(jq -c '[.columns[].name]' "$BATS_TEST_TMPDIR/r.json")" = \
		'["container, none","container, seccomp","container, landlock","container, audit"]' ]
	[ "$(jq '[.metrics[].cells[] | select((.samples | length) == 6)] | length' "$BATS_TEST_TMPDIR/r.json")" = 20 ]
	run "$BIVALVE" bench isolation cpu
	[ "$status" -eq 125 ]
}

# interrupt_after N BENCH-WORDS…: interrupts bench once N instances were seen, one after the other; it must end as an interrupted
# one does and leave nothing.
interrupt_after() {
	local wanted=$1 seen="" now name pid status=0
	shift
	"$BIVALVE" bench "$@" --json "$BATS_TEST_TMPDIR/r.json" > /dev/null 2> "$BATS_TEST_TMPDIR/err" &
	pid=$!
	while [ "$(wc -w <<< "$seen")" -lt "$wanted" ]; do
		kill -0 "$pid"
		now=$(ls "$BIVALVE_RUN" | grep -v '^\.' | head -n 1 || true)
		[[ -z "$now" || " $seen " == *" $now "* ]] || seen="$seen $now"
	done
	kill -INT "$pid"
	wait "$pid" || status=$?
	cat "$BATS_TEST_TMPDIR/err"
	[ "$status" -eq 130 ]
	jq -e .interrupted "$BATS_TEST_TMPDIR/r.json" > /dev/null
	now=$(ls "$BIVALVE_RUN"; pgrep -fa "^$(realpath "$BUILD/bivalve-bench") serve" || true)
	for name in $seen; do # its monitor and machine have the instance's name among their words
		now+=$(pgrep -fa -- "$name" || true)
	done
	echo "left: $now"
	[ -z "$now" ]
}

# Once a second instance is seen, the first has been a sample.
@test "interrupted, it leaves nothing running and keeps the samples so far" {
	for shell in $(shells_here | tr , ' '); do
		interrupt_after 2 startup --runs 2000 --warmup 0 --backends "$shell"
		jq -e '.metrics[0].cells[0].samples | length > 0' "$BATS_TEST_TMPDIR/r.json" > /dev/null
	done
}

@test "interrupted in a session of workloads, it ends the session" {
	for shell in $(shells_here | tr , ' '); do
		interrupt_after 1 cpu --runs 2000 --backends "native,$shell"
	done
}

@test "bench diff finds what got worse, and nothing where nothing did" {
	cd "$BATS_TEST_TMPDIR"
	local same='[100,101,99,100.5,99.5,100.2,99.8,100.1]' slow='[110,111,109,110.5,109.5,110.2,109.8,110.1]'
	result "$same" "$same" > a.json
	result "$same" "$slow" > b.json
	"$BIVALVE" bench diff --fail-if '>5%' a.json a.json
	run "$BIVALVE" bench diff --fail-if '>5%' a.json b.json
	echo "$output"
	[ "$status" -eq 1 ]
	[[ "$output" == *"1 worse by more than 5%"* ]]
	"$BIVALVE" bench diff --fail-if '>15%' a.json b.json
	"$BIVALVE" bench diff --fail-if '>5%' b.json a.json
	# More is better: the same change is none to complain about, and its reverse is.
	result "$same" "$same" higher > c.json
	result "$same" "$slow" higher > d.json
	"$BIVALVE" bench diff --fail-if '>5%' c.json d.json
	run "$BIVALVE" bench diff --fail-if '>5%' d.json c.json
	[ "$status" -eq 1 ]
}

@test "the page opens without a script, an error or a request, and every plot is drawn" {
	command -v chromium > /dev/null || need chromium "chromium is not installed"
	cd "$BATS_TEST_TMPDIR"
	"$BIVALVE" bench startup syscall --runs 6 --backends native,container --html page.html > /dev/null
	run python3 "$BATS_TEST_DIRNAME/lib/page_check.py" page.html
	echo "$output"
	[ "$status" -eq 0 ]
	# The check can fail: a script that breaks, a request, a plot without anything.
	sed -e "s/default-src 'none'/default-src *; script-src 'unsafe-inline'/" \
		-e 's|</body>|<script>nonsense()</script><img src="http://127.0.0.1:9/x.png"><svg viewBox="0 0 9 9"></svg></body>|' \
		page.html > bad.html
	run python3 "$BATS_TEST_DIRNAME/lib/page_check.py" bad.html
	echo "$output"
	[ "$status" -eq 1 ]
	[[ "$output" == *"script error"* && "$output" == *"request to http://127.0.0.1:9/x.png"* && "$output" == *"not drawn"* ]]
}

@test "names in a result are text in the page, whatever they hold" {
	cd "$BATS_TEST_TMPDIR"
	result '[1,2,3,4,5,6]' '[1,2,3,4,5,6]' | jq '.metrics[0].name = "<script>x</script>" | .notes = ["a & <b>"]' > a.json
	"$BIVALVE" bench show --html page.html a.json > /dev/null
	! grep -q '<script>' page.html
	grep -q '&lt;script&gt;' page.html
}

@test "bad input to bench is one clear line" {
	cd "$BATS_TEST_TMPDIR"
	echo '{"version": 2, "kind": "bivalve-bench"}' > v2.json
	echo '{"metrics": 3' > broken.json
	local words
	for words in "no-such-suite" "--runs many cpu" "--runs 100000 cpu" "--backends native,docker cpu" "--json /no/such/dir/f cpu" \
		"diff v2.json v2.json" "diff broken.json broken.json" "diff one.json" "diff --fail-if 5 v2.json v2.json" "show v2.json"; do
		# shellcheck disable=SC2086 # words on purpose
		run "$BIVALVE" bench $words
		echo "$words: $output"
		[ "$status" -eq 125 ]
		[ "${#lines[@]}" -eq 1 ]
	done
}
