/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces: who the container's users are outside.
 *
 * Theory of operation. A process made with CLONE_NEWUSER has every capability over its own new namespaces and none over
 * the host, and no id of it exists until its maps are written, once, from outside:
 *
 *   parent                                child
 *   clone3(CLONE_NEWUSER | …)  ─────────► opens what the old identity may reach
 *   setgroups: deny (not root)            waits
 *   uid_map, gid_map
 *   idmapped lowers ──── descriptors ───► setresgid(0), setresuid(0): root inside, nobody outside
 *
 * With root outside the maps are written as they are, and the image's files, which belong to the host's ids, are shown
 * through an idmapped mount: file owner 0 is the container's 0. The mount takes CAP_SYS_ADMIN over the file system,
 * hence the parent makes it. Without root the kernel allows us one line, our own id, and only with setgroups(2) denied
 * for good (else a user could drop a group that is used to deny access); the files are the user's own, so they are the
 * container's 0 anyway.
 *
 * Invariants: the child is dumpable until the maps are written, else /proc/PID/uid_map belongs to root; nothing of the
 * image has been touched by then. The kernel checks the maps against /proc/PID/uid_map's opener. A user's maps of more
 * than his own id are written by newuidmap and newgidmap (subids.c); setgroups then stays allowed, as theirs to decide.
 *
 * Not defended against: a map that gives the container ids which own files elsewhere on the host. The plan's maker
 * chooses the range.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/idmap.h"
#include "container-backend/mount_options.h"
#include "container-backend/mountfd.h"
#include "container-backend/subids.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

static const uint64_t id_limit = UINT32_MAX; /* (uid_t)-1 is no id */

bool idmap_has(const struct plan_id_map *maps, size_t n, uint64_t inside)
{
	for (size_t i = 0; i < n; i++)
		if (inside >= maps[i].inside && inside - maps[i].inside < maps[i].count)
			return true;
	return n == 0;
}

static int check_maps(enum subids_kind kind, const struct plan_id_map *maps, size_t n, const char *field, uint64_t own,
		struct error *err)
{
	if (n == 0 || n > IDMAP_MAX)
		return error_set(err, EINVAL, "%s: a user namespace needs 1 to %d entries", field, IDMAP_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct plan_id_map *m = &maps[i];

		if (m->count == 0 || m->count > id_limit || m->inside > id_limit - m->count ||
				m->outside > id_limit - m->count)
			return error_set(err, EINVAL, "%s[%zu]: out of range", field, i);
	}
	if (!idmap_has(maps, n, 0))
		return error_set(err, EINVAL, "%s: nobody is 0 in the container, who has to set it up", field);
	if (subids_needed(maps, n, own) && subids_check(kind, err) < 0)
		return error_prefix(err, "%s: without root more than the user's own id %ju takes subordinate ids",
				field, (uintmax_t)own);
	return 0;
}

int idmap_check(const struct plan *plan, struct error *err)
{
	int r;

	if (!(plan->namespaces & PLAN_NS(USER))) {
		if (plan->n_uid_maps || plan->n_gid_maps)
			return error_set(err, EINVAL, "%s: needs a user namespace",
					plan->n_uid_maps ? "uid_maps" : "gid_maps");
		return 0;
	}
	r = check_maps(SUBIDS_UID, plan->uid_maps, plan->n_uid_maps, "uid_maps", geteuid(), err);
	return r < 0 ? r : check_maps(SUBIDS_GID, plan->gid_maps, plan->n_gid_maps, "gid_maps", getegid(), err);
}

static int write_file(pid_t pid, const char *name, const char *text, struct error *err)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name); /* fits */
	r = file_write_once(AT_FDCWD, path, text);
	return r < 0 ? error_set(err, -r, "cannot write %s of the user namespace: %s", name, strerror(-r)) : 0;
}

static int write_maps(pid_t pid, const char *name, const struct plan_id_map *maps, size_t n, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	for (size_t i = 0; i < n; i++)
		strbuf_printf(&text, "%ju %ju %ju\n", (uintmax_t)maps[i].inside, (uintmax_t)maps[i].outside,
				(uintmax_t)maps[i].count);
	return n ? write_file(pid, name, text.text, err) : 0;
}

