/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tar stream to a layer's folder. libarchive parses; what an entry may do is decided here and in layer_dir.c.
 * The stream is hostile: every name is cleaned or refused, sizes and numbers of entries are limited, types that a root
 * file system does not have are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "images/entry_path.h"
#include "images/layer.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

static const struct field layer_info_fields[] = {
	{ .key = "size_bytes", .kind = FIELD_UINT, .offset = offsetof(struct layer_info, size_bytes) },
	{ .key = "entries", .kind = FIELD_UINT, .offset = offsetof(struct layer_info, entries) },
	{ .key = "whiteouts", .kind = FIELD_UINT, .offset = offsetof(struct layer_info, whiteouts) },
	{ .key = NULL },
};
const struct record_type layer_info_type = { "layer", sizeof(struct layer_info), layer_info_fields };

struct unpack {
	layer_read_fn read;
	void *ctx;
	struct error read_error; /* libarchive passes on only that there was one */
	struct archive *tar;
	struct layer_dir *dir;
	struct layer_limits *limits;
	struct layer_info info;
};

static la_ssize_t feed(struct archive *a, void *ctx, const void **ret)
{
	struct unpack *u = ctx;
	ssize_t n = u->read(u->ctx, ret, &u->read_error);

	if (n < 0)
		archive_set_error(a, u->read_error.code, "%s", u->read_error.message);
	return n;
}

static int tar_failed(struct unpack *u, struct error *err)
{
	if (u->read_error.code)
		return error_set(err, u->read_error.code, "%s", u->read_error.message);
	return error_set(err, EINVAL, "not a sound tar archive: %s", archive_error_string(u->tar));
}

static int read_attrs(struct archive_entry *e, struct layer_attrs *ret, uint64_t *left_out, struct error *err)
{
	la_int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
	const char *name;
	const void *value;
	size_t len;
	int r = 0;

	/* (uid_t)-1 means "leave it as it is" to chown(2) */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return error_set(err, ERANGE, "owner %lld:%lld is not a valid one", (long long)uid, (long long)gid);
	ret->mode = archive_entry_perm(e) & 07777;
	ret->uid = (uid_t)uid;
	ret->gid = (gid_t)gid;
	ret->mtime.tv_sec = archive_entry_mtime(e);
	ret->mtime.tv_nsec = archive_entry_mtime_nsec(e);
	if (ret->mtime.tv_nsec < 0 || ret->mtime.tv_nsec > 999999999)
		ret->mtime.tv_nsec = 0;
	(void)archive_entry_xattr_reset(e); /* returns their number */
	while (r == 0 && archive_entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
		if (xattr_allowed(name))
			r = xattrs_add(&ret->xattrs, name, value, len, err);
		else
			(*left_out)++;
	}
	return r;
}

/* The content, with its holes. */
static int write_content(struct unpack *u, int fd, uint64_t size, struct error *err)
{
	uint64_t end = 0;

	for (;;) {
		const void *data;
		size_t len;
		la_int64_t offset;
		int r = archive_read_data_block(u->tar, &data, &len, &offset);

		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return tar_failed(u, err);
		if (offset < 0 || (uint64_t)offset > size || len > size - (uint64_t)offset)
			return error_set(err, EINVAL, "content beyond its size of %llu bytes",
				(unsigned long long)size);
		r = fd_pwrite_full(fd, data, len, (off_t)offset);
		if (r < 0) {
			errno = -r;
			return error_sys(err, "cannot write the file");
		}
		if (len)
			end = (uint64_t)offset + len;
	}
	if (end < size && ftruncate(fd, (off_t)size) < 0) /* it ends in a hole */
		return error_sys(err, "cannot set the size to %llu", (unsigned long long)size);
	return 0;
}

static int add_file(struct unpack *u, struct archive_entry *e, const char *path, const struct layer_attrs *attrs,
		struct error *err)
{
	la_int64_t size = archive_entry_size(e);
	_cleanup_close_ int fd = -1;
	int r;

	if (size < 0)
		return error_set(err, EINVAL, "negative size");
	if ((uint64_t)size > u->limits->max_bytes)
		return error_set(err, EFBIG, "the image unpacks to more bytes than allowed");
	u->limits->max_bytes -= (uint64_t)size;
	u->info.size_bytes += (uint64_t)size;
	fd = layer_dir_file(u->dir, path, attrs, err);
	if (fd < 0)
		return fd;
	r = size ? write_content(u, fd, (uint64_t)size, err) : 0;
	return r < 0 ? r : layer_dir_file_done(u->dir, fd, attrs, err);
}

