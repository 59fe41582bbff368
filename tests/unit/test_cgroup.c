/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: what is refused without making anything, and, as root, groups that bind. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"

static char group[256], nested[256]; /* below what was delegated to us, if anything was */

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

static void test_paths(void)
{
	static const struct {
		const char *in, *out;
	} systemd[] = {
		{ "a-b.slice:pre:name", "a.slice/a-b.slice/pre-name.scope" },
		{ ":pre:name", "system.slice/pre-name.scope" },
		{ "-.slice::name", "name.scope" },
		{ "a.slice:x:b-c.slice", "a.slice/b.slice/b-c.slice" },
		{ "no", NULL }, { "a.slice:b", NULL }, { "a--b.slice:c:d", NULL }, { "a:b:c", NULL },
		{ "a.slice:b:", NULL }, { "a.slice:..:/..", NULL }, { "a/b.slice:c:d", NULL },
	}, paths[] = {
		{ "/a/b", "a/b" }, { "//a///b/", "a/b" }, { "a", "a" }, { "a/../b", NULL }, { "..", NULL },
		{ "a/.", NULL }, { "/", NULL }, { "a\nb", NULL }, { "", "bivalve-id" },
	};
	struct cgroup_host host = { .layout = CGROUP_V2, .base = "" };
	struct plan plan = { .id = (char *)"id" };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(systemd); i++) {
		_cleanup_free_ char *got = cgroup_systemd_path(systemd[i].in, &err);

		ok(systemd[i].out ? got && !strcmp(got, systemd[i].out) : !got, "systemd: %s: %s", systemd[i].in,
			got ? got : "refused");
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		_cleanup_free_ char *got = NULL;

		plan.cgroup = (char *)(uintptr_t)paths[i].in;
		got = cgroup_path_of(&host, &plan, &err);
		ok(paths[i].out ? got && !strcmp(got, paths[i].out) : !got, "path: case %zu: %s", i,
			got ? got : "refused");
	}
}

static const char *value_of(const struct cgroup_settings *s, const char *file)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->items[i].file, file))
			return s->items[i].value;
	return "";
}

static void test_settings(void)
{
	struct plan_device_rate disk = { 8, 16, 1000000, 0 }, weight = { 8, 0, 1000, 0 };
	struct plan_hugepage_limit huge = { (char *)"2MB", 4 << 20 };
	const struct plan_resources res = { .memory_bytes = 100,
		.memory_swap_bytes = 150,
		.cpu_shares = 1024,
		.cpu_quota_us = 5000,
		.pids_unlimited = true,
		.io_weight = 500,
		.io_read_bytes = &disk,
		.n_io_read_bytes = 1,
		.io_weights = &weight,
		.n_io_weights = 1,
		.hugepages = &huge,
		.n_hugepages = 1,
		.cpu_set = (char *)"0-1" };
	static const struct {
		const char *file, *v1, *v2;
	} expected[] = {
		{ "memory.limit_in_bytes", "100", "" }, { "memory.memsw.limit_in_bytes", "150", "" },
		{ "memory.max", "", "100" }, { "memory.swap.max", "", "50" }, { "cpu.shares", "1024", "" },
		{ "cpu.weight", "", "39" }, { "cpu.cfs_quota_us", "5000", "" }, { "cpu.cfs_period_us", "100000", "" },
		{ "cpu.max", "", "5000 100000" }, { "pids.max", "max", "max" }, { "blkio.bfq.weight", "500", "" },
		{ "io.bfq.weight", "", "500" }, { "io.max", "", "8:16 rbps=1000000" },
		{ "blkio.throttle.read_bps_device", "8:16 1000000", "" }, { "blkio.bfq.weight_device", "8:0 1000", "" },
		{ "hugetlb.2MB.limit_in_bytes", "4194304", "" }, { "hugetlb.2MB.max", "", "4194304" },
		{ "cpuset.cpus", "0-1", "0-1" },
	};
	struct cgroup_host v1 = { .layout = CGROUP_V1, .swap = true }, v2 = { .layout = CGROUP_V2, .swap = true };
	struct cgroup_settings one, two;

	cgroup_settings_fill(&v1, &res, &one);
	cgroup_settings_fill(&v2, &res, &two);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		ok(!strcmp(value_of(&one, expected[i].file), expected[i].v1), "v1: %s: %s", expected[i].file,
			value_of(&one, expected[i].file));
		ok(!strcmp(value_of(&two, expected[i].file), expected[i].v2), "v2: %s: %s", expected[i].file,
			value_of(&two, expected[i].file));
	}
	cgroup_settings_release(&one);
	cgroup_settings_release(&two);
}

