/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list as a stream of bytes, from a guest to its host.
 *
 *      entry…  end
 *      entry   struct head, path, target, and of a file with contents: pieces, the last of length 0
 *      piece   uint64 offset, uint64 length, bytes        holes are not sent
 *      end     struct head with kind END, its size the number of omitted ones
 *
 * The reader believes nothing: every number is bounded, every path has to be a plain relative one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/plan.h"

enum { ENTRY = 0x6368, END = 0x656e, PIECE_BYTES = 256 * 1024, MAX_MODE = 07777 };

struct head {
	uint16_t kind;           /* ENTRY, END */
	uint8_t type, opaque;
	uint32_t nth;
	uint16_t path_len, target_len;
	uint32_t mode;
	uint64_t size, mtime_ns;
};
_Static_assert(sizeof(struct head) == 32, "no hidden padding");

/* ---- writing ---- */

/* A regular file of an upper, for reading. */
static int open_file(const struct changes *c, const struct change *e)
{
	_cleanup_free_ char *path = xasprintf(PLAN_OVERLAY_UPPER "/%s", e->nth, e->path);
	_cleanup_close_ int fd = path_open_beneath(c->source, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd == -EACCES &&
		fchmodat(c->source, path, 0600, 0) == 0) { /* no link: its folder was walked, nobody is left */
		fd = path_open_beneath(c->source, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	}
	if (fd < 0)
		return fd;
	return fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? steal_fd(&fd) : -EINVAL;
}

static int write_piece(int fd, uint64_t at, const void *data, size_t len)
{
	const uint64_t head[2] = { at, len };
	int r = fd_write_full(fd, head, sizeof head);

	return r < 0 || len == 0 ? r : fd_write_full(fd, data, len);
}

static int write_contents(const struct changes *c, const struct change *e, int to)
{
	_cleanup_close_ int fd = open_file(c, e);
	_cleanup_free_ char *buffer = xcalloc(1, PIECE_BYTES);
	off_t at = 0, end = 0;
	int r = 0;

	if (fd < 0)
		return fd;
	while (r == 0 && (at = lseek(fd, end, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		while (r == 0 && at < end) {
			ssize_t n = pread(fd, buffer, end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES, at);

			if (n <= 0)
				return n < 0 ? -errno : -EIO;
			r = write_piece(to, (uint64_t)at, buffer, (size_t)n);
			at += n;
		}
	}
	return r < 0 ? r : write_piece(to, 0, NULL, 0);
}

static int write_entry(const struct changes *c, const struct change *e, bool contents, int fd)
{
	struct head head = { .kind = ENTRY, .type = (uint8_t)e->type, .opaque = e->opaque, .nth = (uint32_t)e->nth,
		.path_len = (uint16_t)strlen(e->path), .target_len = (uint16_t)(e->target ? strlen(e->target) : 0),
		.mode = (uint32_t)e->mode, .size = e->size, .mtime_ns = e->mtime_ns };
	int r = fd_write_full(fd, &head, sizeof head);

	if (r == 0)
		r = fd_write_full(fd, e->path, head.path_len);
	if (r == 0 && head.target_len)
		r = fd_write_full(fd, e->target, head.target_len);
	return r == 0 && contents && e->type == CHANGE_FILE ? write_contents(c, e, fd) : r;
}

int changes_write(const struct changes *c, bool contents, int fd)
{
	struct head end = { .kind = END, .opaque = c->complete, .size = c->omitted };
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = write_entry(c, &c->list[i], contents, fd);
	return r < 0 ? r : fd_write_full(fd, &end, sizeof end);
}

/* ---- reading ---- */

struct reader {
	int file;
	uint64_t at, end;
};

static int take(struct reader *r, void *data, size_t len)
{
	ssize_t n;

	if (len > r->end - r->at)
		return -EPROTO;
	n = pread(r->file, data, len, (off_t)r->at);
	if (n != (ssize_t)len)
		return n < 0 ? -errno : -EPROTO;
	r->at += len;
	return 0;
}

static char *take_text(struct reader *r, size_t len)
{
	char *text = len >= PATH_MAX ? NULL : xcalloc(len + 1, 1);

	if (text && (take(r, text, len) < 0 || strlen(text) != len))
		free(steal_ptr(text));
	return text;
}

/* Relative, without "", "." and ".." parts. */
static bool is_plain(const char *path)
{
	if (!*path)
		return true;
	for (const char *at = path;; at++) {
		size_t n = strcspn(at, "/");

		if (n == 0 || n > NAME_MAX || (n == 1 && at[0] == '.') || (n == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += n;
		if (!*at)
			return true;
	}
}

/* The walk's order: right in the entry before, which then is a folder, or in one of those that this one is in. */
static bool is_in_order(const struct changes *c)
{
	const struct change *e = &c->list[c->n - 1], *before = c->n > 1 ? e - 1 : NULL;
	const char *slash = strrchr(e->path, '/');
	size_t len = slash ? (size_t)(slash - e->path) : 0;

	if (!*e->path) /* each overlay begins with its own folder */
		return !before || before->nth < e->nth;
	if (!before || before->nth != e->nth)
		return false;
	if (len == 0)
		return true;
	return !strncmp(before->path, e->path, len) && (before->path[len] == '/' || (!before->path[len] &&
			before->type == CHANGE_FOLDER));
}

static int skip_pieces(struct reader *r, const struct change *e)
{
	uint64_t head[2], last = 0;
	int s;

	while ((s = take(r, head, sizeof head)) == 0 && head[1]) {
		if (head[1] > PIECE_BYTES || head[0] < last || head[0] > e->size || head[1] > e->size - head[0] ||
				head[1] > r->end - r->at)
			return -EPROTO;
		last = head[0] + head[1];
		r->at += head[1];
	}
	return s;
}

static int read_entry(struct reader *r, const struct head *head, size_t n, bool contents, struct changes *c)
{
	struct change *e;

	if (head->type >= CHANGE_TYPES || head->nth >= n || head->mode > MAX_MODE || head->size > INT64_MAX ||
			(head->target_len != 0) != (head->type == CHANGE_LINK))
		return -EPROTO;
	e = changes_add(c);
	if (!e)
		return -EPROTO;
	*e = (struct change){ .nth = head->nth, .type = head->type, .opaque = head->opaque == 1, .mode = head->mode,
		.size = head->type == CHANGE_FILE ? head->size : 0, .mtime_ns = head->mtime_ns };
	e->path = take_text(r, head->path_len);
	e->target = e->path && head->target_len ? take_text(r, head->target_len) : NULL;
	if (!e->path)
		e->path = xstrdup("");
	else if (is_plain(e->path) && (*e->path || e->type == CHANGE_FOLDER) && (e->target || e->type != CHANGE_LINK) &&
			is_in_order(c)) {
		e->at = r->at;
		return contents && e->type == CHANGE_FILE ? skip_pieces(r, e) : 0;
	}
	return -EPROTO;
}

int changes_read(int file, size_t n, bool contents, struct changes *ret, struct error *err)
{
	struct reader r = { .file = file };
	struct head head;
	struct stat st;
	int s = 0;

	*ret = (struct changes){ .source = file, .streamed = true, .contents = contents };
	if (fstat(file, &st) < 0)
		return error_sys(err, "changes: cannot read what the guest told");
	r.end = (uint64_t)st.st_size;
	while (s == 0 && (s = take(&r, &head, sizeof head)) == 0 && head.kind == ENTRY)
		s = read_entry(&r, &head, n, contents, ret);
	if (s < 0 || head.kind != END || r.at != r.end)
		return error_set(err, EPROTO, "changes: the guest's list of them is cut off or not what it should be");
	ret->omitted = head.size;
	ret->complete = head.opaque == 1 && head.size == 0;
	return 0;
}

/* ---- contents ---- */

static int copy_piece(int from, uint64_t at, int to, uint64_t to_at, uint64_t len)
{
	char buffer[65536];

	while (len) {
		size_t want = len < sizeof buffer ? (size_t)len : sizeof buffer;
		ssize_t n = pread(from, buffer, want, (off_t)at);
		int r;

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		r = fd_pwrite_full(to, buffer, (size_t)n, (off_t)to_at);
		if (r < 0)
			return r;
		at += (uint64_t)n;
		to_at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int copy_streamed(const struct changes *c, const struct change *e, int to)
{
	struct reader r = { .file = c->source, .at = e->at, .end = INT64_MAX };
	uint64_t head[2];
	int s;

	while ((s = take(&r, head, sizeof head)) == 0 && head[1]) {
		s = copy_piece(c->source, r.at, to, head[0], head[1]);
		if (s < 0)
			return s;
		r.at += head[1];
	}
	return s;
}

static int copy_file(const struct changes *c, const struct change *e, int to)
{
	_cleanup_close_ int fd = open_file(c, e);
	off_t at, end = 0;
	int r = fd < 0 ? fd : 0;

	while (r == 0 && (at = lseek(fd, end, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		r = end < 0 ? -errno : copy_piece(fd, (uint64_t)at, to, (uint64_t)at, (uint64_t)(end - at));
	}
	return r;
}

int changes_copy(const struct changes *c, const struct change *e, int to, struct error *err)
{
	int r = ftruncate(to, (off_t)e->size) < 0 ? -errno : 0;

	if (r == 0 && !c->contents)
		r = -ENODATA;
	if (r == 0)
		r = c->streamed ? copy_streamed(c, e, to) : copy_file(c, e, to);
	return r < 0 ? error_set(err, -r, "changes: cannot copy %s: %s", e->path, strerror(-r)) : 0;
}
