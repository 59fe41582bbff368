/* SPDX-License-Identifier: Apache-2.0 */
/* What the entries mean for the real files, which may have changed meanwhile. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

struct compare {
	struct changes *changes;
	int *roots;              /* the overlays' real folders */
	size_t n_roots;
	uint64_t since_ns;
};

static enum change_type type_of_mode(mode_t mode)
{
	return S_ISREG(mode) ? CHANGE_FILE
		: S_ISDIR(mode) ? CHANGE_FOLDER
		: S_ISLNK(mode) ? CHANGE_LINK
		: S_ISFIFO(mode) ? CHANGE_FIFO
		: S_ISSOCK(mode) ? CHANGE_SOCKET
				 : CHANGE_DEVICE;
}

static bool is_newer(const struct compare *k, const struct stat *st)
{
	return (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec > k->since_ns;
}

/* Whether anything in the folder was changed meanwhile. What cannot be looked at counts as such. */
static bool holds_newer(const struct compare *k, int fd, unsigned depth)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	bool newer = !d || depth > CHANGES_MAX_DEPTH;
	struct dirent *entry;

	while (!newer && (entry = readdir(d))) {
		_cleanup_close_ int below = -1;
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		newer = fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_newer(k, &st);
		if (newer || !S_ISDIR(st.st_mode))
			continue;
		below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		newer = below < 0 || holds_newer(k, below, depth + 1);
	}
	if (d)
		(void)closedir(d); /* only read */
	else if (own >= 0)
		(void)close(own);
	return newer;
}

/* What is at the entry's place on the host. 1: something; 0: nothing; -errno. */
static int look(const struct compare *k, const struct change *e, struct stat *ret)
{
	_cleanup_close_ int fd = -1;

	if (!*e->path)
		return fstat(k->roots[e->nth], ret) < 0 ? -errno : 1;
	fd = path_open_beneath(k->roots[e->nth], e->path, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	return fd < 0 ? fd : fstat(fd, ret) < 0 ? -errno : 1;
}

/* Why what is there must not go; NULL: it may. */
static const char *newer_there(const struct compare *k, const struct change *e, const struct stat *st)
{
	_cleanup_close_ int fd = -1;

	if (is_newer(k, st))
		return "was changed meanwhile";
	if (!S_ISDIR(st->st_mode))
		return NULL;
	fd = path_open_beneath(k->roots[e->nth], e->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd < 0 || holds_newer(k, fd, 0) ? "something in it was changed meanwhile" : NULL;
}

static void judge(const struct compare *k, struct change *e)
{
	struct stat st;
	int there = look(k, e, &st);

	e->kind = there || e->type == CHANGE_NOTHING ? CHANGE_NONE : CHANGE_CREATED;
	if (there < 0) {
		e->kind = e->type == CHANGE_NOTHING ? CHANGE_DELETED : CHANGE_MODIFIED;
		e->conflict = there == -ELOOP || there == -EXDEV ? "a link is in its way now" : "cannot be looked at";
	}
	if (there <= 0)
		return;
	e->real_type = type_of_mode(st.st_mode);
	if (e->type == CHANGE_NOTHING) {
		e->kind = CHANGE_DELETED;
		e->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
		e->conflict = newer_there(k, e, &st);
	} else if (e->type != CHANGE_FOLDER || e->real_type != CHANGE_FOLDER) {
		e->kind = CHANGE_MODIFIED;
		e->conflict = newer_there(k, e, &st);
	} else if (e->opaque || (st.st_mode & 07777) != e->mode) {
		e->kind = CHANGE_MODIFIED;
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names right below a folder of the list. They follow it, before the next one that is not below it. */
static char **names_below(const struct changes *c, size_t at, size_t *ret_n)
{
	const struct change *folder = &c->list[at];
	size_t len = strlen(folder->path), n = 0;
	char **names = NULL;

	for (size_t i = at + 1; i < c->n && c->list[i].nth == folder->nth; i++) {
		const char *path = c->list[i].path;

		if (len && (strncmp(path, folder->path, len) || path[len] != '/'))
			break;
		if (strchr(path + len + (len > 0), '/'))
			continue;
		names = xreallocarray(names, n + 1, sizeof *names);
		names[n++] = (char *)(uintptr_t)path + len + (len > 0);
	}
	if (n)
		qsort(names, n, sizeof *names, by_name);
	*ret_n = n;
	return names;
}

/* What an opaque folder hides is gone: said of each entry that the new one does not have. */
static void add_hidden(struct compare *k, size_t at)
{
	size_t n, nth = k->changes->list[at].nth;
	_cleanup_free_ char *path = xstrdup(k->changes->list[at].path);
	char **names = names_below(k->changes, at, &n); /* its strings are the list's */
	int fd = path_open_beneath(k->roots[nth], *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		const char *name = entry->d_name;
		struct change *e;

		if (!strcmp(name, ".") || !strcmp(name, "..") ||
			(n && bsearch(&name, names, n, sizeof *names, by_name)))
			continue;
		e = changes_add(k->changes);
		if (!e)
			break;
		e->nth = nth;
		e->path = *path ? xasprintf("%s/%s", path, name) : xstrdup(name);
		e->type = CHANGE_NOTHING;
		judge(k, e);
	}
	if (d)
		(void)closedir(d); /* only read */
	else if (fd >= 0)
		(void)close(fd);
	free(names);
}

static int open_roots(struct compare *k, char *const *places, struct error *err)
{
	k->n_roots = strv_len(places);
	k->roots = xcalloc(k->n_roots + 1, sizeof *k->roots);
	for (size_t i = 0; i < k->n_roots; i++)
		k->roots[i] = -1;
	for (size_t i = 0; i < k->n_roots; i++) {
		k->roots[i] = open(places[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (k->roots[i] < 0)
			return error_sys(err, "changes: %s", places[i]);
	}
	return 0;
}

static void drop_none(struct changes *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->list[i].kind != CHANGE_NONE) {
			c->list[n++] = c->list[i];
			continue;
		}
		free(c->list[i].path);
		free(c->list[i].target);
	}
	c->n = n;
}

int changes_compare(struct changes *c, char *const *places, uint64_t since_ns, struct error *err)
{
	struct compare k = { .changes = c, .since_ns = since_ns };
	int r = open_roots(&k, places, err);
	size_t listed = c->n;

	for (size_t i = 0; r == 0 && i < listed; i++) {
		judge(&k, &c->list[i]);
		if (c->list[i].kind == CHANGE_MODIFIED && c->list[i].type == CHANGE_FOLDER && c->list[i].opaque &&
				c->list[i].real_type == CHANGE_FOLDER)
			add_hidden(&k, i);
	}
	if (r == 0)
		drop_none(c);
	for (size_t i = 0; i < k.n_roots; i++)
		close_cleanup(&k.roots[i]);
	free(k.roots);
	return r;
}