static void test_refusals(void)
{
	struct plan_pair unified = { (char *)"memory.high", (char *)"1" }, escape = { (char *)"../x.y", (char *)"1" };
	struct plan_device_rule bad = { true, (char *)"c", 1, 1, (char *)"rx" };
	const struct {
		struct plan_resources res;
		enum cgroup_layout layout;
		int code;
		const char *field;
	} cases[] = {
		{ { .unified = &unified, .n_unified = 1 }, CGROUP_HYBRID, EOPNOTSUPP, "unified" },
		{ { .unified = &escape, .n_unified = 1 }, CGROUP_V2, EINVAL, "unified" },
		{ { .net_class = 5 }, CGROUP_V2, EOPNOTSUPP, "net_class" },
		{ { .memory_swappiness_set = true }, CGROUP_V2, EOPNOTSUPP, "memory_swappiness" },
		{ { .memory_swap_bytes = 5 }, CGROUP_V1, EINVAL, "memory_swap_bytes" },
		{ { .memory_bytes = 9, .memory_swap_bytes = 5 }, CGROUP_V2, EINVAL, "memory_swap_bytes" },
		{ { .cpu_set = (char *)"0\n;x" }, CGROUP_V1, EINVAL, "cpu_set" },
		{ { .cpu_set = (char *)"0" }, CGROUP_V1, EOPNOTSUPP, "cpu_set" },
		{ { .io_weight = 5 }, CGROUP_V1, EINVAL, "io_weight" },
		{ { .devices = &bad, .n_devices = 1 }, CGROUP_V1, EINVAL, "devices[0].access" },
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cgroup_host host = { .layout = cases[i].layout, .memory = true, .cpu = true, .swap = true };

		ok(cgroup_check(&host, &cases[i].res, &err) == -cases[i].code && strstr(err.message, cases[i].field),
			"refused: %s", err.message);
	}
}

