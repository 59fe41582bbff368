/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups by libcgroup: making a group, setting its limits, reading its figures.
 *
 * By file and not by the library, because of what version 2.0.2 does:
 *  - joining: it writes the pid to v1's `tasks`, which moves a single thread, and any write of a pid waits for RCU
 *    (6 to 20 ms). A process that writes "0" to `tasks` moves itself and waits for nothing, so the container's child
 *    does that, through descriptors opened here; other processes are moved whole by cgroup.procs;
 *  - removing: it moves processes that are left to the parent group, out of their limits, or with
 *    CGFLAG_DELETE_EMPTY_ONLY reports success although the group is still there;
 *  - v2: it never enables controllers in the root's cgroup.subtree_control, and knows no cgroup.kill.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"

enum { PATH_MAX_LEN = CGROUP_ROOT_MAX + 192, MAX_DEPTH = 16 };
static const uint64_t remove_timeout_ns = UINT64_C(5000000000);

/*
 * The library's table of mounts is 820 KB, which its start sets to zero: 200 page faults, a tenth of a launch's CPU
 * time. Where it is linked in statically its symbol is known here, and one call (Linux 5.14) makes the pages at once.
 */
extern char cg_mount_table[] __attribute__((weak));
enum { LIBRARY_TABLE_BYTES = 0xc8000 };

static void populate_library_table(void)
{
	uintptr_t start = ((uintptr_t)cg_mount_table + 4095) & ~(uintptr_t)4095;

	if (cg_mount_table)
		(void)madvise((void *)start, LIBRARY_TABLE_BYTES - 4096, MADV_POPULATE_WRITE); /* else they fault */
}

/* The library fills its tables once per process; a second call costs as much again. Its state, not ours. */
static int library_init(struct error *err)
{
	static bool done;
	int r;

	if (done)
		return 0;
	populate_library_table();
	r = cgroup_init();
	if (r)
		return error_set(err, EIO, "libcgroup cannot read this host's control groups: %s", cgroup_strerror(r));
	done = true;
	return 0;
}

static int library_error(int code, struct error *err, const char *what, const char *path)
{
	if (code == ECGOTHER && cgroup_get_last_errno() > 0)
		return error_set(err, cgroup_get_last_errno(), "cannot %s the control group %s: %s", what, path,
				strerror(cgroup_get_last_errno()));
	return error_set(err, EIO, "cannot %s the control group %s: %s", what, path, cgroup_strerror(code));
}

/* The folders of a group, each once: co-mounted v1 controllers share one. Returns false at the end. */
static bool next_dir(const struct cgroup_host *host, const char *path, unsigned *at, char dir[PATH_MAX_LEN])
{
	while (*at < CGROUP_HIERARCHIES) {
		unsigned h = (*at)++;
		bool seen = false;

		if (!host->roots[h][0] || (h == CGROUP_UNIFIED) != (host->layout == CGROUP_V2))
			continue; /* on hybrid hosts the v2 hierarchy has no controller that we use */
		if (h == CGROUP_FREEZER)
			continue;
		for (unsigned i = 0; i < h && !seen; i++)
			seen = !strcmp(host->roots[i], host->roots[h]);
		if (seen || snprintf(dir, PATH_MAX_LEN, "%s/%s", host->roots[h], path) >= PATH_MAX_LEN)
			continue;
		return true;
	}
	return false;
}

static bool swap_in_use(void)
{
	_cleanup_free_ char *text = NULL;
	char *line;

	if (file_read_at(AT_FDCWD, "/proc/swaps", 65536, &text, NULL, NULL) < 0)
		return false;
	line = strchr(text, '\n'); /* the heading */
	return line && line[1];
}

