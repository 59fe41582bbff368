#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Twenty ordinary programs in `sandbox`: the same output and exit status as bare, in each shell. What each does is a
# function below; it is run in a fresh folder, bare and sandboxed. In a VM all of them run in one machine.

bats_require_minimum_version 1.5.0
load lib/common

PROGRAMS="sh python3 gcc tar git sqlite3 openssl awk sed sort gzip xz perl make find diff jq cpio curl install"

setup_file() {
	common_setup_file
	WORK=$(mktemp -d /var/tmp/bivalve-programs.XXXXXX)
	export WORK
	cat > "$WORK/do" <<- 'E'
		#!/bin/sh
		# do NAME FOLDER: what it prints and how it ends, the folder being empty before
		mkdir -p "$2" && cd "$2" || exit 99
		export LC_ALL=C GIT_CONFIG_GLOBAL=/dev/null
		printf 'pear 3\napple 1\nfig 2\n' > data
		case $1 in
		sh) x=0; for i in 1 2 3; do x=$((x + i)); done; echo "$x $(echo sub) $0" | cut -d' ' -f1-2; exit 7 ;;
		python3) python3 -c 'import json, hashlib; print(json.dumps({"a": [1, 2]}), hashlib.sha256(b"x").hexdigest()); exit(3)' ;;
		gcc) echo 'int puts(const char *); int main(void) { puts("compiled"); return 5; }' > a.c; gcc -O1 -o a a.c && ./a ;;
		tar) tar cf x.tar data && mkdir o && tar xf x.tar -C o && tar tvf x.tar | wc -l && cat o/data ;;
		git) git init -q r && cd r && echo text > f && git add f &&
			git -c user.name=n -c user.email=e@e commit -qm m && git log --format='%s %an' && git status --short ;;
		sqlite3) sqlite3 x.db 'create table t(a); insert into t values (1), (2); select sum(a) from t;' ;;
		openssl) openssl dgst -sha256 data && openssl enc -aes-256-cbc -pbkdf2 -k pw -nosalt -in data -base64 ;;
		awk) awk '{ s += $2 } END { print s }' data ;;
		sed) sed -n 's/apple/orange/p' data && sed -i s/fig/date/ data && cat data ;;
		sort) sort -k2n data && sort -c data ;;
		gzip) gzip -k data && gzip -t data.gz && zcat data.gz ;;
		xz) xz -k data && xz -dc data.xz ;;
		perl) perl -ne 'print scalar reverse' data; perl -e 'die "gone\n"' 2>&1 ;;
		make) printf 'all: b\nb: data\n\ttr a-z A-Z < data > b\n\tcat b\n' > Makefile && make -s && make -q ;;
		find) mkdir -p d/e && touch d/e/f && find d -type f -size 0 | sort && find . -name data -printf '%s\n' ;;
		diff) sed s/fig/kiwi/ data > other; diff data other ;;
		jq) echo '{"a": {"b": [1, 2, 3]}}' | jq -c '.a.b | add, map(. * 2)' ;;
		cpio) echo data | cpio -o --quiet -H newc > x.cpio && cpio -t --quiet < x.cpio ;;
		curl) curl --version | head -n 1 | cut -d' ' -f1,2; curl -s file:///nowhere ;;
		install) install -D -m 750 data deep/er/data && stat -c %a deep/er/data && cp -r deep copy && rm -r deep && ls -R copy ;;
		esac
	E
	# all FOLDER: every program's output and status
	cat > "$WORK/all" <<- E
		for p in $PROGRAMS; do
			echo "== \$p"
			sh "$WORK/do" \$p "\$1/\$p" 2>&1
			echo "status \$?"
		done
	E
}

teardown_file() {
	rm -rf "$WORK"
	common_teardown_file
}

@test "twenty programs: the same output and status as bare" {
	for p in $PROGRAMS; do
		command -v "$p" > /dev/null || need programs "no $p here"
	done
	sh "$WORK/all" "$WORK/bare" > "$WORK/bare.out"
	cat "$WORK/bare.out"
	[ "$(grep -c '^==' "$WORK/bare.out")" -eq 20 ]
	rm -rf "$WORK/bare"
	if is_vm; then
		cd "$WORK"
		"$BIVALVE" sandbox --vm --engine "${BIVALVE_TEST_ENGINE:-auto}" --policy build -m 600m sh "$WORK/all" \
			"$WORK/bare" > "$WORK/sandbox.out"
	else
		cd "$WORK"
		for p in $PROGRAMS; do # each in a sandbox of its own
			echo "== $p"
			"$BIVALVE" sandbox --policy build sh "$WORK/do" "$p" "$WORK/bare/$p" 2>&1 && status=0 || status=$?
			echo "status $status"
		done > "$WORK/sandbox.out"
	fi
	diff "$WORK/bare.out" "$WORK/sandbox.out"
	[ ! -e "$WORK/bare" ] # nothing of it is left
}
