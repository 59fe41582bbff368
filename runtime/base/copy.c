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

/* What there is of data, to the same places. */
static int copy_data(int from, int to)
{
	off_t at = 0, end;

	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t out = at;

		end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			ssize_t n = copy_file_range(from, &at, to, &out, (size_t)(end - at), 0);

			if (n <= 0)
				return n < 0 ? -errno : -EIO;
		}
	}
	return errno == ENXIO ? 0 : -errno; /* no more data */
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
