/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of sparse files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/copy.h"

enum { CHUNK = 256 * 1024 };

static int open_unnamed(const char *folder)
{
	_cleanup_free_ char *name = xasprintf("%s/.copy.XXXXXX", folder);
	int fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd >= 0 || errno != EOPNOTSUPP)
		return fd;
	fd = mkostemp(name, O_CLOEXEC); /* then by a name that is gone at once */
	if (fd >= 0)
		(void)unlink(name); /* it is ours, and was just made */
	return fd;
}

/* Through our memory: for a pair of files that the kernel does not copy between by itself. */
static int copy_by_hand(int from, off_t at, int to, off_t out, uint64_t bytes)
{
	_cleanup_free_ uint8_t *chunk = xcalloc(1, CHUNK);

	while (bytes) {
		ssize_t n = pread(from, chunk, bytes < CHUNK ? bytes : CHUNK, at);

		if (n <= 0 || pwrite(to, chunk, (size_t)n, out) != n)
			return n < 0 ? -errno : -EIO;
		at += n;
		out += n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

int file_copy_part(int from, uint64_t at, int to, uint64_t to_at, uint64_t bytes)
{
	off_t in = (off_t)at, out = (off_t)to_at;

	while (bytes) {
		ssize_t n = copy_file_range(from, &in, to, &out, bytes < INT32_MAX ? bytes : INT32_MAX, 0);

		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
			return copy_by_hand(from, in, to, out, bytes);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* What there is of data, to the same places. */
static int copy_data(int from, int to)
{
	off_t at = 0, end;
	int r = 0;

	while (r == 0 && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		end = lseek(from, at, SEEK_HOLE);
		r = file_copy_part(from, (uint64_t)at, to, (uint64_t)at, (uint64_t)(end - at));
		at = end;
	}
	return r < 0 || errno == ENXIO ? r : -errno; /* ENXIO: no more data */
}

int file_copy_unnamed(const char *path, struct error *err)
{
	_cleanup_close_ int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to = -1;
	_cleanup_free_ char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct stat st;
	int r = 0;

	if (from < 0 || fstat(from, &st) < 0)
		return error_sys(err, "%s", path);
	to = open_unnamed(folder);
	if (to < 0)
		return error_sys(err, "cannot make a file in %s", folder);
	if (ioctl(to, FICLONE, from) < 0) { /* a file system that shares no extents */
		r = ftruncate(to, st.st_size) < 0 ? -errno : copy_data(from, to);
		if (r < 0)
			return error_set(err, -r, "cannot copy %s: %s", path, strerror(-r));
	}
	return steal_fd(&to);
}
