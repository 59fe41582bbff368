/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals to a whole group, and the group's end.
 *
 * By file and not by libcgroup, because of what version 2.0.2 does: removing moves processes that are left to the
 * parent
 * group, out of their limits, or with CGFLAG_DELETE_EMPTY_ONLY reports success although the group is still there; and
 * it
 * knows no cgroup.kill.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"

static const uint64_t remove_timeout_ns = UINT64_C(5000000000);

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
	int r = depth < CGROUP_DEPTH_MAX ? visit_children(fd, act, depth) : -ELOOP;
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

/* v1: what is frozen dies only once it may run. */
static void thaw_v1(const struct cgroup_host *host, const char *path)
{
	char dir[CGROUP_DIR_MAX], name[CGROUP_DIR_MAX + 16];

	if (host->layout == CGROUP_V2 || !cgroup_dir_in(host, path, CGROUP_FREEZER, dir))
		return;
	(void)snprintf(name, sizeof name, "%s/freezer.state", dir); /* fits */
	(void)file_write_once(AT_FDCWD, name, "THAWED"); /* ENOENT: never frozen */
}

int cgroup_kill(const struct cgroup_host *host, const char *path, struct error *err)
{
	uint64_t deadline = clock_now_ns() + remove_timeout_ns;
	unsigned attempt = 0;
	bool again;

	do {
		char dir[CGROUP_DIR_MAX];
		unsigned at = 0;

		again = false;
		while (cgroup_next_dir(host, path, &at, dir)) {
			_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (fd < 0)
				continue;
			/* No more forks. Not in this hierarchy: no matter. */
			(void)file_write_once(fd, "pids.max", "0");
			if (file_write_once(fd, "cgroup.kill", "1") == 0) /* v2, Linux 5.14 */
				continue;
			again |= visit_group(fd, kill_group, -1, NULL, 0) == -EAGAIN;
		}
		if (again)
			thaw_v1(host, path);
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

int cgroup_remove(const struct cgroup_host *host, const char *path, struct error *err)
{
	uint64_t deadline = clock_now_ns() + remove_timeout_ns;
	unsigned at = 0, attempt = 0;
	char dir[CGROUP_DIR_MAX];

	while (cgroup_next_dir(host, path, &at, dir)) {
		int r;

		while ((r = remove_dir(dir)) == -EBUSY && pause_until(deadline, &attempt))
			;
		if (r < 0)
			return error_set(err, -r, "cannot remove the control group %s: %s", dir, strerror(-r));
		cgroup_remove_parents(path, dir);
	}
	return 0;
}

int cgroup_destroy(const struct cgroup_host *host, const char *path, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	bool busy = false;
	unsigned at = 0;
	int r;

	while (cgroup_next_dir(host, path, &at, dir)) {
		if (rmdir(dir) < 0 && errno != ENOENT)
			busy = true;
		else
			cgroup_remove_parents(path, dir);
	}
	if (!busy)
		return 0;
	r = cgroup_kill(host, path, err);
	return r < 0 ? r : cgroup_remove(host, path, err);
}

static int each_at(int fd, int (*act)(pid_t pid, void *arg), void *arg, unsigned depth)
{
	_cleanup_free_ char *text = NULL;
	int copy, r = 0;
	struct dirent *e;
	DIR *d;

	if (file_read_at(fd, "cgroup.procs", 1 << 22, &text, NULL, NULL) == 0)
		for (char *at = text, *end; r == 0 && *at; at = end + strspn(end, "\n")) {
			long pid = strtol(at, &end, 10);

			if (end == at)
				break;
			r = pid > 0 ? act((pid_t)pid, arg) : 0; /* 0: not in our pid namespace */
		}
	copy = r == 0 && depth < CGROUP_DEPTH_MAX ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		close_cleanup(&copy);
		return r;
	}
	while (r == 0 && (e = readdir(d))) {
		_cleanup_close_ int child = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		child = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = child < 0 ? 0 : each_at(child, act, arg, depth + 1);
	}
	(void)closedir(d);
	return r;
}

int cgroup_each_process(const char *dir, int (*act)(pid_t pid, void *arg), void *arg)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? errno == ENOENT ? 0 : -errno : each_at(fd, act, arg, 0);
}

struct signalling {
	int signo, n, r;
};

/* A number is another process's only if all numbers were used up since it was read. */
static int send_to(pid_t pid, void *arg)
{
	struct signalling *s = arg;
	_cleanup_close_ int fd = pidfd_open_pid(pid);
	int r = fd < 0 ? fd : pidfd_kill(fd, s->signo);

	s->n += r == 0;
	if (r < 0 && r != -ESRCH && r != -EINVAL && s->r == 0)
		s->r = r;
	return 0;
}

int cgroup_signal(const struct cgroup_host *host, const char *path, int signo, struct error *err)
{
	struct signalling s = { .signo = signo };
	char dir[CGROUP_DIR_MAX];
	int r;

	if (signo == SIGKILL)
		return cgroup_kill(host, path, err);
	if (cgroup_first_dir(host, path, dir) < 0)
		return error_set(err, ESRCH, "control group %s: there is none", path);
	r = cgroup_each_process(dir, send_to, &s);
	if (r == 0)
		r = s.r;
	if (r < 0)
		return error_set(err, -r, "control group %s: cannot send signal %d: %s", path, signo, strerror(-r));
	return s.n ? 0 : error_set(err, ESRCH, "control group %s: no process is in it", path);
}