int cgroup_check(const struct cgroup_host *host, const struct plan_resources *res, struct error *err)
{
	const struct {
		bool asked, have;
		const char *field, *controller;
	} needs[] = {
		{ res->memory_bytes, host->memory, "resources.memory_bytes", "memory" },
		{ res->cpu_quota_us, host->cpu, "resources.cpu_quota_us", "cpu" },
		{ res->cpu_weight, host->cpu, "resources.cpu_weight", "cpu" },
		{ res->pids, host->pids, "resources.pids", "pids" },
	};

	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		if (needs[i].asked && !needs[i].have)
			return error_set(err, EOPNOTSUPP, "%s: cannot be limited: no %s control group that this user "
					"may write to (cgroup layout: %s)", needs[i].field, needs[i].controller,
					cgroup_layout_name(host->layout));
	if (res->memory_bytes && !host->swap && swap_in_use())
		return error_set(err, EOPNOTSUPP, "resources.memory_bytes: this host swaps, but its kernel does not "
				"count swap per control group: boot with swapaccount=1 or turn swap off");
	if (res->cpu_quota_us && res->cpu_quota_us < 1000)
		return error_set(err, EINVAL, "resources.cpu_quota_us: %ju: at least 1000",
				(uintmax_t)res->cpu_quota_us);
	if (res->cpu_period_us && (res->cpu_period_us < 1000 || res->cpu_period_us > 1000000))
		return error_set(err, EINVAL, "resources.cpu_period_us: %ju: 1000 to 1000000",
				(uintmax_t)res->cpu_period_us);
	if (res->cpu_weight > 10000)
		return error_set(err, EINVAL, "resources.cpu_weight: %ju: 1 to 10000", (uintmax_t)res->cpu_weight);
	return 0;
}

static void add_u64(struct cgroup_controller *c, const char *name, uint64_t value)
{
	if (c)
		(void)cgroup_add_value_uint64(c, name, value); /* fails when the name is too long only */
}

static void describe_v1(struct cgroup *g, const struct cgroup_host *host, const struct plan_resources *res)
{
	uint64_t period = res->cpu_period_us ? res->cpu_period_us : 100000;
	struct cgroup_controller *c;

	if (host->memory) {
		c = cgroup_add_controller(g, "memory");
		if (res->memory_bytes)
			add_u64(c, "memory.limit_in_bytes", res->memory_bytes);
		if (res->memory_bytes && host->swap)
			add_u64(c, "memory.memsw.limit_in_bytes", res->memory_bytes);
	}
	if (host->pids) {
		c = cgroup_add_controller(g, "pids");
		if (res->pids)
			add_u64(c, "pids.max", res->pids);
	}
	if (!host->cpu || (!res->cpu_quota_us && !res->cpu_weight))
		return;
	c = cgroup_add_controller(g, "cpu");
	if (res->cpu_quota_us) {
		add_u64(c, "cpu.cfs_period_us", period);
		add_u64(c, "cpu.cfs_quota_us", res->cpu_quota_us);
	}
	if (res->cpu_weight) /* weight 100 and 1024 shares are the two defaults; 2 is the least */
		add_u64(c, "cpu.shares", res->cpu_weight * 1024 / 100 < 2 ? 2 : res->cpu_weight * 1024 / 100);
}

static void describe_v2(struct cgroup *g, const struct cgroup_host *host, const struct plan_resources *res)
{
	uint64_t period = res->cpu_period_us ? res->cpu_period_us : 100000;
	struct cgroup_controller *c;
	char text[64];

	if (host->memory) {
		c = cgroup_add_controller(g, "memory");
		if (res->memory_bytes)
			add_u64(c, "memory.max", res->memory_bytes);
		if (res->memory_bytes && host->swap)
			add_u64(c, "memory.swap.max", 0); /* memory and swap together: no swap at all */
	}
	if (host->pids) {
		c = cgroup_add_controller(g, "pids");
		if (res->pids)
			add_u64(c, "pids.max", res->pids);
	}
	if (!host->cpu || (!res->cpu_quota_us && !res->cpu_weight))
		return;
	c = cgroup_add_controller(g, "cpu");
	if (res->cpu_quota_us && c) {
		/* It fits. */
		(void)snprintf(text, sizeof text, "%ju %ju", (uintmax_t)res->cpu_quota_us, (uintmax_t)period);
		(void)cgroup_add_value_string(c, "cpu.max", text); /* fails when the name is too long only */
	}
	if (res->cpu_weight)
		add_u64(c, "cpu.weight", res->cpu_weight);
}

