/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder as a layer. The content is read once, for the digest, and written from the same buffer: copy_file_range(2)
 * would read it a second time. Where the file system shares blocks (FICLONE) nothing is written at all. The source is
 * walked by descriptors that follow no link; it may be a hostile tree, but not one that changes under our hands: then
 * the import fails.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/entry_path.h"
#include "images/stream.h"
#include "images/tree.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

#define BUF_BYTES   (256 * 1024)
#define BLOCK_BYTES 4096 /* holes are made of such blocks */

/* First names of files with several, in a hash table of open addressing; size is a power of two. */
struct seen {
	ino_t ino;
	char *path; /* NULL: free */
};

struct tree {
	struct layer_dir *dir; /* NULL: only the digest is wanted */
	struct layer_limits *limits;
	struct layer_info info;
	struct hasher *hash;
	dev_t dev;
	struct seen *seen;
	size_t n_seen, size_seen;
	char *buf;
	bool named;            /* the error names its file already */
	char path[ENTRY_PATH_MAX];
};

static void hash_number(struct tree *t, uint64_t n)
{
	uint64_t le = htole64(n);

	hasher_add(t->hash, &le, sizeof le);
}

static void hash_bytes(struct tree *t, const void *data, size_t len)
{
	hash_number(t, len);
	hasher_add(t->hash, data, len);
}

static void hash_head(struct tree *t, char type, const struct layer_attrs *attrs)
{
	hasher_add(t->hash, &type, 1);
	hash_bytes(t, t->path, strlen(t->path));
	if (!attrs)
		return;
	hash_number(t, attrs->mode);
	hash_number(t, attrs->uid);
	hash_number(t, attrs->gid);
	hash_number(t, (uint64_t)attrs->mtime.tv_sec);
	hash_number(t, (uint64_t)attrs->mtime.tv_nsec);
}

static void hash_xattrs(struct tree *t, const struct xattrs *x)
{
	hash_number(t, x->n);
	for (size_t i = 0; i < x->n; i++) {
		hash_bytes(t, x->items[i].name, strlen(x->items[i].name));
		hash_bytes(t, x->items[i].value, x->items[i].len);
	}
}

