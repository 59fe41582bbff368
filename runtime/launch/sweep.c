/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances' folders: claiming, and clearing what launchers left behind that were killed.
 *
 * The order of a launch is: folder, lock, state.json, then whatever state.json names (cgroup, processes). A launcher
 * killed anywhere in between leaves a folder that is unlocked, and enough in it to undo the rest: its processes die
 * with it (PR_SET_PDEATHSIG, pid namespace), mounts die with their namespace, so cgroups and the folder remain.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/sweep.h"

/* Opens and locks an existing folder. -EWOULDBLOCK: held; -ENOENT: none (or removed under our hands). */
static int lock_folder(int run_fd, const char *id, int *ret_fd)
{
	_cleanup_close_ int fd = openat(run_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat ours, named;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* Between open and lock another launcher may have removed it and made a new one. */
	if (fstat(fd, &ours) < 0 || fstatat(run_fd, id, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
			ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
		return -ENOENT;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int open_run_dir(const char *run_dir, bool make, struct error *err)
{
	int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd >= 0)
		return fd;
	if (!make || errno != ENOENT)
		return error_sys(err, "cannot open the run-time folder %s", run_dir);
	r = path_mkdirs(run_dir, 0700, err);
	if (r < 0)
		return error_prefix(err, "run-time folder");
	fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : error_sys(err, "cannot open the run-time folder %s", run_dir);
}

/* Undoes what state.json names and removes the folder. The caller holds the lock, or means to break in. */
static int undo(int run_fd, const char *run_dir, const char *id, struct error *err)
{
	struct error unreadable = { 0 };
	struct instance in;
	int r;

	instance_init(&in);
	r = instance_load(run_dir, id, &in, &unreadable);
	if (r < 0 && r != -ENOENT)
		log_debug("%s: %s: removing its folder only", id, unreadable.message);
	if (r == 0) {
		const struct backend *backend = backend_find(in.backend);

		r = backend ? backend->delete(&in, err) : 0;
		instance_release(&in);
		if (r < 0)
			return r;
	}
	return path_remove_tree(run_fd, id, err);
}

int instance_claim(const char *run_dir, const char *id, int *ret_lock_fd, struct error *err)
{
	_cleanup_close_ int run_fd = open_run_dir(run_dir, true, err);

	if (run_fd < 0)
		return run_fd;
	for (int attempt = 0; attempt < 16; attempt++) {
		_cleanup_close_ int old = -1;
		int r;

		if (mkdirat(run_fd, id, 0700) == 0) {
			r = lock_folder(run_fd, id, ret_lock_fd);
			if (r == 0)
				return 0;
			continue; /* swept in the moment between the two: again */
		}
		if (errno != EEXIST)
			return error_sys(err, "cannot make %s/%s", run_dir, id);
		r = lock_folder(run_fd, id, &old);
		if (r == -EWOULDBLOCK)
			return error_set(err, EEXIST, "an instance named %s exists already: choose another --name or "
					"`bivalve delete --force %s`", id, id);
		if (r == 0) {
			r = undo(run_fd, run_dir, id, err);
			if (r < 0)
				return r;
		}
	}
	return error_set(err, EBUSY, "cannot claim %s/%s: somebody else keeps making it", run_dir, id);
}

bool instance_is_held(const char *run_dir, const char *id)
{
	_cleanup_close_ int run_fd = open_run_dir(run_dir, false, NULL), fd = -1;

	return run_fd >= 0 && lock_folder(run_fd, id, &fd) == -EWOULDBLOCK;
}

int instance_remove(const char *run_dir, const char *id, bool force, struct error *err)
{
	_cleanup_close_ int run_fd = open_run_dir(run_dir, false, err), lock = -1;
	int r;

	if (run_fd < 0)
		return run_fd;
	r = lock_folder(run_fd, id, &lock);
	if (r == -EWOULDBLOCK && !force)
		return error_set(err, EBUSY, "%s is running: `bivalve kill %s`, or delete --force", id, id);
	if (r == -ENOENT)
		return error_set(err, ENOENT, "no instance named %s", id);
	if (r < 0 && r != -EWOULDBLOCK)
		return error_set(err, -r, "cannot lock %s/%s: %s", run_dir, id, strerror(-r));
	return undo(run_fd, run_dir, id, err);
}

int instance_sweep(const char *run_dir)
{
	_cleanup_close_ int run_fd = open_run_dir(run_dir, false, NULL);
	int copy = run_fd < 0 ? -1 : fcntl(run_fd, F_DUPFD_CLOEXEC, 0), removed = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		close_cleanup(&copy);
		return 0;
	}
	while ((e = readdir(d))) {
		_cleanup_close_ int lock = -1;
		struct error err;

		if (e->d_type != DT_DIR || instance_id_check(e->d_name, NULL) < 0)
			continue;
		if (lock_folder(run_fd, e->d_name, &lock) == 0 && undo(run_fd, run_dir, e->d_name, &err) == 0)
			removed++;
	}
	(void)closedir(d);
	return removed;
}