int idmap_write(const struct plan *plan, pid_t pid, struct error *err)
{
	int r = 0;

	if (subids_needed(plan->gid_maps, plan->n_gid_maps, getegid()))
		r = subids_write(SUBIDS_GID, pid, plan->gid_maps, plan->n_gid_maps, err);
	else if (geteuid() == 0 || (r = write_file(pid, "setgroups", "deny", err)) == 0)
		r = write_maps(pid, "gid_map", plan->gid_maps, plan->n_gid_maps, err);
	if (r < 0)
		return r;
	return subids_needed(plan->uid_maps, plan->n_uid_maps, geteuid())
		? subids_write(SUBIDS_UID, pid, plan->uid_maps, plan->n_uid_maps, err)
		: write_maps(pid, "uid_map", plan->uid_maps, plan->n_uid_maps, err);
}

/* A user namespace that is nothing but its maps: made with a process that waits for its end. Its descriptor. */
static int make_userns(const struct plan_mount *m, struct error *err)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof args);
	char path[64];
	int fd = -1, r;

	if (pid < 0)
		return error_sys(err, "cannot make a user namespace for its maps");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* or it would outlive a killed launcher */
		for (;;)
			(void)pause();
	}
	r = write_maps((pid_t)pid, "gid_map", m->gid_maps, m->n_gid_maps, err);
	if (r == 0)
		r = write_maps((pid_t)pid, "uid_map", m->uid_maps, m->n_uid_maps, err);
	(void)snprintf(path, sizeof path, "/proc/%ld/ns/user", pid); /* fits */
	if (r == 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		r = error_sys(err, "cannot open the user namespace of its maps");
	(void)kill((pid_t)pid, SIGKILL);
	while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r < 0 ? r : fd;
}

/* The container's own. */
static int open_userns(const struct plan *plan, pid_t pid, struct error *err)
{
	const char *joined = plan_join_path(plan, PLAN_NS_USER);
	char path[64];
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid); /* fits */
	fd = open(joined ? joined : path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_sys(err, "cannot open the user namespace") : fd;
}

/* Made in this mount namespace, whose peer it must not be. */
static int detach(int *fd, const struct plan_mount *m, struct error *err)
{
	int r = mountfd_propagate(*fd, MS_PRIVATE | MS_REC);

	if (r < 0)
		return error_set(err, -r, "source: %s: cannot make it private: %s", m->source, strerror(-r));
	return steal_fd(fd);
}

int idmap_mount(const struct plan *plan, const struct plan_mount *m, pid_t pid, struct error *err)
{
	_cleanup_close_ int userns = -1, fd = -1;
	struct mount_options o;
	bool recursive, all, idmap;
	int r;

	if (mount_options_parse(m->options, 0, &o, err) < 0)
		return error_prefix(err, "options");
	idmap = o.idmap || m->n_uid_maps;
	recursive = o.recursive || (!idmap && !o.bind && !plan->mounts_exact);
	all = o.idmap_recursive;
	fd = mountfd_clone_at(AT_FDCWD, m->source, recursive, o.source_nofollow);
	mount_options_release(&o);
	if (fd < 0)
		return error_set(err, -fd, "source: %s: %s", m->source, strerror(-fd));
	if (!idmap)
		return detach(&fd, m, err);
	userns = m->n_uid_maps ? make_userns(m, err) : open_userns(plan, pid, err);
	if (userns < 0)
		return userns;
	r = mountfd_idmap(fd, userns, all);
	if (r == -EINVAL || r == -EOPNOTSUPP || r == -EPERM)
		return error_set(err, -r, "%s: the file system of %s cannot be idmapped on this kernel: %s",
				m->n_uid_maps ? "uid_maps" : "options: idmap", m->source, strerror(-r));
	if (r < 0)
		return error_set(err, -r, "source: %s: cannot idmap it: %s", m->source, strerror(-r));
	return detach(&fd, m, err);
}

int idmap_lower(const char *lower, int userns_fd)
{
	_cleanup_close_ int fd = mountfd_clone(AT_FDCWD, lower, false);

	if (fd < 0 || mountfd_idmap(fd, userns_fd, false) < 0)
		return -ENOTSUP;
	return steal_fd(&fd);
}

int idmap_become_root(struct error *err)
{
	/* EPERM: setgroups is denied, so the groups we have are not ours to drop. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return error_sys(err, "cannot drop the supplementary groups");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_sys(err, "cannot become root of the user namespace");
	return 0;
}