static size_t seen_slot(const struct tree *t, ino_t ino)
{
	size_t i = (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (t->size_seen - 1);

	while (t->seen[i].path && t->seen[i].ino != ino)
		i = (i + 1) & (t->size_seen - 1);
	return i;
}

/* The first path of an inode, or NULL, and then this path is the first. */
static const char *seen_or_add(struct tree *t, ino_t ino)
{
	size_t i;

	if (2 * (t->n_seen + 1) > t->size_seen) {
		struct seen *old = t->seen;
		size_t old_size = t->size_seen;

		t->size_seen = old_size ? 2 * old_size : 1024;
		t->seen = xcalloc(t->size_seen, sizeof *t->seen);
		for (size_t k = 0; k < old_size; k++) {
			if (old[k].path)
				t->seen[seen_slot(t, old[k].ino)] = old[k];
		}
		free(old);
	}
	i = seen_slot(t, ino);
	if (t->seen[i].path)
		return t->seen[i].path;
	t->seen[i] = (struct seen){ .ino = ino, .path = xstrdup(t->path) };
	t->n_seen++;
	return NULL;
}

static bool all_zero(const char *p, size_t len)
{
	return len > 0 && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Writes a piece, leaving out blocks of zeros if the source has holes as well. */
static int write_piece(int to, const char *data, size_t len, off_t offset, bool sparse)
{
	while (len > 0) {
		size_t part = sparse && len > BLOCK_BYTES ? BLOCK_BYTES : len;
		int r = sparse && all_zero(data, part) ? 0 : fd_pwrite_full(to, data, part, offset);

		if (r < 0)
			return r;
		data += part;
		len -= part;
		offset += (off_t)part;
	}
	return 0;
}

/* Hashes the content and, if to is not -1, copies it. */
static int copy_content(struct tree *t, int from, int to, const struct stat *st, struct error *err)
{
	bool sparse = st->st_blocks * 512 < st->st_size, cloned = to >= 0 && ioctl(to, FICLONE, from) == 0;
	off_t done = 0;

	hash_number(t, (uint64_t)st->st_size);
	for (;;) {
		ssize_t n = read(from, t->buf, BUF_BYTES);
		int r = stream_interrupted(err);

		if (r < 0)
			return r;
		if (n < 0)
			return error_sys(err, "cannot read it");
		if (n == 0)
			break;
		hasher_add(t->hash, t->buf, (size_t)n);
		r = to >= 0 && !cloned ? write_piece(to, t->buf, (size_t)n, done, sparse) : 0;
		if (r < 0) {
			errno = -r;
			return error_sys(err, "cannot write the copy");
		}
		done += n;
		if (done > st->st_size)
			break;
	}
	if (done != st->st_size)
		return error_set(err, EBUSY, "changed while it was read");
	if (sparse && to >= 0 && !cloned && ftruncate(to, st->st_size) < 0)
		return error_sys(err, "cannot set the size of the copy");
	return 0;
}

static int add_file(struct tree *t, int from, const struct stat *st, const struct layer_attrs *attrs, struct error *err)
{
	_cleanup_close_ int to = -1;
	int r;

	if ((uint64_t)st->st_size > t->limits->max_bytes)
		return error_set(err, EFBIG, "the image takes more bytes than allowed");
	t->limits->max_bytes -= (uint64_t)st->st_size;
	t->info.size_bytes += (uint64_t)st->st_size;
	hash_head(t, 'f', attrs);
	hash_xattrs(t, &attrs->xattrs);
	if (t->dir) {
		to = layer_dir_file(t->dir, t->path, attrs, err);
		if (to < 0)
			return to;
	}
	r = copy_content(t, from, to, st, err);
	if (r == 0 && t->dir)
		r = layer_dir_file_done(t->dir, to, attrs, err);
	return r;
}

static int add_symlink(struct tree *t, int parent, const char *name, const struct layer_attrs *attrs, struct error *err)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(parent, name, target, sizeof target);

	if (n < 0 || (size_t)n >= sizeof target)
		return error_sys(err, "cannot read the link");
	target[n] = '\0';
	hash_head(t, 'l', attrs);
	hash_bytes(t, target, (size_t)n);
	hash_xattrs(t, &attrs->xattrs);
	return t->dir ? layer_dir_symlink(t->dir, t->path, target, attrs, err) : 0;
}

static int add_node(struct tree *t, const struct stat *st, const struct layer_attrs *attrs, struct error *err)
{
	mode_t type = st->st_mode & S_IFMT;

	hash_head(t, type == S_IFCHR ? 'c' : type == S_IFBLK ? 'b' : 'p', attrs);
	if (type != S_IFIFO) {
		hash_number(t, major(st->st_rdev));
		hash_number(t, minor(st->st_rdev));
	}
	hash_xattrs(t, &attrs->xattrs);
	return t->dir ? layer_dir_node(t->dir, t->path, type, st->st_rdev, attrs, err) : 0;
}

static int add_hardlink(struct tree *t, const char *first, struct error *err)
{
	hash_head(t, 'h', NULL);
	hash_bytes(t, first, strlen(first));
	return t->dir ? layer_dir_hardlink(t->dir, t->path, first, err) : 0;
}

static int add_children(struct tree *t, int fd, struct error *err);

static int add_folder(struct tree *t, int fd, const struct stat *st, const struct layer_attrs *attrs, struct error *err)
{
	int r;

	hash_head(t, 'd', attrs);
	hash_xattrs(t, &attrs->xattrs);
	r = t->dir ? layer_dir_folder(t->dir, t->path, attrs, err) : 0;
	if (r < 0 || st->st_dev != t->dev)
		return r; /* a mount point is kept, what is mounted there is not part of the tree */
	return add_children(t, fd, err);
}

static int read_attrs(int parent, const char *name, const struct stat *st, struct layer_attrs *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d/%s", parent, name);

	ret->mode = st->st_mode & 07777;
	ret->uid = st->st_uid;
	ret->gid = st->st_gid;
	ret->mtime = st->st_mtim;
	return xattrs_read(path, &ret->xattrs, err);
}

/* Opens what is to be read, and makes sure that it is what was examined. */
static int open_same(int parent, const char *name, struct stat *st, struct error *err)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (S_ISDIR(st->st_mode) ? O_DIRECTORY : 0);
	_cleanup_close_ int fd = openat(parent, name, flags);
	struct stat now;

	if (fd < 0 || fstat(fd, &now) < 0)
		return error_sys(err, "cannot open it");
	if (now.st_ino != st->st_ino || now.st_dev != st->st_dev)
		return error_set(err, EBUSY, "changed while it was read");
	*st = now;
	return steal_fd(&fd);
}

