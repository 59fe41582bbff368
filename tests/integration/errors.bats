#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What each verb says and how it ends when it cannot do its work, beside runc 1.1 and crun 1.8, which are asked the same.
#
# A row: when | the words of the command line | status | pattern | runc | crun
#
#   when      the state that the instance is in; "bundle": a bundle's own fault; "boot": one that starts a workload;
#             "local": the same, in containers alone: in a VM each is a boot, and the rows of exec go through the same code
#   words     @: the instance; %name: the bundle of that name (make_bundles)
#   pattern   an extended regular expression, whatever the case, that the line on standard error matches; "-": none
#   peer      its status, and its pattern where that is another one; "-": has no such verb
#
# What clients look for is a part of the pattern:
#   containerd, after kill    "container not running|no such process|os: process already finished": it has ended;
#                             "does not exist": it never was. After delete: "does not exist"
#   podman, CRI-O             "permission denied|operation not permitted": 126; "executable file not found in|no such file
#                             or directory|open executable": 127; state's "does not exist|No such file": gone;
#                             kill's "container not running" is not shown
# docs/oci.md has the differences as a table.

bats_require_minimum_version 1.5.0
load lib/common
load lib/oci

setup_file() {
	oci_setup_file
	make_bundles
}

teardown_file() {
	oci_teardown_file
}

table() {
	cat <<'TABLE'
absent  | state @                       | 125 | does not exist            | 1 | 1 no such file or directory
absent  | start @                       | 125 | does not exist            | 1 | 1 no such file or directory
absent  | kill @ KILL                   | 125 | does not exist            | 1 | 1 no such file or directory
absent  | kill --all @ KILL             | 125 | does not exist            | 1 | 1 no such file or directory
absent  | delete @                      | 125 | does not exist            | 1 | 1 no such file or directory
absent  | delete --force @              | 0   | -                         | 0 | 0
absent  | exec @ true                   | 125 | does not exist            | 255 | 1 no such file or directory
absent  | ps @                          | 125 | does not exist            | 1 | 253 no such file or directory
absent  | pause @                       | 125 | does not exist            | 1 | 1 no such file or directory
absent  | resume @                      | 125 | does not exist            | 1 | 1 no such file or directory
absent  | update --memory 100000000 @   | 125 | does not exist            | 1 | 1 no such file or directory
absent  | events --stats @              | 125 | does not exist            | 1 | -
created | create -b %good @             | 125 | already exists            | 1 | 1
created | run -b %good @                | 125 | already exists            | 1 | 1
created | exec @ sh -c exit\ 5          | 5   | -                         | 5 | 5
created | kill @ NOPE                   | 125 | unknown signal            | 1 | 0 -
created | kill @ 999                    | 125 | unknown signal            | 1 invalid argument | 1 invalid argument
running | start @                       | 125 | cannot start              | 1 | 1 cannot open
running | delete @                      | 125 | cannot delete container @ that is not stopped: running | 1 | 1 is not in
running | create -b %good @             | 125 | already exists            | 1 | 1
running | run -b %good @                | 125 | already exists            | 1 | 1
running | resume @                      | 125 | container not paused      | 1 | 0 -
running | exec @ nosuchprogram          | 127 | executable file not found in | 255 | 255 not found in .PATH: no such file or directory
running | exec @ /no/such               | 127 | no such file or directory | 255 | 255
running | exec @ /plain                 | 126 | permission denied         | 255 | 255
running | exec @ /folder                | 126 | permission denied         | 255 | 255 operation not permitted
running | exec @ /script                | 127 | no such file or directory | 1 | 1
running | exec @ /garbage               | 126 | exec format error         | 1 | 1
running | exec --cwd /no/such @ true    | 125 | no such file or directory | 255 | 255
running | exec --user nobodyhere @ true | 125 | nobodyhere                | 255 | 1 invalid USERSPEC
running | exec @ sh -c exit\ 3          | 3   | -                         | 3 | 3
running | exec @ sh -c kill\ -9\ $$     | 137 | -                         | 137 | 137
running | exec @ sh -c kill\ -TERM\ $$  | 143 | -                         | 143 | 143
running | exec --pid-file /no/such/p @ true | 125 | no such file or directory | 255 | 1
running | exec --process /no/such @     | 125 | no such file or directory | 255 | 1
running | exec --process %broken/config.json @ | 125 | EOF                | 255 | 1
running | exec @                        | 125 | no command                | 255 cannot be empty | 1 requires a minimum
running | exec --frobnicate @ true      | 125 | unknown option            | ? not defined | 64 unrecognized option
paused  | pause @                       | 125 | container not running     | 1 | 0 -
paused  | exec @ true                   | 125 | cannot exec in a paused container | 255 | 1 is paused
paused  | start @                       | 125 | cannot start              | 1 | 1 cannot open
paused  | delete @                      | 125 | cannot delete container @ that is not stopped: paused | 1 | 1 is not in
stopped | start @                       | 125 | cannot start a container that has stopped | 1 | 1 is not running
stopped | pause @                       | 125 | container not running     | 1 | 1 is not running
stopped | resume @                      | 125 | container not paused      | 1 | 1 is not running
stopped | kill @ KILL                   | 125 | container not running     | 1 | 1 no such process
stopped | kill --all @ KILL             | 0   | -                         | 0 | 0
stopped | exec @ true                   | 125 | cannot exec in a stopped container | 255 | 1 is not running
stopped | update --memory 100000000 @   | 125 | container not running     | 1 | 0 -
stopped | events --stats @              | 125 | not running               | 1 | -
stopped | create -b %good @             | 125 | already exists            | 1 | 1
stopped | delete @                      | 0   | -                         | 0 | 0
gone    | delete @                      | 125 | does not exist            | 1 | 1 no such file or directory
bundle  | create -b %none @             | 125 | no such file or directory | 1 | 1
bundle  | create -b %empty @            | 125 | config.json               | 1 | 1
bundle  | create -b %broken @           | 125 | EOF                       | 1 | 1 config.json
bundle  | create -b %type @             | 125 | process.args              | 1 | 0
bundle  | create -b %noargs @           | 125 | args.*empty               | 1 | 1 invalid argument
bundle  | create -b %noprocess @        | 125 | process                   | 1 | 1 internal error
bundle  | create -b %noroot @           | 125 | root                      | 1 | 1
bundle  | create -b %lostroot @         | 125 | no such file or directory | 1 | 1
bundle  | create -b %tty @              | 125 | terminal.*console-socket  | 1 tty.*console socket | 1 console-socket.*terminal
bundle  | create -b %good --console-socket /no/such @ | 125 | console.socket | 1 | 1
bundle  | create -b %nosource @         | 125 | no such file or directory | 1 | 1
bundle  | create -b %good ../x          | 125 | name .*expected           | 1 invalid container ID | 1 operation not permitted
bundle  | state a/b                     | 125 | name .*expected           | 1 invalid container ID | 1 no such file or directory
bundle  | state                         | 125 | expected .*state ID       | 1 exactly 1 argument | 1 specify a ID
bundle  | state a b                     | 125 | expected .*state ID       | 1 exactly 1 argument | 1 maximum of 1
bundle  | state --frobnicate @          | 125 | unknown option --frobnicate | 1 not defined | 64 unrecognized option
bundle  | --frobnicate state @          | 125 | unknown option --frobnicate | 1 not defined | 64 unrecognized option
bundle  | frobnicate @                  | 125 | unknown command frobnicate | 3 no help topic | 1
bundle  | --log /no/such/log state @    | 125 | no such file or directory | 1 | 1
boot    | run -b %status @              | 7   | -                         | 7 | 7
boot    | run -b %killed @              | 137 | -                         | 137 | 137
boot    | create -b %missing @          | 125 | executable file not found in | 1 | 1 not found in .PATH: no such file or directory
boot    | run -b %good --pid-file /no/such/p @ | 125 | no such file or directory | 1 | 1
local   | run -b %missing @             | 127 | executable file not found in | 1 | 1 not found in .PATH: no such file or directory
local   | run -b %path @                | 127 | no such file or directory | 1 | 1
local   | run -b %plain @               | 126 | permission denied         | 1 | 1
local   | run -b %folder @              | 126 | permission denied         | 1 | 1 operation not permitted
local   | run -b %script @              | 127 | no such file or directory | 1 | 1
local   | run -b %garbage @             | 126 | exec format error         | 1 | 1
local   | create -b %nofs @             | 125 | no such device            | 1 | 1
local   | create -b %hook @             | 125 | hook                      | 1 | 255
TABLE
}