/* Lets the root's children have the controllers (the library begins one level below). Enabled already: no change. */
static int enable_in_root(const struct cgroup_host *host, const struct plan_resources *res, struct error *err)
{
	const struct {
		const char *word;
		bool wanted, needed;
	} all[] = {
		{ "+memory", host->memory, res->memory_bytes },
		{ "+pids", host->pids, res->pids },
		{ "+cpu", host->cpu && (res->cpu_quota_us || res->cpu_weight), true },
	};
	_cleanup_free_ char *path = xasprintf("%s/cgroup.subtree_control", host->roots[CGROUP_UNIFIED]);

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		int r = all[i].wanted ? file_write_once(AT_FDCWD, path, all[i].word) : 0;

		if (r < 0 && all[i].needed)
			return error_set(err, -r, "cannot enable a controller in %s (%s): %s%s", path, all[i].word,
					strerror(-r), r == -EBUSY ?
					": processes live in that group itself; move them to a group below it" : "");
	}
	return 0;
}

int cgroup_create(const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err)
{
	struct cgroup *g;
	int r = cgroup_check(host, res, err);

	if (r == 0 && host->layout == CGROUP_V2)
		r = enable_in_root(host, res, err);
	if (r == 0)
		r = library_init(err);
	if (r < 0)
		return r;
	/* Another instance's removal may take the common parent away between the library's two mkdirs: again, then. */
	for (int attempt = 0; attempt < 8; attempt++) {
		g = cgroup_new_cgroup(path);
		if (!g)
			return error_set(err, ENOMEM, "control group %s: out of memory", path);
		if (host->layout == CGROUP_V2)
			describe_v2(g, host, res);
		else
			describe_v1(g, host, res);
		r = cgroup_create_cgroup(g, 1); /* 1: the files stay root's; no walk to chown them */
		cgroup_free(&g);
		if (r == 0)
			return 0;
		if (r != ECGROUPNOTEXIST && !(r == ECGOTHER && cgroup_get_last_errno() == ENOENT))
			break;
	}
	r = library_error(r, err, "make", path);
	(void)cgroup_remove(host, path, NULL); /* the first error is the one to tell */
	return r;
}

int cgroup_attach(const struct cgroup_host *host, const char *path, pid_t pid, struct error *err)
{
	/* v1's tasks moves the writer alone, without the lock whose taking waits for RCU. v2 has cgroup.procs only. */
	const char *file = pid == 0 && host->layout != CGROUP_V2 ? "tasks" : "cgroup.procs";
	char dir[PATH_MAX_LEN], name[PATH_MAX_LEN + 16], text[16];
	unsigned at = 0;

	(void)snprintf(text, sizeof text, "%d", (int)pid); /* fits */
	while (next_dir(host, path, &at, dir)) {
		int r;

		(void)snprintf(name, sizeof name, "%s/%s", dir, file); /* fits */
		r = file_write_once(AT_FDCWD, name, text);
		if (r == -ENOENT && access(dir, F_OK) < 0)
			continue; /* a hierarchy that the group was not needed in */
		if (r < 0)
			return error_set(err, -r, "cannot move process %d into %s: %s", (int)pid, dir, strerror(-r));
	}
	return 0;
}

int cgroup_open_dir(const struct cgroup_host *host, const char *path)
{
	char dir[PATH_MAX_LEN];
	unsigned at = 0;

	if (host->layout != CGROUP_V2 || !next_dir(host, path, &at, dir))
		return -1;
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_open_join(const struct cgroup_host *host, const char *path, int ret_fds[CGROUP_HIERARCHIES],
		struct error *err)
{
	char dir[PATH_MAX_LEN], name[PATH_MAX_LEN + 8];
	unsigned at = 0;
	int n = 0;

	while (host->layout != CGROUP_V2 && next_dir(host, path, &at, dir)) {
		(void)snprintf(name, sizeof name, "%s/tasks", dir); /* fits */
		ret_fds[n] = open(name, O_WRONLY | O_CLOEXEC);
		if (ret_fds[n] >= 0) {
			n++;
		} else if (errno != ENOENT) { /* ENOENT: the group was not needed in this hierarchy */
			int r = error_sys(err, "cannot open %s", name);

			while (n > 0)
				(void)close(ret_fds[--n]);
			return r;
		}
	}
	return n;
}

int cgroup_join(const int *fds, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++)
		if (write(fds[i], "0", 1) != 1)
			return error_sys(err, "cannot join a control group");
	return 0;
}

