/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances' folders: claiming, and clearing what launchers left behind that were killed.
 *
 * The order of a launch is: folder, lock, state.json, then whatever state.json names (cgroup, processes). A launcher
 * killed anywhere in between leaves a folder that is unlocked, and enough in it to undo the rest: its processes die
 * with it (PR_SET_PDEATHSIG, pid namespace), mounts die with their namespace, so cgroups and the folder remain.
 *
 * A detached instance has no launcher: the lock is held by each command that changes it, as long as that takes. Only
 * `delete` removes it, never the sweep; one that is still "creating" with nobody at work on it is a dead create's, and
 * goes by `delete --force` or with the next create of its name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/sweep.h"
#include "runtime/model/hooks.h"

enum {
	PATIENCE_MS = 10000,       /* for another command to finish its work on an instance */
	FORCED_PATIENCE_MS = 2000, /* before delete --force goes ahead without it */
	CLAIM_PATIENCE_MS = 5000,  /* for a sweep to let go of a folder that we just made */
	LOCK_RETRY_NS = 1000000,
};

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

/* An instance that nobody holds: is it nobody's? A detached one is its creator's, unless that died half-way. */
static bool is_abandoned(const struct instance *in)
{
	return !in->detached || in->status == INSTANCE_CREATING;
}

static void run_poststop(const struct instance *in, const struct plan *plan)
{
	_cleanup_free_ char *state = instance_oci_state(in, INSTANCE_STOPPED, false);
	struct error err = { 0 };

	if (hooks_run(plan, HOOK_POSTSTOP, state, &err) < 0)
		log_line(LOG_LEVEL_WARNING, "%s: %s", in->id, err.message);
}

/*
 * Undoes what in names and removes the folder, then the hooks poststop. The caller holds the lock, or means to break
 * in.
 * What cannot be read is not there to be undone: create writes before it makes.
 */
static int undo(int run_fd, const struct instance *in, bool hooks, struct error *err)
{
	const struct backend *backend = backend_find(in->backend);
	struct plan plan = { 0 };
	int r;

	if (!hooks || !in->bundle || instance_load_plan(in, &plan, NULL) < 0)
		hooks = false;
	r = backend ? backend->delete(in, err) : 0;
	if (r == 0)
		r = path_remove_tree(run_fd, in->id, err);
	if (r == 0 && hooks)
		run_poststop(in, &plan);
	record_release(&plan_type, &plan);
	return r;
}

/* Of a folder whose lock we hold: removes it if it is nobody's. 1: it is somebody's. */
static int undo_abandoned(int run_fd, const char *run_dir, const char *id, struct error *err)
{
	struct error unreadable = { 0 };
	struct instance in;
	int r = instance_load(run_dir, id, &in, &unreadable);

	if (r == 0) {
		r = is_abandoned(&in) ? undo(run_fd, &in, true, err) : 1;
		instance_release(&in);
		return r;
	}
	if (r != -ENOENT)
		log_debug("%s: %s: removing its folder only", id, unreadable.message);
	return path_remove_tree(run_fd, id, err);
}

/* As lock_folder, but waits for whoever is at work on it. -EWOULDBLOCK: longer than that. */
static int lock_patiently(int run_fd, const char *id, unsigned patience_ms, int *ret_fd)
{
	uint64_t deadline_ns = clock_now_ns() + patience_ms * UINT64_C(1000000);
	int r;

	while ((r = lock_folder(run_fd, id, ret_fd)) == -EWOULDBLOCK && clock_now_ns() < deadline_ns)
		(void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_RETRY_NS }, NULL);
	return r;
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
			r = lock_patiently(run_fd, id, CLAIM_PATIENCE_MS, ret_lock_fd);
			if (r == 0)
				return 0;
			continue; /* swept in the moment between the two, which the sweeper's lock outlasts: again */
		}
		if (errno != EEXIST)
			return error_sys(err, "cannot make %s/%s", run_dir, id);
		r = lock_folder(run_fd, id, &old);
		if (r == -EWOULDBLOCK)
			return error_set(err, EEXIST, "an instance named %s exists already: choose another --name or "
					"`bivalve delete --force %s`", id, id);
		if (r == 0) {
			r = undo_abandoned(run_fd, run_dir, id, err);
			if (r < 0)
				return r;
			if (r > 0)
				return error_set(err, EEXIST, "container with given ID already exists: %s", id);
		}
	}
	return error_set(err, EBUSY, "cannot claim %s/%s: somebody else keeps making it", run_dir, id);
}