# What the rows mean by their bundles; and what their programs are in the root.
make_bundles() {
	local name program
	export B=$BATS_FILE_TMPDIR
	printf '#!/no/such\n' > "$ROOTFS/script"
	printf 'garbage' > "$ROOTFS/garbage"
	chmod 755 "$ROOTFS/script" "$ROOTFS/garbage"
	touch "$ROOTFS/plain"
	mkdir "$ROOTFS/folder" "$B/empty" "$B/broken"
	echo '{ "ociVersion": "1.0.2",' > "$B/broken/config.json"
	while read -r name program; do
		bundle "$B/$name" ".ociVersion = \"1.0.2\" | $program" # crun 1.8 takes no newer one
	done <<'BUNDLES'
good      .process.args = ["sh", "-c", "while :; do sleep 1000; done"]
status    .process.args = ["sh", "-c", "exit 7"]
killed    .process.args = ["sh", "-c", "sh -c \"kill -9 \\$\\$\"; exit $?"]
missing   .process.args = ["nosuchprogram"]
path      .process.args = ["/no/such"]
plain     .process.args = ["/plain"]
folder    .process.args = ["/folder"]
script    .process.args = ["/script"]
garbage   .process.args = ["/garbage"]
type      .process.args = "true"
noargs    .process.args = []
noprocess del(.process)
noroot    del(.root)
lostroot  .root.path = "/no/such"
tty       .process.terminal = true
nosource  .mounts += [{"destination": "/m", "type": "bind", "source": "/no/such", "options": ["bind"]}]
nofs      .mounts += [{"destination": "/m", "type": "nosuchfs", "source": "x"}]
hook      .hooks.prestart = [{"path": "/bin/false"}]
BUNDLES
}

