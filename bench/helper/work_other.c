/* SPDX-License-Identifier: Apache-2.0 */
/* How late a timer comes, how long a processor is taken away; a neighbour; and any command of the file system. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/helper/helper.h"

enum { MAX_WAKES = 20000, WAKE_NS = 1000000 };

/*
 * Sleeps to absolute times a millisecond apart, and how late it is then: as cyclictest does, without a real-time
 * class.
 */
static int run_wake(uint64_t ms, const char *arg, struct outcome *ret)
{
	static double late[MAX_WAKES];
	uint64_t next = helper_now_ns(), end = next + ms * 1000000;
	size_t n = 0;

	while (n < MAX_WAKES && (next < end || n < 20)) {
		struct timespec at;

		next += WAKE_NS;
		at = (struct timespec){ (time_t)(next / 1000000000), (long)(next % 1000000000) };
		errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		if (errno && errno != EINTR)
			return outcome_fail(ret, "clock_nanosleep");
		late[n++] = (double)(int64_t)(helper_now_ns() - next) / 1e3;
		if (helper_now_ns() > next + WAKE_NS)
			next = helper_now_ns(); /* one long stall is one sample, not many */
	}
	(void)outcome_value(ret, helper_median(late, n));
	(void)outcome_value(ret, late[n * 99 / 100]);
	return outcome_value(ret, late[n - 1]);
}

/* Reads the clock without a pause: the longest gap is what something else took. */
static int run_gap(uint64_t ms, const char *arg, struct outcome *ret)
{
	uint64_t last = helper_now_ns(), end = last + ms * 1000000, longest = 0;

	while (last < end) {
		uint64_t now = helper_now_ns();

		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	return outcome_value(ret, (double)longest / 1e3);
}

/* A neighbour: a processor's time and the cache. */
static int run_hog(uint64_t ms, const char *arg, struct outcome *ret)
{
	static volatile uint64_t cells[1 << 18];
	uint64_t end = helper_now_ns() + ms * 1000000, rounds = 0;

	for (; helper_now_ns() < end; rounds++)
		for (size_t i = 0; i < sizeof cells / sizeof *cells; i += 8)
			cells[i] += i;
	return outcome_value(ret, (double)rounds);
}

/* A command by the shell, its output thrown away: seconds, and only if it succeeds. */
static int run_command(uint64_t ms, const char *arg, struct outcome *ret)
{
	uint64_t begin = helper_now_ns();
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return outcome_fail(ret, "fork");
	if (pid == 0) {
		int fd = open("/dev/null", O_RDWR);

		if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(126);
		execl("/bin/sh", "sh", "-c", arg, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return outcome_fail(ret, "waitpid");
	if (status) {
		(void)snprintf(ret->error, sizeof ret->error, "%s %d", WIFEXITED(status) ? "exit status" : "signal",
				WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		return -1;
	}
	return outcome_value(ret, (double)(helper_now_ns() - begin) / 1e9);
}

const struct workload other_workloads[] = {
	{ "wake", "us late: median, 99th percentile, most", run_wake },
	{ "gap", "us, the longest", run_gap },
	{ "hog", "rounds", run_hog },
	{ "command", "s", run_command },
	{ NULL, NULL, NULL },
};
