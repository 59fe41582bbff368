/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload's file system, for who asks the host.
 *
 * Theory of operation. Clients of a runtime take instance.pid for a process of the container, and enter its mount
 * namespace to copy files in and out. A VM's is its monitor; in the host's own namespace such a client would read and
 * write the host's files under the container's names. So the monitor makes that root its own and lets the host's go:
 *
 *      /            root.path, with what is mounted below; read-only if the plan says so
 *      /a/volume    the source of each bind mount, read-only likewise
 *      /proc …      what is mounted in the guest alone: an empty folder, read-only, so that nothing is copied to
 *                   where the workload does not look
 *
 * The root is hostile: places are looked up beneath it and to descriptors, and the monitor itself opens nothing there.
 * It is a view by mounts, not a safe place: who enters is on the host still.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/shares.h"
#include "vm-backend/vm_view.h"

static int attach(int mount_fd, int place)
{
	return (int)syscall(SYS_move_mount, mount_fd, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/*
 * Shares and mounts are in the same order. Left out: a place that the root does not have, since the guest made it
 * somewhere else or a mount before hides it, and one that is of another kind.
 */
static int mount_one(int root, const struct plan_mount *m, const struct vm_share *share, struct error *err)
{
	_cleanup_close_ int place = path_open_in_root(root, m->destination, O_PATH, 0), fd = -1;
	struct stat a, b;

	if (place < 0)
		return 0;
	fd = share ? share_open(share, err) : share_open_empty();
	if (fd < 0)
		return share ? fd : error_sys(err, "view: tmpfs");
	if (fstat(place, &a) < 0 || fstat(fd, &b) < 0)
		return error_sys(err, "view: %s", m->destination);
	if (S_ISDIR(a.st_mode) != S_ISDIR(b.st_mode))
		return 0;
	return attach(fd, place) < 0 ? error_sys(err, "view: %s", m->destination) : 0;
}

static int mount_all(const struct plan *plan, int root, const struct vm_share *shares, struct error *err)
{
	size_t next = 1; /* the first is the root */
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->n_mounts; i++) {
		const struct plan_mount *m = &plan->mounts[i];

		r = mount_one(root, m, share_of_mount(plan, m) ? &shares[next++] : NULL, err);
	}
	return r;
}

/* pivot_root refuses where the host's root is an initramfs; that is then covered, which holds for who enters too. */
static int change_root(struct error *err)
{
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return error_sys(err, "view: cannot let go of the host's root");
	} else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
		return error_sys(err, "view: cannot change the root");
	}
	return chdir("/") < 0 ? error_sys(err, "view: /") : 0;
}

int vm_view_enter(const struct plan *plan, struct error *err)
{
	_cleanup_free_ struct vm_share *shares = NULL;
	_cleanup_close_ int place = -1, root = -1;
	int r;

	if (!plan->root.path)
		return 0;
	if (unshare(CLONE_NEWNS) < 0)
		return errno == EPERM ? 0 : error_sys(err, "view: mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, "view: cannot make the mounts private");
	(void)shares_of_plan(plan, &shares); /* one for the root and one for each bind mount */
	place = open(plan->root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	root = share_open(&shares[0], err);
	if (place < 0 || root < 0)
		return place < 0 ? error_sys(err, "view: %s", plan->root.path) : root;
	if (attach(root, place) < 0 || fchdir(root) < 0)
		return error_sys(err, "view: %s", plan->root.path);
	r = mount_all(plan, root, shares, err);
	return r < 0 ? r : change_root(err);
}