bool instance_is_held(const char *run_dir, const char *id)
{
	_cleanup_close_ int run_fd = open_run_dir(run_dir, false, NULL), fd = -1;

	return run_fd >= 0 && lock_folder(run_fd, id, &fd) == -EWOULDBLOCK;
}

int instance_open(const char *run_dir, const char *id, bool change, struct instance *ret, int *ret_lock,
		struct error *err)
{
	_cleanup_close_ int run_fd = -1, lock = -1;
	int r = instance_id_check(id, err);

	if (r < 0)
		return r;
	r = instance_load(run_dir, id, ret, err);
	if (r == -ENOENT)
		return error_set(err, ENOENT, "container \"%s\" does not exist", id);
	if (r < 0 || !change || !ret->detached)
		return r;
	run_fd = open_run_dir(run_dir, false, err);
	r = run_fd < 0 ? run_fd : lock_patiently(run_fd, id, PATIENCE_MS, &lock);
	instance_release(ret);
	if (run_fd < 0)
		return r;
	if (r == -EWOULDBLOCK)
		return error_set(err, EBUSY, "%s: another command is at work on it", id);
	if (r < 0)
		return r == -ENOENT ? error_set(err, ENOENT, "container \"%s\" does not exist", id)
			: error_set(err, -r, "cannot lock %s/%s: %s", run_dir, id, strerror(-r));
	r = instance_load(run_dir, id, ret, err); /* as it is now */
	if (r == 0)
		*ret_lock = steal_fd(&lock);
	return r;
}

/* The state is read before the lock is taken: a supervised instance's is held as long as that lives. */
static int lock_for_removal(int run_fd, const char *run_dir, const char *id, bool force, int *ret_fd)
{
	struct instance in;
	bool supervised = instance_load(run_dir, id, &in, NULL) == 0 && !in.detached;

	instance_release(&in);
	return lock_patiently(run_fd, id, supervised ? 0 : force ? FORCED_PATIENCE_MS : PATIENCE_MS, ret_fd);
}

int instance_remove(const char *run_dir, const char *id, bool force, struct error *err)
{
	_cleanup_close_ int run_fd = open_run_dir(run_dir, false, err), lock = -1;
	enum instance_status status;
	struct instance in;
	bool held;
	int r;

	if (run_fd == -ENOENT)
		return error_set(err, ENOENT, "container \"%s\" does not exist", id);
	if (run_fd < 0)
		return run_fd;
	r = lock_for_removal(run_fd, run_dir, id, force, &lock);
	held = r == -EWOULDBLOCK;
	if (r == -ENOENT || r == -ENOTDIR)
		return error_set(err, ENOENT, "container \"%s\" does not exist", id);
	if (r < 0 && !held)
		return error_set(err, -r, "cannot lock %s/%s: %s", run_dir, id, strerror(-r));
	r = instance_load(run_dir, id, &in, err);
	if (r < 0) {
		if (held && !force)
			return r;
		r = path_remove_tree(run_fd, id, err); /* its creator died before it had made anything */
		return r < 0 || force ? r : error_set(err, ENOENT, "container \"%s\" does not exist", id);
	}
	status = !in.detached && !held ? INSTANCE_STOPPED : instance_status_now(&in);
	/* What waits for its start has run nothing yet, and goes: as crun and runc
	 * have it, and their clients count on. */
	if (!force && (held || (status != INSTANCE_STOPPED && !(in.detached && status == INSTANCE_CREATED))))
		r = error_set(err, EBUSY, "cannot delete container %s that is not stopped: %s", id,
				instance_status_name(status));
	else
		r = undo(run_fd, &in, in.detached || !held, err); /* a supervisor runs its hooks itself */
	instance_release(&in);
	return r;
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
		if (lock_folder(run_fd, e->d_name, &lock) == 0 && undo_abandoned(run_fd, run_dir, e->d_name, &err) == 0)
			removed++;
	}
	(void)closedir(d);
	return removed;
}
