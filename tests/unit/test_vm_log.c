/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a machine's log: where a kernel broke, else its end; one line, and no more than there is room for. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/fd.h"
#include "tests/unit/tap.h"
#include "vm-backend/vm_log.h"

#define REGISTERS "[ 4.1] RAX: 0 RBX: 0\n[ 4.1] RCX: 0 RDX: 0\n[ 4.1] RBP: 0 R08: 0\n[ 4.1] CR2: 3d\n[ 4.2] PKRU: 5\n"

/* The tail of a log with that in it. */
static void tail_of(const char *said, size_t len, char *ret, size_t size)
{
	struct vm_log log;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0 || fd_write_full(ends[1], said, len) < 0 || close(ends[1]) < 0)
		abort();
	vm_log_init(&log, ends[0], -1);
	vm_log_read(&log);
	vm_log_tail(&log, ret, size);
	vm_log_release(&log);
}

static bool tells(const char *said, const char *expected)
{
	char tail[600];

	tail_of(said, strlen(said), tail, sizeof tail);
	return !strcmp(tail, expected);
}

int main(void)
{
	char tail[64], much[4000];

	ok(tells("", ""), "nothing was said");
	ok(tells("\r\n \n", ""), "nothing but line ends");
	ok(tells("one\r\ntwo\n", "one | two"), "all of it, in one line");
	ok(tells("1\n2\n3\n4\n5\n6\n7\n8\n", "3 | 4 | 5 | 6 | 7 | 8"), "the last six lines");
	ok(tells("[ 4.0] boot\n[ 4.0] BUG: kernel NULL pointer dereference\n[ 4.0] RIP: 0010:0xffffffff80201234\n"
		 REGISTERS
		 "[ 4.3] Kernel panic - not syncing: Fatal exception\n[ 4.4] Kernel Offset: disabled\n",
		 "[ 4.0] BUG: kernel NULL pointer dereference | [ 4.0] RIP: 0010:0xffffffff80201234 | "
		 "[ 4.3] Kernel panic - not syncing: Fatal exception"),
			"an error of the kernel's: what, where and the end, and no registers");
	memset(much, 'x', sizeof much);
	tail_of(much, sizeof much, tail, sizeof tail);
	ok(strlen(tail) == sizeof tail / 2 && strspn(tail, "x") == strlen(tail), "a long line: its end");
	for (size_t i = 0; i + 6 < sizeof much; i += 6)
		memcpy(much + i, "BUG: \n", 6);
	tail_of(much, sizeof much, tail, sizeof tail);
	ok(strlen(tail) < sizeof tail && !strncmp(tail, "BUG:  | BUG: ", 13), "many errors: the first ones");
	return tap_done();
}
