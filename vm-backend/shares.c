/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share tree: all of the host that a guest gets to see, and all that the process which serves it can reach.
 *
 * Theory of operation. The process that serves files (our VMM, or virtiofsd) is in a mount namespace of its own. There
 * each share is copied as a detached mount, by descriptor, and put into a small tmpfs as the entry of its number. That
 * tmpfs then becomes the process's root, so that whatever path the guest makes it resolve, there is nothing else to be
 * found: the kernel's own rule for ".." at the root is the last line of defence, not the first.
 *
 *      /          tmpfs, read-only
 *      /0         plan.root.path, if there is one
 *      /empty     what covers masked files
 *      /1 …       the sources of bind mounts and overlays: folders or single files
 *
 * Read-only is an attribute of the copied mount and of all below it. nosuid and nodev are always set: nobody on the
 * host executes or opens anything through these mounts but the server, which needs neither. Paths that the plan masks
 * are covered here too, so that not even a guest's kernel gets to read them.
 *
 * Not defended against: what the shared folders themselves hold. A guest's root may write set-uid files and device
 * nodes into a folder that it was given to write, as a container's root may.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/shares.h"

bool share_of_mount(const struct plan *plan, const struct plan_mount *m)
{
	return (m->type && !strcmp(m->type, "bind")) || plan_is_overlay(plan, m);
}

static bool has_option(const struct plan_mount *m, const char *word)
{
	strv_foreach(s, m->options)
		if (!strcmp(s, word))
			return true;
	return false;
}

/* The last of these words counts, as in mount(8). */
static bool is_read_only(const struct plan_mount *m)
{
	bool ro = false;

	strv_foreach(s, m->options) {
		if (!strcmp(s, "ro") || !strcmp(s, "rro"))
			ro = true;
		else if (!strcmp(s, "rw") || !strcmp(s, "rrw"))
			ro = false;
	}
	return ro;
}

bool shares_wanted(const struct plan *plan)
{
	_cleanup_free_ struct vm_share *shares = NULL;

	return shares_of_plan(plan, &shares) > 0;
}

size_t shares_of_plan(const struct plan *plan, struct vm_share **ret)
{
	struct vm_share *shares = xcalloc(plan->n_mounts + 1, sizeof *shares);
	size_t n = 0;

	if (plan->root.path)
		shares[n++] = (struct vm_share){ plan->root.path, plan->root.read_only, true, NULL, NULL };
	for (size_t i = 0; i < plan->n_mounts; i++) {
		const struct plan_mount *m = &plan->mounts[i];

		if (plan_is_overlay(plan, m))
			shares[n++] = (struct vm_share){ m->source, true, false, m->destination, plan->masked_paths };
		else if (share_of_mount(plan, m))
			shares[n++] = (struct vm_share){ m->source, is_read_only(m), !has_option(m, "bind"),
				m->destination, plan->masked_paths };
	}
	*ret = shares;
	return n;
}

static int check_source(const struct plan_mount *m, struct error *err)
{
	struct stat st;

	if (!m->source || m->source[0] != '/')
		return error_set(err, EINVAL, "source: not absolute: %s", m->source ? m->source : "none");
	if (stat(m->source, &st) < 0)
		return error_sys(err, "source: %s", m->source);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return error_set(err, EOPNOTSUPP, "source: %s: the VM shell can share folders and regular files, no %s",
				m->source, S_ISSOCK(st.st_mode) ? "socket" : S_ISFIFO(st.st_mode) ? "FIFO" : "device");
	if (has_option(m, "idmap") || has_option(m, "ridmap") || m->n_uid_maps || m->n_gid_maps)
		return error_set(err, EOPNOTSUPP, "options: idmap: the VM shell cannot map the ids of a shared folder");
	return 0;
}

int shares_check(const struct plan *plan, struct error *err)
{
	struct stat st;

	if (plan->root.path && (plan->root.path[0] != '/' || stat(plan->root.path, &st) < 0 || !S_ISDIR(st.st_mode)))
		return error_set(err, ENOENT, "root.path: %s: not the absolute path of a folder", plan->root.path);
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (share_of_mount(plan, &plan->mounts[i]) && check_source(&plan->mounts[i], err) < 0)
			return error_prefix(err, "mounts[%zu]", i);
	return 0;
}

void shares_rewrite(struct plan *copy)
{
	size_t n = 0;

	if (copy->root.path)
		copy->root.path = xasprintf(SHARES_FOLDER "/%zu", n++);
	copy->mounts = xmemdup(copy->mounts, copy->n_mounts * sizeof *copy->mounts);
	for (size_t i = 0; i < copy->n_mounts; i++)
		if (share_of_mount(copy, &copy->mounts[i]))
			copy->mounts[i].source = xasprintf(SHARES_FOLDER "/%zu", n++);
}

void shares_rewrite_undo(struct plan *copy)
{
	free(steal_ptr(copy->root.path));
	for (size_t i = 0; i < copy->n_mounts; i++)
		if (share_of_mount(copy, &copy->mounts[i]))
			free(copy->mounts[i].source);
	free(steal_ptr(copy->mounts));
	copy->n_mounts = 0;
}