/* A number of a file of the group: its first, or the one after `key ` at the beginning of a line. 0: none. */
static uint64_t read_number(const char *controller, const char *path, const char *file, const char *key)
{
	size_t len = key ? strlen(key) : 0;
	void *handle = NULL;
	uint64_t value = 0;
	char line[256];
	int r = cgroup_read_value_begin(controller, path, (char *)(uintptr_t)file, &handle, line,
			sizeof line); /* it does not write to the name */

	for (; r == 0; r = cgroup_read_value_next(&handle, line, sizeof line))
		if (!key || (!strncmp(line, key, len) && line[len] == ' ')) {
			value = strtoull(line + len, NULL, 10);
			break;
		}
	if (handle)
		(void)cgroup_read_value_end(&handle); /* closes what was only read */
	return value;
}

/* v1 counts the sum to the nanosecond, but which part of it was the kernel's by clock ticks only. */
static void read_cpuacct(const char *path, struct cgroup_stats *ret)
{
	uint64_t total = read_number("cpuacct", path, "cpuacct.usage", NULL) / 1000;
	uint64_t user = read_number("cpuacct", path, "cpuacct.usage_user", NULL) / 1000;
	uint64_t system = read_number("cpuacct", path, "cpuacct.usage_sys", NULL) / 1000;

	ret->cpu_system_us = user + system ? (uint64_t)((double)total * (double)system / (double)(user + system)) : 0;
	ret->cpu_user_us = total - ret->cpu_system_us;
}

void cgroup_stats(const struct cgroup_host *host, const char *path, struct cgroup_stats *ret)
{
	*ret = (struct cgroup_stats){ 0 };
	if (library_init(NULL) < 0)
		return;
	if (host->layout == CGROUP_V2) {
		ret->peak_memory_bytes = read_number("memory", path, "memory.peak", NULL);
		ret->oom_kills = read_number("memory", path, "memory.events", "oom_kill");
		ret->pids_denied = read_number("pids", path, "pids.events", "max");
		ret->cpu_user_us = read_number("memory", path, "cpu.stat", "user_usec");
		ret->cpu_system_us = read_number("memory", path, "cpu.stat", "system_usec");
		return;
	}
	ret->peak_memory_bytes = read_number("memory", path, "memory.max_usage_in_bytes", NULL);
	ret->oom_kills = read_number("memory", path, "memory.oom_control", "oom_kill");
	ret->pids_denied = read_number("pids", path, "pids.events", "max");
	read_cpuacct(path, ret);
}

static int visit_group(int fd, int (*act)(int fd, int parent, const char *name), int parent, const char *name,
		unsigned depth);

/* Calls act for every group below fd, the deepest first. Groups come and go: what vanishes is passed over. */
static int visit_children(int fd, int (*act)(int fd, int parent, const char *name), unsigned depth)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0, first = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		close_cleanup(&copy);
		return 0; /* removed meanwhile */
	}
	while ((e = readdir(d))) {
		_cleanup_close_ int child = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		child = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = child < 0 ? 0 : visit_group(child, act, fd, e->d_name, depth + 1);
		first = first ? first : r;
	}
	(void)closedir(d);
	return first;
}

static int visit_group(int fd, int (*act)(int fd, int parent, const char *name), int parent, const char *name,
		unsigned depth)
{
	int r = depth < MAX_DEPTH ? visit_children(fd, act, depth) : -ELOOP;
	int s = act(fd, parent, name);

	return r < 0 ? r : s;
}

