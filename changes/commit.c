/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list applied to a tree of files: the real ones, or a folder to keep it in.
 *
 * Each entry is done relative to a descriptor of its parent, which openat2 resolves beneath the tree's root without any
 * link. A file is written under a name of our own beside its place and renamed over it. A folder gets its mode last, so
 * that a closed one does not stop us.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "changes/changes.h"
#include "changes/tree.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* The folder that the path's last part is in, beneath root. *ret_name points into path. */
static int open_parent(int root, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = slash ? xstrndup(path, (size_t)(slash - path)) : NULL;

	*ret_name = slash ? slash + 1 : path;
	return path_open_beneath(root, folder ? folder : ".", O_PATH | O_DIRECTORY, 0);
}

static int remove_there(int parent, const char *name, const char *path, struct error *err)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return error_sys(err, "cannot remove %s", path);
	return path_remove_tree(parent, name, err);
}

static void set_times(int fd, const struct change *e)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
		{ .tv_sec = (time_t)(e->mtime_ns / 1000000000), .tv_nsec = (long)(e->mtime_ns % 1000000000) } };

	(void)futimens(fd, times); /* a wrong time is no reason to stop */
}

/* Written beside its place, then renamed: like is whose owner it gets, -1: the caller's. */
static int place_file(const struct changes *c, const struct change *e, int parent, const char *name, bool replace,
	struct error *err)
{
	_cleanup_free_ char *temporary = xasprintf(".bivalve-%d.tmp", (int)getpid());
	_cleanup_close_ int fd = openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat old;
	int r = fd < 0 ? error_sys(err, "cannot write beside %s", e->path) : changes_copy(c, e, fd, err);

	if (fd < 0)
		return r;
	if (r == 0 && replace && fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) == 0)
		(void)!fchown(fd, old.st_uid, old.st_gid); /* EPERM: without root it stays the caller's */
	if (r == 0 && fchmod(fd, e->mode & 0777) < 0)
		r = error_sys(err, "cannot set the mode of %s", e->path);
	if (r == 0)
		set_times(fd, e);
	if (r == 0 && syscall(SYS_renameat2, parent, temporary, parent, name, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = error_sys(err, "cannot put %s in its place", e->path);
	if (r < 0)
		(void)unlinkat(parent, temporary, 0); /* the first error is the one to tell */
	return r;
}

static int place_link(const struct change *e, int parent, const char *name, struct error *err)
{
	return symlinkat(e->target, parent, name) < 0 ? error_sys(err, "cannot make the link %s", e->path) : 0;
}

static int place_folder(const struct change *e, int parent, const char *name, struct error *err)
{
	struct stat st;

	if (mkdirat(parent, name, 0700) == 0 ||
		(errno == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	return error_sys(err, "cannot make the folder %s", e->path);
}

static int apply(const struct changes *c, const struct change *e, int root, struct error *err)
{
	bool there = e->kind == CHANGE_MODIFIED, same = there && e->real_type == e->type;
	_cleanup_close_ int parent = -1;
	const char *name;
	int r = 0;

	if (e->type == CHANGE_FOLDER && (same || !*e->path))
		return 0; /* its mode comes in the end */
	parent = open_parent(root, e->path, &name);
	if (parent < 0)
		return error_set(err, -parent, "%s: %s", e->path, strerror(-parent));
	if (e->kind == CHANGE_DELETED || (there && (!same || e->type != CHANGE_FILE)))
		r = remove_there(parent, name, e->path, err);
	if (r < 0 || e->kind == CHANGE_DELETED)
		return r;
	switch (e->type) {
	case CHANGE_FILE:
		return place_file(c, e, parent, name, same, err);
	case CHANGE_LINK:
		return place_link(e, parent, name, err);
	default:
		return place_folder(e, parent, name, err);
	}
}

static int set_mode(const struct change *e, int root, struct error *err)
{
	_cleanup_close_ int fd = path_open_beneath(root, *e->path ? e->path : ".", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0 || fchmod(fd, e->mode & 0777) < 0)
		return error_set(err, fd < 0 ? -fd : errno, "cannot set the mode of %s: %s", e->path,
			strerror(fd < 0 ? -fd : errno));
	set_times(fd, e);
	return 0;
}

bool changes_is_applied(const struct change *e)
{
	return e->kind == CHANGE_DELETED || e->type == CHANGE_FILE || e->type == CHANGE_FOLDER ||
	       e->type == CHANGE_LINK;
}

int changes_apply(const struct changes *c, const int *roots, size_t *ret_done, struct error *err)
{
	int r = 0;

	/* Removals first: an opaque folder's come last in the list. */
	for (size_t i = 0; r == 0 && i < c->n; i++)
		if (c->list[i].kind == CHANGE_DELETED) {
			r = apply(c, &c->list[i], roots[c->list[i].nth], err);
			*ret_done += r == 0;
		}
	for (size_t i = 0; r == 0 && i < c->n; i++)
		if (c->list[i].kind != CHANGE_DELETED && changes_is_applied(&c->list[i])) {
			r = apply(c, &c->list[i], roots[c->list[i].nth], err);
			*ret_done += r == 0;
		}
	for (size_t i = c->n; r == 0 && i-- > 0;)
		if (c->list[i].kind != CHANGE_DELETED && c->list[i].type == CHANGE_FOLDER)
			r = set_mode(&c->list[i], roots[c->list[i].nth], err);
	return r;
}

int changes_check(const struct changes *c, char *const *places, struct error *err)
{
	if (!c->complete)
		return error_set(err, EMSGSIZE, "the list of changes is not complete, nothing was applied: at most %d "
			"entries, %d folders deep", CHANGES_MAX, CHANGES_MAX_DEPTH);
	for (size_t i = 0; i < c->n; i++) {
		_cleanup_free_ char *path = c->list[i].conflict ? change_path(&c->list[i], places) : NULL;

		if (path)
			return error_set(err, EBUSY, "%s %s, nothing was applied", path, c->list[i].conflict);
	}
	return 0;
}

int changes_commit(const struct changes *c, char *const *places, size_t *ret_done, struct error *err)
{
	size_t n = strv_len(places);
	_cleanup_free_ int *roots = xcalloc(n + 1, sizeof *roots);
	int r = changes_check(c, places, err);
	size_t i = 0;

	*ret_done = 0;
	for (; r == 0 && i < n; i++) {
		roots[i] = open(places[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (roots[i] < 0) {
			r = error_sys(err, "%s", places[i]);
			break;
		}
	}
	if (r == 0)
		r = changes_apply(c, roots, ret_done, err);
	while (i-- > 0)
		close_cleanup(&roots[i]);
	return r;
}