/* What the program says, by the few instructions it is made of. */
static int run_program(
	const struct bpf_insn *p, size_t n, uint32_t access, uint32_t type, uint32_t major, uint32_t minor)
{
	const uint32_t context[3] = { access << 16 | type, major, minor };
	uint64_t r[8] = { 0 };

	for (size_t at = 0; at < n; at++) {
		const struct bpf_insn *i = &p[at];

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			r[i->dst_reg] = context[i->off / 4];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
			r[i->dst_reg] = r[i->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[i->dst_reg] = (uint64_t)(int64_t)i->imm;
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			r[i->dst_reg] &= (uint64_t)(int64_t)i->imm;
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			r[i->dst_reg] >>= i->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			at += r[i->dst_reg] != (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += r[i->dst_reg] == (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			return -1;
		}
	}
	return -2;
}

static void test_devices(void)
{
	struct plan_device_rule rules[] = {
		{ false, (char *)"a", -1, -1, NULL }, { true, (char *)"b", 8, -1, (char *)"rw" },
		{ false, (char *)"b", 8, 1, (char *)"w" }, { true, (char *)"c", 10, 200, (char *)"r" },
		{ true, (char *)"c", 10, 200, (char *)"w" },
	};
	const struct plan_resources res = { .devices = rules, .n_devices = ARRAY_LEN(rules) };
	enum { M = BPF_DEVCG_ACC_MKNOD, R = BPF_DEVCG_ACC_READ, W = BPF_DEVCG_ACC_WRITE,
		B = BPF_DEVCG_DEV_BLOCK, C = BPF_DEVCG_DEV_CHAR };
	static const struct {
		uint32_t access, type, major, minor;
		int allowed;
	} cases[] = {
		{ R | W, B, 8, 0, 1 }, { R, B, 8, 1, 1 }, { W, B, 8, 1, 0 }, { R | W, B, 8, 1, 0 }, { R, B, 9, 0, 0 },
		{ R | W, C, 10, 200, 1 }, { R, C, 10, 201, 0 }, { M, B, 9, 9, 1 }, { M | R, B, 9, 9, 0 },
		{ R | W | M, C, 1, 3, 1 }, { R, B, 1, 3, 0 }, { R | W, C, 136, 77, 1 }, { R, C, 1, 1, 0 },
	};
	size_t n;
	_cleanup_free_ struct bpf_insn *program = cgroup_devices_program(&res, &n);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(run_program(program, n, cases[i].access, cases[i].type, cases[i].major, cases[i].minor) ==
				cases[i].allowed,
			"device rules, case %zu", i);
}

/* Limits up and down, one that fails, pause, figures, members. */
static void test_running(const struct cgroup_host *host)
{
	const struct plan_resources first = { .memory_bytes = 32 << 20, .pids = 20 },
		up = { .memory_bytes = 64 << 20, .pids = 30 }, down = { .memory_bytes = 16 << 20, .pids = 30 },
		wrong = { .memory_bytes = 24 << 20, .pids = 25, .cpu_quota_us = 5000, .cpu_burst_us = INT64_MAX };
	struct stats stats;
	struct error err = { 0 };
	pid_t *pids = NULL, pid;
	size_t n = 0;
	int status;

	ok(cgroup_create_with(host, nested, &first, CGROUP_FIGURES, NULL, &err) == 0, "nested: %s", err.message);
	pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	ok(cgroup_attach(host, nested, pid, &err) == 0, "moved: %s", err.message);
	ok(cgroup_create(host, nested, &first, &err) == -EBUSY && cgroup_check_free(host, nested, &err) == -EBUSY,
		"one that is in use is not taken: %s", err.message);
	ok(cgroup_update(host, nested, &up, &err) == 0 && cgroup_update(host, nested, &down, &err) == 0,
		"up and down: %s", err.message);
	ok(cgroup_update(host, nested, &wrong, &err) < 0 && strstr(err.message, "cpu_"), "refused: %s", err.message);
	ok(cgroup_measure(host, nested, &stats, &err) == 0, "measured: %s", err.message);
	ok(stats.memory_limit_bytes == 16 << 20 && stats.pids_limit == 30, "the old limits hold: %ju %ju",
		(uintmax_t)stats.memory_limit_bytes, (uintmax_t)stats.pids_limit);
	ok(stats.pids == 1 && stats.n_memory > 5, "figures: %zu lines of memory.stat", stats.n_memory);
	record_release(&stats_type, &stats);
	ok(cgroup_processes(host, nested, &pids, &n, &err) == 0 && n == 1 && pids[0] == pid, "its process");
	free(pids);
	if (host->freezer) {
		ok(cgroup_freeze(host, nested, true, &err) == 0, "frozen: %s", err.message);
		ok(cgroup_freeze(host, nested, false, &err) == 0, "thawed: %s", err.message);
		ok(cgroup_freeze(host, nested, true, &err) == 0, "frozen again: %s", err.message);
	}
	ok(cgroup_signal(host, nested, SIGKILL, &err) == 0, "killed, frozen or not: %s", err.message);
	(void)waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status), "dead");
	ok(cgroup_destroy(host, nested, &err) == 0, "destroyed: %s", err.message);
}

/* A child that waits, in the group; its pid. */
static pid_t start_member(const struct cgroup_host *host, bool by_fds)
{
	int fds[CGROUP_HIERARCHIES], n = cgroup_open_join(host, group, ~0u, fds, NULL);
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
	ok(host->layout != CGROUP_V2 || stats.cpu.user_us + stats.cpu.system_us > 1000,
		"CPU time is counted: %ju + %ju us", (uintmax_t)stats.cpu.user_us,
		(uintmax_t)stats.cpu.system_us);
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
	bool made;

	ok(cgroup_remove(host, group, &err) == 0, "removing what is not there succeeds");
	made = cgroup_create(host, group, &res, &err) == 0;
	ok(made, "made: %s", err.message);
	if (!made)
		return;
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
		_cleanup_free_ char *path = xasprintf("%s/%s/bivalve-test-cgroup", host->roots[h], host->base);

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
	(void)snprintf(group, sizeof group, "%s%sbivalve-test-cgroup/a", host.base, host.base[0] ? "/" : "");
	(void)snprintf(nested, sizeof nested, "%s%sbivalve-test-cgroup/b/c", host.base, host.base[0] ? "/" : "");
	test_check();
	test_paths();
	test_settings();
	test_refusals();
	test_devices();
	if (host.memory && host.pids && host.cpu) {
		test_group(&host);
		test_running(&host);
	} else
		skip("groups that bind: needs root and the memory, cpu and pids controllers");
	ok(!left_behind(&host), "nothing is left behind");
	return tap_done();
}