/* -EAGAIN: processes were there, and have a SIGKILL now. */
static int kill_group(int fd, int parent, const char *name)
{
	_cleanup_free_ char *text = NULL;
	int r = 0;

	(void)parent;
	(void)name;
	if (file_read_at(fd, "cgroup.procs", 1 << 20, &text, NULL, NULL) < 0)
		return 0;
	for (char *at = text, *end; *at; at = end) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		if (pid > 0) /* 0: a process that our pid namespace does not show; the next round meets it again */
			(void)kill((pid_t)pid, SIGKILL); /* ESRCH: gone already */
		while (*end == '\n')
			end++;
		r = -EAGAIN;
	}
	return r;
}

static int remove_group(int fd, int parent, const char *name)
{
	(void)fd;
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* v1 has no event for "empty": look again after a pause that doubles up to 20 ms. False: the time is over. */
static bool pause_until(uint64_t deadline_ns, unsigned *attempt)
{
	long ms = *attempt < 5 ? 1L << *attempt : 20;
	struct timespec t = { .tv_nsec = ms * 1000000 };

	(*attempt)++;
	(void)nanosleep(&t, NULL); /* woken early: one more look */
	return clock_now_ns() < deadline_ns;
}

int cgroup_kill(const struct cgroup_host *host, const char *path, struct error *err)
{
	uint64_t deadline = clock_now_ns() + remove_timeout_ns;
	unsigned attempt = 0;
	bool again;

	do {
		char dir[PATH_MAX_LEN];
		unsigned at = 0;

		again = false;
		while (next_dir(host, path, &at, dir)) {
			_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (fd < 0)
				continue;
			/* No more forks. Not in this hierarchy: no matter. */
			(void)file_write_once(fd, "pids.max", "0");
			if (file_write_once(fd, "cgroup.kill", "1") == 0) /* v2, Linux 5.14 */
				continue;
			again |= visit_group(fd, kill_group, -1, NULL, 0) == -EAGAIN;
		}
	} while (again && pause_until(deadline, &attempt));
	return again ? error_set(err, EBUSY, "control group %s: processes survive SIGKILL", path) : 0;
}

/* One try in one hierarchy. 0: gone. */
static int remove_dir(const char *dir)
{
	_cleanup_close_ int fd = -1;

	if (rmdir(dir) == 0 || errno == ENOENT || errno == ENODEV)
		return 0;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	(void)visit_children(fd, remove_group, 0); /* groups that the workload made; judged by the next line */
	return rmdir(dir) == 0 || errno == ENOENT ? 0 : -errno;
}

/* The common parent, "bivalve": fails while other instances are there. */
static void remove_parent(const char *path, char *dir)
{
	char *slash = strchr(path, '/') ? strrchr(dir, '/') : NULL;

	if (!slash)
		return;
	*slash = '\0';
	(void)rmdir(dir); /* as said */
}

int cgroup_remove(const struct cgroup_host *host, const char *path, struct error *err)
{
	uint64_t deadline = clock_now_ns() + remove_timeout_ns;
	unsigned at = 0, attempt = 0;
	char dir[PATH_MAX_LEN];

	while (next_dir(host, path, &at, dir)) {
		int r;

		while ((r = remove_dir(dir)) == -EBUSY && pause_until(deadline, &attempt))
			;
		if (r < 0)
			return error_set(err, -r, "cannot remove the control group %s: %s", dir, strerror(-r));
		remove_parent(path, dir);
	}
	return 0;
}

int cgroup_destroy(const struct cgroup_host *host, const char *path, struct error *err)
{
	char dir[PATH_MAX_LEN];
	bool busy = false;
	unsigned at = 0;
	int r;

	while (next_dir(host, path, &at, dir)) {
		if (rmdir(dir) < 0 && errno != ENOENT)
			busy = true;
		else
			remove_parent(path, dir);
	}
	if (!busy)
		return 0;
	r = cgroup_kill(host, path, err);
	return r < 0 ? r : cgroup_remove(host, path, err);
}