int share_open(const struct vm_share *share, struct error *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (share->recursive ? AT_RECURSIVE : 0);
	_cleanup_close_ int fd = (int)syscall(SYS_open_tree, AT_FDCWD, share->path, flags);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			(share->read_only ? MOUNT_ATTR_RDONLY : 0) };
	struct stat st;

	/* What is mounted below may be locked to it, and must then come along. */
	if (fd < 0 && errno == EINVAL && !share->recursive)
		fd = (int)syscall(SYS_open_tree, AT_FDCWD, share->path, flags | AT_RECURSIVE);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, "%s", share->path);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return error_set(err, EOPNOTSUPP, "%s: neither a folder nor a regular file", share->path);
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
		return error_sys(err, "%s: cannot set what its mount allows", share->path);
	return steal_fd(&fd);
}

int share_tree_open(struct share_tree *tree, const struct vm_share *shares, size_t n, struct error *err)
{
	tree->mounts = xcalloc(n ? n : 1, sizeof *tree->mounts);
	tree->n = 0;
	tree->shares = shares;
	for (size_t i = 0; i < n; i++) {
		int fd = share_open(&shares[i], err);

		if (fd < 0)
			return error_prefix(err, "share %zu", i);
		tree->mounts[tree->n++] = fd;
	}
	return 0;
}

/* A tmpfs with room for n entries, the file that covers others, and nothing in them. */
static int open_tmpfs(size_t n, struct error *err)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	char inodes[24];
	int root;

	(void)snprintf(inodes, sizeof inodes, "%zu", n + 2); /* fits */
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
			syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) < 0 ||
			syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
			syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_sys(err, "share tree: tmpfs");
	root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			MOUNT_ATTR_NOEXEC);
	return root < 0 ? error_sys(err, "share tree: tmpfs") : root;
}

/* A folder or an empty file to mount on, like what fd is. */
static int make_entry(int root, const char *name, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	return S_ISDIR(st.st_mode) ? mkdirat(root, name, 0755) : mknodat(root, name, S_IFREG | 0644, 0);
}

int share_open_empty(void)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
			syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			MOUNT_ATTR_NOEXEC);
}

static int open_empty_file(int root)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_close_ int fd = (int)syscall(SYS_open_tree, root, "empty", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0 ? -1
		: steal_fd(&fd);
}

/* Covers one path below a share; what is not there, or behind a link, the workload's own mask has to deal with. */
static int cover(int root, int share, const char *path, struct error *err)
{
	_cleanup_close_ int place = path_open_beneath(share, path, O_PATH, 0), cover_fd = -1;
	struct stat st;

	if (place == -ENOENT || place == -ENOTDIR || place == -ELOOP)
		return 0;
	if (place < 0 || fstat(place, &st) < 0)
		return error_set(err, place < 0 ? -place : errno, "masked_paths: %s", path);
	cover_fd = S_ISDIR(st.st_mode) ? share_open_empty() : open_empty_file(root);
	if (cover_fd < 0 || syscall(SYS_move_mount, cover_fd, "", place, "", MOVE_MOUNT_F_EMPTY_PATH |
			MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_sys(err, "masked_paths: %s", path);
	return 0;
}

static int cover_masked(int root, const char *name, const struct vm_share *share, struct error *err)
{
	_cleanup_close_ int fd = share->place ? openat(root, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	size_t n = share->place ? strlen(share->place) : 0;
	int r = 0;

	if (!share->place)
		return 0;
	if (fd < 0)
		return error_sys(err, "share %s", name);
	for (char *const *path = share->masked; r == 0 && path && *path; path++)
		if (!strncmp(*path, share->place, n) && (*path)[n] == '/' && (*path)[n + 1])
			r = cover(root, fd, *path + n + 1, err);
	return r;
}

int share_tree_mount(struct share_tree *tree, const char *target, struct error *err)
{
	_cleanup_close_ int root = open_tmpfs(tree->n, err);
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };

	if (root < 0)
		return root;
	if (syscall(SYS_move_mount, root, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_sys(err, "share tree: cannot mount it");
	if (mknodat(root, "empty", S_IFREG | 0444, 0) < 0)
		return error_sys(err, "share tree");
	for (size_t i = 0; i < tree->n; i++) {
		char name[24];

		(void)snprintf(name, sizeof name, "%zu", i); /* fits */
		if (make_entry(root, name, tree->mounts[i]) < 0 ||
				syscall(SYS_move_mount, tree->mounts[i], "", root, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return error_sys(err, "share %zu: cannot mount it", i);
		if (tree->shares && cover_masked(root, name, &tree->shares[i], err) < 0)
			return error_prefix(err, "share %zu", i);
	}
	if (syscall(SYS_mount_setattr, root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
		return error_sys(err, "share tree: cannot make it read-only");
	return steal_fd(&root);
}

void share_tree_release(struct share_tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		close_cleanup(&tree->mounts[i]);
	free(steal_ptr(tree->mounts));
	tree->n = 0;
}