# asked WORD…: the runtime of this test. A peer's state is apart, and on a hybrid host, which crun refuses, it sees v1 alone.
asked() {
	case $RUNTIME in
	bivalve) oci "$@" ;;
	*) unshare -m sh -c '! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified &&
		mount -t tmpfs tmpfs /sys/fs/cgroup/unified; exec "$@"' sh "$RUNTIME" --root "$BIVALVE_RUN/.$RUNTIME" "$@" ;;
	esac
}

it_is() {
	[ "$(asked state "$ID" | jq -r .status)" = "$1" ]
}

# become WHEN: brings the instance to where the rows that follow want it.
become() {
	case $1 in
	created) asked create -b "$B/good" "$ID" < /dev/null > /dev/null 2>&1 3>&- ;;
	running) asked start "$ID" ;;
	paused) asked pause "$ID" ;;
	stopped) asked resume "$ID" && asked kill "$ID" KILL && eventually it_is stopped ;;
	*) asked delete --force "$ID" > /dev/null 2>&1 || true ;;
	esac
}

# wanted STATUS PATTERN WORD…: asks, and adds what is not as wanted to WRONG. STATUS "?": any but 0.
wanted() {
	local want=$1 pattern=$2 said="" code=0 wrong=""
	shift 2
	asked "$@" < /dev/null > /dev/null 2> "$B/said" 3>&- || code=$?
	IFS= read -r -d '' -n 1000 said < "$B/said" || true
	said=${said%$'\n'}
	case $want in
	\?) [ "$code" -ne 0 ] || wrong="status 0" ;;
	*) [ "$code" -eq "$want" ] || wrong="status $code, and not $want" ;;
	esac
	shopt -s nocasematch
	if [ "$pattern" != - ]; then
		[[ $said =~ $pattern ]] || wrong+=", not: $pattern"
	elif [ "$code" -eq 0 ] && [ -n "$said" ]; then
		wrong+=", words without an error"
	fi
	shopt -u nocasematch
	if [ "$RUNTIME" = bivalve ] && [ "$want" = 125 ]; then
		[[ $said == "bivalve: "* && $said != *$'\n'* ]] || wrong+=", not one line"
	fi
	[ -z "$wrong" ] || WRONG+=$'\n'"  $*: $wrong; said: ${said:0:300}"
}

# row STATUS PATTERN LINE: a backslash before a blank keeps a word together.
row() {
	local words=() word
	for word in ${3//\\ /$'\x01'}; do
		word=${word//$'\x01'/ }
		[ "$word" != @ ] || word=$ID
		words+=("${word/#%/$B/}")
	done
	wanted "$1" "$2" "${words[@]}"
}

# trim NAME: the variable without the blanks around it.
trim() {
	local -n text=$1
	text=${text#"${text%%[! ]*}"}
	text=${text%"${text##*[! ]}"}
}

# walk COLUMN: every row, with the expectations of that column (bivalve: 0; runc: 1; crun: 2).
walk() {
	local when line status pattern runc crun now=""
	WRONG=""
	while IFS='|' read -r when line status pattern runc crun; do
		trim when && trim status && trim pattern && trim runc && trim crun
		! is_vm || [ "$when" != local ] || continue
		local theirs=("$status" "$runc" "$crun")
		status=${theirs[$1]%% *}
		[ "$status" != - ] || continue # has no such verb
		[ "${theirs[$1]}" = "$status" ] || pattern=${theirs[$1]#* }
		[ "$status" != 0 ] || pattern=-
		[ "$when" = "$now" ] || become "$when" || { echo "cannot become $when" >&2; return 1; }
		now=$when
		row "$status" "${pattern//@/$ID}" "$line"
		# What was refused left nothing of ours: the next row of that name would tell.
		case $when in
		boot | local | bundle) [ "$RUNTIME" = bivalve ] || become none ;;
		esac
	done < <(table)
	[ -z "$WRONG" ] || { printf '%s\n' "$RUNTIME:$WRONG" >&2; return 1; }
}

peer() { # peer NAME VERSION COLUMN
	is_vm && skip "$1 is compared once, in the container's run"
	command -v "$1" > /dev/null || need "$1" "$1 is not installed: apt-get install $1"
	[[ $("$1" --version) == *" $2"* ]] || skip "the table is of $1 $2"
	RUNTIME=$1 ID=er-$1-$N walk "$3"
}

@test "each error has its status and its words, on one line" {
	RUNTIME=bivalve ID=er-$N walk 0
	no_trace "er-$N"
}

@test "runc 1.1 says what the table says of it" {
	peer runc 1.1. 1
}

@test "crun 1.8 says what the table says of it" {
	peer crun 1.8 2
}
