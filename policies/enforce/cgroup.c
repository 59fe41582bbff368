/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a group, changing it, joining it.
 *
 * libcgroup makes v1 groups on hosts that mount the hierarchies somewhere of their own, which it knows all about. Where
 * they are in the usual places, one mkdir each does it: the library's tables alone are an eighth of a container's
 * start.
 * Otherwise by file and not by the library, because of what version 2.0.2 does:
 *  - joining: it writes the pid to v1's `tasks`, which moves a single thread, and any write of a pid waits for RCU
 *    (6 to 20 ms). A process that writes "0" to `tasks` moves itself and waits for nothing, so the container's child
 *    does that, through descriptors opened here; other processes are moved whole by cgroup.procs;
 *  - parents: it does not tell which it made, and those are all that may be removed later;
 *  - limits: it does not tell which file the kernel refused;
 *  - v2: it never enables controllers in the root's cgroup.subtree_control; one mkdir needs no tables of mounts.
 */
#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

/* The library fills its tables once per process; a second call costs as much again. Its state, not ours. */
static int library_init(struct error *err)
{
	static bool done;
	int r;

	if (done)
		return 0;
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

/* Whether somebody lives in the group already: another container's limits are not ours to change. */
static int refuse_busy(const char *path, const char *dir, struct error *err)
{
	char name[CGROUP_DIR_MAX + 16], byte;
	_cleanup_close_ int fd = -1;

	(void)snprintf(name, sizeof name, "%s/cgroup.procs", dir); /* fits */
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, &byte, 1) == 1)
		return error_set(err, EBUSY, "cgroup: %s: exists already, and processes are in it", path);
	return 0;
}

int cgroup_check_free(const struct cgroup_host *host, const char *path, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	unsigned at = 0;
	int r = cgroup_path_check(path, err);

	while (r == 0 && cgroup_next_dir(host, path, &at, dir))
		r = refuse_busy(path, dir, err);
	return r;
}

/* A new group of a v1 cpuset has neither processors nor memory, and takes no process: it gets what its parent has. */
static int inherit_cpuset(const char *root, const char *path, struct error *err)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char dir[CGROUP_DIR_MAX], name[CGROUP_DIR_MAX + 16];

	(void)snprintf(dir, sizeof dir, "%s/%s/", root, path); /* fits */
	for (char *slash = dir + strlen(root); (slash = strchr(slash + 1, '/'));)
		for (size_t i = 0; i < ARRAY_LEN(files); i++) {
			_cleanup_free_ char *own = NULL, *parents = NULL;
			char *up;
			int r;

			*slash = '\0';
			r = cgroup_read(dir, files[i], &own);
			if (r == 0 && own[0] == '\n') {
				(void)snprintf(name, sizeof name, "%s", dir);
				up = strrchr(name, '/');
				*up = '\0';
				r = cgroup_read(name, files[i], &parents);
				(void)snprintf(name, sizeof name, "%s/%s", dir, files[i]); /* fits */
				r = r < 0 ? r : file_write_once(AT_FDCWD, name, parents);
			}
			*slash = '/';
			if (r < 0)
				return error_set(err, -r, "cannot set %s of %s: %s", files[i], dir, strerror(-r));
		}
	return 0;
}

int cgroup_enable(const struct cgroup_host *host, const char *path, unsigned controllers, unsigned needed,
		struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	char *at = dir + strlen(host->roots[CGROUP_UNIFIED]);

	(void)snprintf(dir, sizeof dir, "%s/%s", host->roots[CGROUP_UNIFIED], path); /* fits */
	for (; at; at = strchr(at + 1, '/')) {
		_cleanup_free_ char *have = NULL;
		/* not ours */
		bool above = strlen(host->base) > (size_t)(at - dir) - strlen(host->roots[CGROUP_UNIFIED]);

		*at = '\0';
		if (!above && cgroup_read(dir, "cgroup.subtree_control", &have) == 0)
			for (unsigned h = 0; h < CGROUP_HIERARCHIES; h++) {
				const char *word = cgroup_controller_name(host, (enum cgroup_hierarchy)h);
				char name[CGROUP_DIR_MAX + 32], text[16];
				int r;

				if (!(controllers & 1u << h) || !word || cgroup_has_word(have, word, " \n"))
					continue;
				(void)snprintf(name, sizeof name, "%s/cgroup.subtree_control", dir); /* fits */
				(void)snprintf(text, sizeof text, "+%s", word); /* fits */
				r = file_write_once(AT_FDCWD, name, text);
				if (r < 0 && needed & 1u << h)
					return error_set(err, -r, "cannot enable a controller in %s (%s): %s%s", name,
						text, strerror(-r),
						r == -EBUSY ? ": processes live in that group itself; "
							      "move them to a group below it"
							    : "");
			}
		*at = '/';
	}
	return 0;
}