static int add_hardlink(struct unpack *u, const char *path, const char *raw_target, struct error *err)
{
	char target[ENTRY_PATH_MAX], shown[256];
	const char *why = entry_path_clean(raw_target, target);

	(void)entry_path_show(raw_target, shown, sizeof shown);
	if (why)
		return error_set(err, EXDEV, "the hard link's target \"%s\" %s", shown, why);
	if (!*target)
		return error_set(err, EXDEV, "the hard link's target \"%s\" is the root", shown);
	return layer_dir_hardlink(u->dir, path, target, err);
}

/* Whiteouts are notes in the shape of files. Returns 1 if path is a file after all. */
static int add_whiteout(struct unpack *u, char *path, struct error *err)
{
	char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const char *target = NULL;

	switch (entry_whiteout_kind(base, &target)) {
	case ENTRY_PLAIN:
		return 1;
	case ENTRY_IGNORED:
		return 0;
	case ENTRY_BAD:
		return error_set(err, EINVAL, "a whiteout of nothing");
	case ENTRY_OPAQUE:
		*(slash ? slash : base) = '\0';
		return layer_dir_opaque(u->dir, path, err);
	case ENTRY_WHITEOUT:
		memmove(base, target, strlen(target) + 1);
		return layer_dir_whiteout(u->dir, path, err);
	}
	return error_set(err, EINVAL, "unknown whiteout");
}

static int add_typed(struct unpack *u, struct archive_entry *e, const char *path, const struct layer_attrs *attrs,
		struct error *err)
{
	const char *link = archive_entry_symlink(e);
	mode_t type = archive_entry_filetype(e);

	switch (type) {
	case AE_IFREG:
		return add_file(u, e, path, attrs, err);
	case AE_IFDIR:
		return layer_dir_folder(u->dir, path, attrs, err);
	case AE_IFLNK:
		if (!link || !*link)
			return error_set(err, EINVAL, "a symbolic link to nothing");
		return layer_dir_symlink(u->dir, path, link, attrs, err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return layer_dir_node(u->dir, path, type, archive_entry_rdev(e), attrs, err);
	default:
		return error_set(err, EINVAL, "is of a type (%o) that no root file system has", (unsigned)type);
	}
}

static int add_entry(struct unpack *u, struct archive_entry *e, struct error *err)
{
	const char *raw = archive_entry_pathname(e), *link = archive_entry_hardlink(e), *why;
	struct layer_attrs attrs = { 0 };
	char path[ENTRY_PATH_MAX];
	uint64_t left_out = 0;
	int r;

	why = entry_path_clean(raw, path);
	if (why)
		return error_set(err, EXDEV, "%s", why);
	if (!*path && (link || archive_entry_filetype(e) != AE_IFDIR))
		return error_set(err, EXDEV, "would replace the root");
	r = add_whiteout(u, path, err);
	if (r <= 0)
		return r;
	if (link)
		return add_hardlink(u, path, link, err);
	r = read_attrs(e, &attrs, &left_out, err);
	if (r == 0)
		r = add_typed(u, e, path, &attrs, err);
	if (r == 0)
		layer_dir_lose_xattrs(u->dir, left_out);
	xattrs_release(&attrs.xattrs);
	return r;
}

static int unpack_entries(struct unpack *u, struct error *err)
{
	for (;;) {
		struct archive_entry *e;
		char shown[256];
		int r = archive_read_next_header(u->tar, &e);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return tar_failed(u, err);
		if (!archive_entry_pathname(e))
			return error_set(err, EILSEQ, "an entry without a readable name");
		if (u->info.entries++ >= u->limits->max_entries)
			return error_set(err, EFBIG, "more than %llu entries",
				(unsigned long long)u->limits->max_entries);
		r = add_entry(u, e, err);
		if (r < 0)
			return error_prefix(err, "entry \"%s\"",
				entry_path_show(archive_entry_pathname(e), shown, sizeof shown));
	}
}

int layer_unpack(layer_read_fn read, void *ctx, struct layer_dir *dir, struct layer_limits *limits,
		struct layer_info *ret, struct error *err)
{
	struct unpack u = { .read = read, .ctx = ctx, .dir = dir, .limits = limits };
	int r;

	u.tar = archive_read_new();
	if (!u.tar)
		return error_set(err, ENOMEM, "libarchive: out of memory");
	if (archive_read_support_format_tar(u.tar) != ARCHIVE_OK ||
		archive_read_open(u.tar, &u, NULL, feed, NULL) != ARCHIVE_OK)
		r = tar_failed(&u, err);
	else
		r = unpack_entries(&u, err);
	archive_read_free(u.tar);
	if (r < 0)
		return r;
	r = layer_dir_finish(dir, err);
	if (r < 0)
		return r;
	limits->max_entries -= u.info.entries;
	u.info.whiteouts = layer_dir_whiteouts(dir);
	*ret = u.info;
	return 0;
}
