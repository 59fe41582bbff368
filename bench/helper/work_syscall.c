/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that do next to nothing: their entry, and whatever filter stands there. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/helper/helper.h"

static int getppid_batch(void *state, uint64_t n)
{
	while (n--)
		(void)syscall(SYS_getppid); /* cannot fail */
	return 0;
}

/* A byte from /dev/zero and a byte to /dev/null: two calls. */
static int copy_batch(void *state, uint64_t n)
{
	const int *fds = state;
	char byte;

	while (n--)
		if (read(fds[0], &byte, 1) != 1 || write(fds[1], &byte, 1) != 1)
			return -1;
	return 0;
}

static int open_batch(void *state, uint64_t n)
{
	while (n--) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0 || close(fd) < 0)
			return -1;
	}
	return 0;
}

static int stat_batch(void *state, uint64_t n)
{
	struct stat st;

	while (n--)
		if (stat("/dev/null", &st) < 0)
			return -1;
	return 0;
}

static int measured(uint64_t ms, int (*batch)(void *, uint64_t), void *state, const char *what, struct outcome *ret)
{
	double ns;

	return helper_measure_usual(ms, batch, state, &ns) < 0 ? outcome_fail(ret, what) : outcome_value(ret, ns);
}

static int run_getppid(uint64_t ms, const char *arg, struct outcome *ret)
{
	return measured(ms, getppid_batch, NULL, "getppid", ret);
}

static int run_copy(uint64_t ms, const char *arg, struct outcome *ret)
{
	int fds[2] = { open("/dev/zero", O_RDONLY | O_CLOEXEC), open("/dev/null", O_WRONLY | O_CLOEXEC) };
	int r = fds[0] < 0 || fds[1] < 0 ? outcome_fail(ret, "open /dev/zero and /dev/null")
		: measured(ms, copy_batch, fds, "read and write", ret);

	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* nothing was written that could be lost */
	return r;
}

static int run_open(uint64_t ms, const char *arg, struct outcome *ret)
{
	return measured(ms, open_batch, NULL, "open and close", ret);
}

static int run_stat(uint64_t ms, const char *arg, struct outcome *ret)
{
	return measured(ms, stat_batch, NULL, "stat", ret);
}

const struct workload syscall_workloads[] = {
	{ "getppid", "ns", run_getppid },
	{ "read-write", "ns a pair", run_copy },
	{ "open-close", "ns a pair", run_open },
	{ "stat", "ns", run_stat },
	{ NULL, NULL, NULL },
};