static int add_typed(struct tree *t, int parent, const char *name, struct stat *st, struct error *err)
{
	bool opened = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
	struct layer_attrs attrs = { 0 };
	_cleanup_close_ int fd = opened ? open_same(parent, name, st, err) : -1;
	int r;

	if (opened && fd < 0)
		return fd;
	r = read_attrs(parent, name, st, &attrs, err);
	if (r == 0) {
		if (S_ISREG(st->st_mode))
			r = add_file(t, fd, st, &attrs, err);
		else if (S_ISDIR(st->st_mode))
			r = add_folder(t, fd, st, &attrs, err);
		else if (S_ISLNK(st->st_mode))
			r = add_symlink(t, parent, name, &attrs, err);
		else
			r = add_node(t, st, &attrs, err);
	}
	xattrs_release(&attrs.xattrs);
	return r;
}

static int add_entry(struct tree *t, int parent, const char *name, struct error *err)
{
	const char *first = NULL;
	char shown[256];
	struct stat st;
	int r;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, "%s: cannot examine it", name);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (t->info.entries++ >= t->limits->max_entries)
		return error_set(err, EFBIG, "more than %llu entries", (unsigned long long)t->limits->max_entries);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		first = seen_or_add(t, st.st_ino);
	r = first ? add_hardlink(t, first, err) : add_typed(t, parent, name, &st, err);
	if (r == 0 || t->named)
		return r;
	t->named = true;
	return error_prefix(err, "%s", entry_path_show(t->path, shown, sizeof shown));
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted. */
static int list_names(int fd, char ***ret, size_t *ret_n, struct error *err)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	size_t n = 0, size = 0;
	char **names = NULL;
	struct dirent *e;

	if (!d) {
		if (copy >= 0)
			(void)close(copy);
		return error_sys(err, "cannot list it");
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (n == size) {
			size = size ? 2 * size : 64;
			names = xreallocarray(names, size, sizeof *names);
		}
		names[n++] = xstrdup(e->d_name);
	}
	(void)closedir(d);
	if (n)
		qsort(names, n, sizeof *names, by_bytes);
	*ret = names;
	*ret_n = n;
	return 0;
}

static int add_children(struct tree *t, int fd, struct error *err)
{
	size_t len = strlen(t->path), n = 0, depth = 1;
	char **names = NULL;
	int r = list_names(fd, &names, &n, err);

	if (r < 0)
		return r;
	for (const char *c = t->path; *c; c++)
		depth += *c == '/';
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (depth >= ENTRY_DEPTH_MAX || len + 1 + strlen(names[i]) >= sizeof t->path) {
			r = error_set(err, ENAMETOOLONG, "nested too deeply");
			break;
		}
		(void)snprintf(t->path + len, sizeof t->path - len, "%s%s", len ? "/" : "", names[i]); /* it fits */
		r = add_entry(t, fd, names[i], err);
		t->path[len] = '\0';
	}
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return r;
}

int tree_import(int source_fd, const char *shown, struct layer_dir *dir, struct layer_limits *limits,
		char **ret_diff_id, struct layer_info *ret, struct error *err)
{
	static const char magic[] = "bivalve tree 1\n";
	struct tree t = { .dir = dir, .limits = limits };
	struct stat st;
	int r;

	if (fstat(source_fd, &st) < 0)
		return error_sys(err, "%s", shown);
	t.dev = st.st_dev;
	t.buf = xcalloc(1, BUF_BYTES);
	t.hash = hasher_new(NULL);
	hasher_add(t.hash, magic, sizeof magic - 1);
	r = add_typed(&t, source_fd, ".", &st, err);
	if (r == 0 && dir)
		r = layer_dir_finish(dir, err);
	if (r == 0) {
		*ret_diff_id = hasher_finish(steal_ptr(t.hash));
		*ret = t.info;
	}
	for (size_t i = 0; i < t.size_seen; i++)
		free(t.seen[i].path);
	free(t.seen);
	free(t.buf);
	hasher_free(t.hash);
	return r < 0 ? error_prefix(err, "%s", shown) : 0;
}
