/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: what is refused without making anything, and, as root, groups that bind. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"

static const char group[] = "bivalve-test-cgroup/a";

static void test_check(void)
{
	static const struct {
		struct plan_resources res;
		const char *field;
	} cases[] = {
		{ { .memory_bytes = 1 << 20 }, "resources.memory_bytes" },
		{ { .cpu_quota_us = 10000 }, "resources.cpu_quota_us" },
		{ { .cpu_weight = 10 }, "resources.cpu_weight" },
		{ { .pids = 10 }, "resources.pids" },
	}, ranges[] = {
		{ { .cpu_quota_us = 999 }, "resources.cpu_quota_us" },
		{ { .cpu_quota_us = 5000, .cpu_period_us = 2000000 }, "resources.cpu_period_us" },
		{ { .cpu_weight = 10001 }, "resources.cpu_weight" },
	};
	const struct cgroup_host none = { 0 }, all = {
		.layout = CGROUP_V1, .memory = true, .cpu = true, .pids = true, .swap = true
	};
	const struct plan_resources nothing = { 0 };
	struct error err;

	ok(cgroup_check(&none, &nothing, &err) == 0, "no limits need no groups");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ok(cgroup_check(&none, &cases[i].res, &err) == -EOPNOTSUPP &&
				strstr(err.message, cases[i].field),
			"refused by name: %s", err.message);
		ok(cgroup_check(&all, &cases[i].res, &err) == 0,
			"%s is possible where there is a controller", cases[i].field);
	}
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		ok(cgroup_check(&all, &ranges[i].res, &err) == -EINVAL &&
				strstr(err.message, ranges[i].field),
			"out of range: %s", err.message);
}

/* A child that waits, in the group; its pid. */
static pid_t start_member(const struct cgroup_host *host, bool by_fds)
{
	int fds[CGROUP_HIERARCHIES], n = cgroup_open_join(host, group, fds, NULL);
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		bool joined = by_fds && n > 0 ? cgroup_join(fds, (size_t)n, NULL) == 0
					      : cgroup_attach(host, group, 0, NULL) == 0;

		if (write(ready[1], joined ? "y" : "n", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		abort();
	ok(byte == 'y', "a process moves itself %s", by_fds ? "by descriptors" : "by name");
	while (n > 0)
		(void)close(fds[--n]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return pid;
}

static void test_forks(const struct cgroup_host *host)
{
	struct cgroup_stats stats;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int denied = 0;

		if (cgroup_attach(host, group, 0, NULL) < 0)
			_exit(99);
		for (int i = 0; i < 8; i++) {
			pid_t child = fork();

			if (child == 0)
				for (;;)
					(void)pause();
			denied += child < 0 && errno == EAGAIN;
		}
		for (volatile unsigned i = 0; i < 20000000; i++)
			;
		_exit(denied);
	}
	(void)waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 5,
		"4 processes at most: 5 of 8 forks are denied (%d)", WEXITSTATUS(status));
	cgroup_stats(host, group, &stats);
	ok(stats.pids_denied >= 1, "denied forks are counted: %ju", (uintmax_t)stats.pids_denied);
	/* v1 would need a group more for it: there the figures come from wait4(2). */
	ok(host->layout != CGROUP_V2 || stats.cpu_user_us + stats.cpu_system_us > 1000,
		"CPU time is counted: %ju + %ju us", (uintmax_t)stats.cpu_user_us,
		(uintmax_t)stats.cpu_system_us);
}

static void test_memory(const struct cgroup_host *host)
{
	struct cgroup_stats stats;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		char *p;

		if (cgroup_attach(host, group, 0, NULL) < 0)
			_exit(99);
		p = malloc(64 << 20);
		for (size_t i = 0; p && i < (size_t)64 << 20; i += 4096)
			((volatile char *)p)[i] = 1;
		_exit(0);
	}
	(void)waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "16 MiB is the end of it (%x)",
		status);
	cgroup_stats(host, group, &stats);
	ok(stats.oom_kills == 1, "one kill is counted: %ju", (uintmax_t)stats.oom_kills);
	ok(stats.peak_memory_bytes > 8 << 20 && stats.peak_memory_bytes <= 16 << 20,
		"peak: %ju bytes", (uintmax_t)stats.peak_memory_bytes);
}

static void test_group(const struct cgroup_host *host)
{
	const struct plan_resources res = {
		.memory_bytes = 16 << 20, .pids = 4, .cpu_quota_us = 50000, .cpu_weight = 50
	};
	struct error err = { 0 };
	pid_t members[3];

	ok(cgroup_remove(host, group, &err) == 0, "removing what is not there succeeds");
	ok(cgroup_create(host, group, &res, &err) == 0, "made: %s", err.message);
	members[0] = start_member(host, true);
	members[1] = start_member(host, false);
	members[2] = fork();
	if (members[2] == 0)
		for (;;)
			(void)pause();
	ok(cgroup_attach(host, group, members[2], &err) == 0, "another process is moved: %s",
		err.message);
	ok(cgroup_kill(host, group, &err) == 0, "killed: %s", err.message);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		int status;

		(void)waitpid(members[i], &status, 0);
		ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "member %zu is dead", i);
	}
	ok(cgroup_remove(host, group, &err) == 0, "removed: %s", err.message);
	ok(cgroup_create(host, group, &res, &err) == 0, "made again: %s", err.message);
	test_forks(host);
	ok(cgroup_destroy(host, group, &err) == 0 && cgroup_destroy(host, group, &err) == 0,
		"destroyed with what was "
		"left in it, and again: %s",
		err.message);
	ok(cgroup_create(host, group, &res, &err) == 0, "made a third time: %s", err.message);
	test_memory(host);
	ok(cgroup_remove(host, group, &err) == 0, "removed");
	ok(cgroup_remove(host, group, &err) == 0, "removed again: no error");
	ok(cgroup_attach(host, group, 0, &err) == 0, "nothing to join any more");
}

static bool left_behind(const struct cgroup_host *host)
{
	for (unsigned h = 0; h < CGROUP_HIERARCHIES; h++) {
		_cleanup_free_ char *path = xasprintf("%s/bivalve-test-cgroup", host->roots[h]);

		if (host->roots[h][0] && access(path, F_OK) == 0)
			return true;
	}
	return false;
}

int main(void)
{
	struct cgroup_host host;

	cgroup_probe(&host);
	ok(strcmp(cgroup_layout_name(host.layout), "unknown"), "layout: %s",
		cgroup_layout_name(host.layout));
	ok(!strcmp(cgroup_layout_name((enum cgroup_layout)77), "unknown"), "a layout that is none");
	test_check();
	if (host.memory && host.pids && host.cpu)
		test_group(&host);
	else
		skip("groups that bind: needs root and the memory, cpu and pids controllers");
	ok(!left_behind(&host), "nothing is left behind");
	return tap_done();
}
