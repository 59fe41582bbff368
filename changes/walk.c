/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From uppers to the list. What overlayfs leaves in an upper: each entry that was made or changed; folders on the way
 * to them; character devices 0:0 where something was removed; an attribute "opaque" on a folder that replaced
 * another.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"
#include "runtime/model/plan.h"

struct walk {
	struct changes *changes;
	size_t nth;
	char path[PATH_MAX];
	size_t len;
};

static enum change_type type_of(const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return CHANGE_FILE;
	case S_IFDIR:
		return CHANGE_FOLDER;
	case S_IFLNK:
		return CHANGE_LINK;
	case S_IFIFO:
		return CHANGE_FIFO;
	case S_IFSOCK:
		return CHANGE_SOCKET;
	case S_IFCHR:
		return st->st_rdev == 0 ? CHANGE_NOTHING : CHANGE_DEVICE;
	default:
		return CHANGE_DEVICE;
	}
}

static bool is_opaque(int fd)
{
	static const char *const names[] = { "trusted.overlay.opaque", "user.overlay.opaque" };
	char value;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (fgetxattr(fd, names[i], &value, 1) == 1 && value == 'y')
			return true;
	return false;
}

static void omit(struct walk *w)
{
	w->changes->omitted++;
	w->changes->complete = false;
}

static struct change *note(struct walk *w, const struct stat *st)
{
	struct change *e = changes_add(w->changes);

	if (!e)
		return NULL;
	e->nth = w->nth;
	e->path = xstrndup(w->path, w->len);
	e->type = type_of(st);
	e->mode = st->st_mode & 07777;
	e->size = e->type == CHANGE_FILE ? (uint64_t)st->st_size : 0;
	e->mtime_ns = st->st_mtim.tv_sec < 0
			      ? 0
			      : (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
	return e;
}

/* Opens a folder; one that was closed to its owner, too: its user is gone, and nobody else is there to race with. */
static int open_folder(int parent, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent, name, flags);

	if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
		fd = openat(parent, name, flags);
	return fd < 0 ? -errno : fd;
}

static void walk_folder(struct walk *w, int fd, unsigned depth);

static void walk_entry(struct walk *w, int parent, const char *name, unsigned depth)
{
	size_t before = w->len, n = strlen(name);
	_cleanup_close_ int fd = -1;
	char target[PATH_MAX];
	struct change *e;
	struct stat st;
	ssize_t len;

	if (before + n + 2 > sizeof w->path || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		omit(w);
		return;
	}
	if (before)
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, n);
	w->len += n;
	e = note(w, &st);
	if (e && e->type == CHANGE_LINK) {
		len = readlinkat(parent, name, target, sizeof target);
		e->target = len > 0 ? xstrndup(target, (size_t)len) : xstrdup("");
	} else if (e && e->type == CHANGE_FOLDER) {
		fd = depth < CHANGES_MAX_DEPTH ? open_folder(parent, name) : -1;
		if (fd < 0)
			omit(w);
		else
			e->opaque = is_opaque(fd);
		if (fd >= 0)
			walk_folder(w, fd, depth + 1);
	}
	w->len = before;
}

static void walk_folder(struct walk *w, int fd, unsigned depth)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (!d) {
		if (own >= 0)
			(void)close(own);
		omit(w);
		return;
	}
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			walk_entry(w, fd, entry->d_name, depth);
	(void)closedir(d); /* only read */
}

int changes_walk(int scratch, size_t n, struct changes *ret, struct error *err)
{
	*ret = (struct changes){ .source = scratch, .complete = true, .contents = true };
	for (size_t i = 0; i < n; i++) {
		struct walk w = { .changes = ret, .nth = i };
		_cleanup_close_ int upper = -1;
		char name[40];
		struct stat st;

		(void)snprintf(name, sizeof name, PLAN_OVERLAY_UPPER, i); /* fits */
		upper = openat(scratch, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (upper < 0 && errno == EACCES) { /* its owner closed it to himself */
			(void)!fchmodat(scratch, name, 0700, 0); /* the next step tells */
			upper = openat(scratch, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		}
		if (upper < 0 || fstat(upper, &st) < 0)
			return error_sys(err, "changes: cannot open %s", name);
		if (note(&w, &st))
			walk_folder(&w, upper, 0);
	}
	return 0;
}