static int make_by_mkdir(const char *path, const char *dir, struct error *err)
{
	for (int attempt = 0; attempt < 8; attempt++) {
		/* Another instance's removal may take an empty parent away in between: again, then. */
		int r = strchr(path, '/') ? cgroup_make_parents(path, dir, err) : 0;

		if (r == 0 && mkdir(dir, 0755) < 0 && errno != EEXIST)
			r = error_sys(err, "cannot make the control group %s", dir);
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

/* v1's several folders, wherever they are. */
static int make_by_library(const struct cgroup_host *host, const char *path, unsigned hierarchies, struct error *err)
{
	int r = library_init(err);

	for (int attempt = 0; r == 0 && attempt < 8; attempt++) {
		struct cgroup *g = cgroup_new_cgroup(path);

		for (unsigned h = 0; g && h < CGROUP_HIERARCHIES; h++)
			if (hierarchies & 1u << h)
				(void)cgroup_add_controller(g, cgroup_controller_name(host, (enum cgroup_hierarchy)h));
		if (!g)
			return error_set(err, ENOMEM, "control group %s: out of memory", path);
		r = cgroup_create_cgroup(g, 1); /* 1: the files stay root's; no walk to chown them */
		cgroup_free(&g);
		if (r == 0)
			return 0;
		if (r != ECGROUPNOTEXIST && !(r == ECGOTHER && cgroup_get_last_errno() == ENOENT))
			return library_error(r, err, "make", path);
		r = 0;
	}
	return r < 0 ? r
		     : error_set(err, ENOENT, "cannot make the control group %s: it goes away again and again", path);
}

static int make_v2(
	const struct cgroup_host *host, const char *path, unsigned wanted, unsigned needed, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	int r;

	(void)cgroup_dir_in(host, path, CGROUP_UNIFIED, dir); /* always there on v2 */
	r = refuse_busy(path, dir, err);
	if (r == 0)
		r = make_by_mkdir(path, dir, err);
	return r < 0 ? r : cgroup_enable(host, path, wanted, needed, err);
}

/* /sys/fs/cgroup/<controller>, as every distribution with v1 has it. */
static bool in_usual_place(const struct cgroup_host *host, enum cgroup_hierarchy h)
{
	static const char place[] = "/sys/fs/cgroup/";

	return !strncmp(host->roots[h], place, sizeof place - 1) && !strchr(host->roots[h] + sizeof place - 1, '/');
}

static int make_v1(const struct cgroup_host *host, const char *path, unsigned hierarchies, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	unsigned elsewhere = 0;
	bool looked = false;
	int r = 0;

	for (unsigned h = 0; r == 0 && h < CGROUP_HIERARCHIES; h++) {
		if (!(hierarchies & 1u << h) || !cgroup_dir_in(host, path, (enum cgroup_hierarchy)h, dir))
			continue;
		/* who is in one is in the first; cgroup_check_free() is thorough */
		r = looked ? 0 : refuse_busy(path, dir, err);
		looked = true;
		if (r == 0 && (strchr(path, '/') || in_usual_place(host, (enum cgroup_hierarchy)h)))
			r = make_by_mkdir(path, dir, err); /* with parents that we know are ours */
		else if (r == 0)
			elsewhere |= 1u << h;
	}
	if (r == 0 && elsewhere)
		r = make_by_library(host, path, elsewhere, err);
	if (r == 0 && hierarchies & CGROUP_BIT(CPUSET))
		r = inherit_cpuset(host->roots[CGROUP_CPUSET], path, err);
	return r;
}

/* Hierarchies beyond those that limits bind in: what counts (and denies forks)
 * cheaply; with FIGURES all that counts. */
static unsigned hierarchies_for_figures(const struct cgroup_host *host, unsigned flags, unsigned made)
{
	static const enum cgroup_hierarchy always[] = { CGROUP_MEMORY, CGROUP_PIDS },
		/* Not cpu: joining it takes ten times as long as any other, and without a quota it counts nothing. */
		figures[] = { CGROUP_CPUACCT, CGROUP_BLKIO };
	unsigned mask = 0;

	/* Without figures one of v1's is enough: its processes are found there, and a verb that needs more adds it. */
	for (size_t i = 0; i < ARRAY_LEN(always) && !(flags & CGROUP_NO_FIGURES && (made | mask)); i++)
		mask |= cgroup_has(host, always[i]) ? 1u << always[i] : 0;
	for (size_t i = 0; flags & CGROUP_FIGURES && i < ARRAY_LEN(figures); i++)
		mask |= cgroup_has(host, figures[i]) ? 1u << figures[i] : 0;
	return mask;
}

/* 0: no rules, or none that bind here. 1: to be applied. */
static int devices_wanted(const struct cgroup_host *host, const struct plan_resources *res, unsigned flags,
		struct error *err)
{
	if (cgroup_devices_needless(res))
		return 0;
	if (cgroup_has(host, CGROUP_DEVICES))
		return 1;
	return flags & CGROUP_DEVICES_IF_ABLE
		       ? 0
		       : error_set(err, EOPNOTSUPP, "resources.devices: cannot be limited: %s",
				 host->layout == CGROUP_V2 ? "this process may not load an eBPF program"
							   : "no devices control group that this user may write to");
}

int cgroup_create_with(const struct cgroup_host *host, const char *path, const struct plan_resources *res,
		unsigned flags, unsigned *ret_hierarchies, struct error *err)
{
	_cleanup_(cgroup_settings_release) struct cgroup_settings s = { 0 };
	int devices = 0, r = cgroup_path_check(path, err);
	unsigned wanted;

	if (r == 0)
		r = cgroup_check(host, res, err);
	if (r == 0)
		r = devices = devices_wanted(host, res, flags, err);
	if (r < 0)
		return r;
	cgroup_settings_fill(host, res, &s);
	wanted = s.hierarchies | (devices ? CGROUP_BIT(DEVICES) : 0);
	wanted |= hierarchies_for_figures(host, flags, host->layout == CGROUP_V2 ? 0 : wanted);
	r = host->layout == CGROUP_V2 ? make_v2(host, path, wanted, s.hierarchies, err)
				      : make_v1(host, path, wanted, err);
	if (r == -EBUSY)
		return r; /* somebody else's: nothing was made, nothing is to be removed */
	if (r == 0)
		r = cgroup_settings_apply(host, path, &s, true, err);
	if (r == 0 && devices)
		r = cgroup_devices_apply(host, path, res, err);
	if (r < 0)
		(void)cgroup_remove(host, path, NULL); /* the first error is the one to tell */
	else if (ret_hierarchies)
		*ret_hierarchies = wanted;
	return r;
}

int cgroup_create(const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err)
{
	return cgroup_create_with(host, path, res, 0, NULL, err);
}

static int move_one(pid_t pid, void *arg)
{
	const char *const *files = arg; /* where it is to be */
	char text[16];
	int r;

	(void)snprintf(text, sizeof text, "%d", (int)pid); /* fits */
	r = file_write_once(AT_FDCWD, files[0], text);
	return r == -ESRCH ? 0 : r;
}

static int count_one(pid_t pid, void *arg)
{
	(void)pid;
	++*(size_t *)arg;
	return 0;
}

/* Moves until no process is outside: children that a process made before it was moved are met in the next round. */
static int move_all(const char *from, const char *to, struct error *err)
{
	char procs[CGROUP_DIR_MAX + 16];
	const char *files[] = { procs };

	(void)snprintf(procs, sizeof procs, "%s/cgroup.procs", to); /* fits */
	for (int round = 0; round < 64; round++) {
		size_t outside = 0, inside = 0;
		int r = cgroup_each_process(from, move_one, files);

		if (r < 0)
			return error_set(err, -r, "cannot move processes into %s: %s", to, strerror(-r));
		(void)cgroup_each_process(from, count_one, &outside);
		(void)cgroup_each_process(to, count_one, &inside);
		if (inside >= outside)
			return 0;
	}
	return error_set(err, EAGAIN, "cannot move all processes into %s: they multiply too fast", to);
}

int cgroup_extend(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, struct error *err)
{
	char from[CGROUP_DIR_MAX], to[CGROUP_DIR_MAX];
	int r;

	if (!cgroup_has(host, h) || !cgroup_dir_in(host, path, h, to))
		return error_set(err, EOPNOTSUPP, "no %s control group that this user may write to",
				cgroup_controller_name(host, h));
	if (access(to, F_OK) == 0)
		return 0;
	if (cgroup_first_dir(host, path, from) < 0)
		return error_set(err, ENOENT, "control group %s: there is none", path);
	r = make_by_mkdir(path, to, err);
	if (r == 0 && h == CGROUP_CPUSET)
		r = inherit_cpuset(host->roots[h], path, err);
	if (r == 0 && h == CGROUP_FREEZER) { /* frozen as they come, they multiply no more; cgroup_freeze() undoes it */
		char state[CGROUP_DIR_MAX + 16];

		(void)snprintf(state, sizeof state, "%s/freezer.state", to); /* fits */
		r = file_write_once(AT_FDCWD, state, "FROZEN");
		if (r < 0)
			r = error_set(err, -r, "cannot freeze %s: %s", to, strerror(-r));
	}
	return r < 0 ? r : move_all(from, to, err);
}

static int check_usage(
	const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	uint64_t used;

	if (!res->memory_check_before_update || !res->memory_bytes || !cgroup_dir_in(host, path, CGROUP_MEMORY, dir))
		return 0;
	used = cgroup_read_u64(dir, host->layout == CGROUP_V2 ? "memory.current" : "memory.usage_in_bytes");
	return used <= res->memory_bytes ? 0
					 : error_set(err, EBUSY, "resources.memory_bytes: %ju: more is in use (%ju)",
						   (uintmax_t)res->memory_bytes, (uintmax_t)used);
}

int cgroup_update(const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err)
{
	_cleanup_(cgroup_settings_release) struct cgroup_settings s = { 0 };
	unsigned wanted;
	int devices = 0, r = cgroup_check(host, res, err);

	if (r == 0)
		r = check_usage(host, path, res, err);
	if (r == 0)
		r = devices = devices_wanted(host, res, 0, err);
	if (r < 0)
		return r;
	cgroup_settings_fill(host, res, &s);
	wanted = s.hierarchies | (devices ? CGROUP_BIT(DEVICES) : 0);
	r = host->layout == CGROUP_V2 ? cgroup_enable(host, path, s.hierarchies, s.hierarchies, err) : 0;
	for (unsigned h = 0; r == 0 && host->layout != CGROUP_V2 && h < CGROUP_HIERARCHIES; h++)
		if (wanted & 1u << h)
			r = cgroup_extend(host, path, (enum cgroup_hierarchy)h, err);
	if (r >= 0)
		r = cgroup_settings_apply(host, path, &s, false, err);
	if (r == 0 && devices)
		r = cgroup_devices_apply(host, path, res, err);
	return r;
}

int cgroup_attach(const struct cgroup_host *host, const char *path, pid_t pid, struct error *err)
{
	/* v1's tasks moves the writer alone, without the lock whose taking waits for RCU. v2 has cgroup.procs only. */
	const char *file = pid == 0 && host->layout != CGROUP_V2 ? "tasks" : "cgroup.procs";
	char dir[CGROUP_DIR_MAX], name[CGROUP_DIR_MAX + 16], text[16];
	unsigned at = 0;

	(void)snprintf(text, sizeof text, "%d", (int)pid); /* fits */
	while (cgroup_next_dir(host, path, &at, dir)) {
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
	char dir[CGROUP_DIR_MAX];
	unsigned at = 0;

	if (host->layout != CGROUP_V2 || !cgroup_next_dir(host, path, &at, dir))
		return -1;
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_open_join(const struct cgroup_host *host, const char *path, unsigned hierarchies,
		int ret_fds[CGROUP_HIERARCHIES], struct error *err)
{
	char dir[CGROUP_DIR_MAX], name[CGROUP_DIR_MAX + 8];
	unsigned at = 0;
	int n = 0;

	while (host->layout != CGROUP_V2 && cgroup_next_dir(host, path, &at, dir)) {
		unsigned here = 0; /* several controllers may share the place */

		for (unsigned h = 0; h < CGROUP_HIERARCHIES; h++)
			here |= strcmp(host->roots[h], host->roots[at - 1]) ? 0 : 1u << h;
		if (!(hierarchies & here))
			continue;
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
