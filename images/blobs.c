/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a packed image. A member of an archive is found by walking the headers from the start each time: skipping
 * content is a seek, and images have tens of members, so that an index would only be more code.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "images/blobs.h"
#include "images/entry_path.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

#define MEMBERS_MAX 100000
#define LINKS_MAX   8
#define BLOCK_BYTES 65536

struct blob {
	int fd;              /* -1: a member of an archive */
	struct archive *tar; /* positioned at the member's content */
	uint64_t size;
};

static int open_file(const struct blobs *b, const char *name, struct blob *blob, struct error *err)
{
	struct stat st;

	/* A layout is one folder, wherever its links may point; O_NONBLOCK: it might be a FIFO. */
	blob->fd = path_open_in_root(b->fd, name, O_RDONLY | O_NONBLOCK, 0);
	if (blob->fd == -ENOENT)
		return error_set(err, ENOENT, "%s has no file %s", b->shown, name);
	if (blob->fd < 0)
		return error_set(err, -blob->fd, "%s: cannot open %s: %s", b->shown, name, strerror(-blob->fd));
	if (fstat(blob->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "%s: %s is not a regular file", b->shown, name);
	blob->size = (uint64_t)st.st_size;
	return 0;
}

/* The name a link in an archive points to: a hard link's from the archive's root, a symbolic one's from its folder. */
static int link_name(const char *name, struct archive_entry *e, char ret[static ENTRY_PATH_MAX])
{
	const char *hard = archive_entry_hardlink(e), *soft = archive_entry_symlink(e), *target = hard ? hard : soft;
	const char *slash = strrchr(name, '/');
	_cleanup_free_ char *raw = NULL;

	if (!target || !*target)
		return -EINVAL;
	if (!hard && *target != '/' && strncmp(target, "../", 3) == 0 && slash) {
		/* `docker save` of old: "<id>/layer.tar" -> "../<id>/layer.tar" */
		if (memchr(name, '/', (size_t)(slash - name)))
			return -EINVAL;
		raw = xstrdup(target + 3);
	} else if (!hard && *target != '/' && slash) {
		raw = xasprintf("%.*s/%s", (int)(slash - name), name, target);
	} else {
		raw = xstrdup(target);
	}
	return entry_path_clean(raw, ret) ? -EINVAL : 0;
}

/* Walks to the member called name. 1: at its content; 2: it is a link, *name now says to what; or -errno. */
static int seek_member(const struct blobs *b, char name[static ENTRY_PATH_MAX], struct blob *blob, struct error *err)
{
	char path[ENTRY_PATH_MAX];
	struct archive_entry *e;
	int r;

	for (unsigned n = 0; (r = archive_read_next_header(blob->tar, &e)) != ARCHIVE_EOF; n++) {
		const char *raw;

		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return error_set(err, EINVAL, "%s: %s", b->shown, archive_error_string(blob->tar));
		if (n >= MEMBERS_MAX)
			return error_set(err, EFBIG, "%s: more than %d members", b->shown, MEMBERS_MAX);
		raw = archive_entry_pathname(e);
		if (!raw || entry_path_clean(raw, path) || strcmp(path, name) != 0)
			continue;
		if (archive_entry_hardlink(e) || archive_entry_filetype(e) == AE_IFLNK) {
			if (link_name(name, e, path) < 0)
				return error_set(err, EINVAL, "%s: %s is a link that leads nowhere", b->shown, name);
			strcpy(name, path);
			return 2;
		}
		if (archive_entry_filetype(e) != AE_IFREG)
			return error_set(err, EINVAL, "%s: %s is not a regular file", b->shown, name);
		blob->size = (uint64_t)archive_entry_size(e);
		return 1;
	}
	return error_set(err, ENOENT, "%s has no file %s", b->shown, name);
}

static int open_member(const struct blobs *b, const char *wanted, struct blob *blob, struct error *err)
{
	char name[ENTRY_PATH_MAX];

	if (entry_path_clean(wanted, name))
		return error_set(err, EINVAL, "%s: \"%.200s\" is not a name of a file in it", b->shown, wanted);
	for (int links = 0; links < LINKS_MAX; links++) {
		int r;

		if (lseek(b->fd, 0, SEEK_SET) < 0)
			return error_sys(err, "%s: cannot seek", b->shown);
		archive_read_free(blob->tar);
		blob->tar = archive_read_new();
		if (!blob->tar || archive_read_support_format_tar(blob->tar) != ARCHIVE_OK ||
			archive_read_open_fd(blob->tar, b->fd, BLOCK_BYTES) != ARCHIVE_OK)
			return error_set(err, EINVAL, "%s: not a tar archive", b->shown);
		r = seek_member(b, name, blob, err);
		if (r != 2)
			return r < 0 ? r : 0;
	}
	return error_set(err, ELOOP, "%s: %s is a link that leads nowhere", b->shown, wanted);
}

int blob_open(const struct blobs *b, const char *name, struct blob **ret, struct error *err)
{
	struct blob *blob = xcalloc(1, sizeof *blob);
	int r;

	blob->fd = -1;
	r = b->is_archive ? open_member(b, name, blob, err) : open_file(b, name, blob, err);
	if (r < 0) {
		blob_close(blob);
		return r;
	}
	*ret = blob;
	return 0;
}

uint64_t blob_size(const struct blob *blob)
{
	return blob->size;
}

ssize_t blob_read(void *ctx, void *buf, size_t size, struct error *err)
{
	struct blob *blob = ctx;
	ssize_t n;

	if (blob->tar) {
		n = archive_read_data(blob->tar, buf, size);
		return n < 0 ? error_set(err, EIO, "%s", archive_error_string(blob->tar)) : n;
	}
	do
		n = read(blob->fd, buf, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? error_sys(err, "cannot read it") : n;
}

void blob_close(struct blob *blob)
{
	if (!blob)
		return;
	archive_read_free(blob->tar);
	if (blob->fd >= 0)
		(void)close(blob->fd);
	free(blob);
}

int blob_read_text(const struct blobs *b, const char *name, size_t max, char **ret, size_t *ret_len,
		struct error *err)
{
	_cleanup_blob_ struct blob *blob = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	ssize_t n;
	int r = blob_open(b, name, &blob, err);

	if (r < 0)
		return r;
	if (blob->size > max)
		return error_set(err, EFBIG, "%s: %s is larger than %zu bytes", b->shown, name, max);
	text = xcalloc((size_t)blob->size + 1, 1);
	while (len < blob->size) {
		n = blob_read(blob, text + len, (size_t)blob->size - len, err);
		if (n < 0)
			return error_prefix(err, "%s: %s", b->shown, name);
		if (n == 0)
			return error_set(err, EINVAL, "%s: %s is cut short", b->shown, name);
		len += (size_t)n;
	}
	*ret = steal_ptr(text);
	*ret_len = len;
	return 0;
}
