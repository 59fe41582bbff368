/* SPDX-License-Identifier: Apache-2.0 */
/* The writable disk of a saved instance: what there is of data, and where it lies. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/copy.h"
#include "runtime/base/fd.h"
#include "vm-backend/saved_disk.h"

struct extent {
	uint64_t at, bytes;
};

static int put(int to, const void *data, size_t len, struct error *err)
{
	int r = fd_write_full(to, data, len);

	return r < 0 ? error_set(err, -r, "the disk cannot be saved: %s", strerror(-r)) : 0;
}

static int put_extent(int disk, struct extent e, int to, struct error *err)
{
	int r = put(to, &e, sizeof e, err);
	off_t here = lseek(to, 0, SEEK_CUR);

	if (r < 0)
		return r;
	r = file_copy_part(disk, e.at, to, (uint64_t)here, e.bytes);
	if (r < 0 || lseek(to, here + (off_t)e.bytes, SEEK_SET) < 0)
		return error_set(err, r < 0 ? -r : errno, "the disk cannot be saved: %s", strerror(r < 0 ? -r : errno));
	return 0;
}

int saved_disk_write(int disk, int to, struct error *err)
{
	const struct extent none = { 0 };
	struct stat st;
	uint64_t size;
	off_t at = 0, end;
	int r;

	if (fstat(disk, &st) < 0)
		return error_sys(err, "the disk cannot be saved");
	size = (uint64_t)st.st_size;
	r = put(to, &size, sizeof size, err);
	while (r == 0 && (at = lseek(disk, at, SEEK_DATA)) >= 0) {
		end = lseek(disk, at, SEEK_HOLE);
		r = put_extent(disk, (struct extent){ (uint64_t)at, (uint64_t)(end - at) }, to, err);
		at = end;
	}
	if (r == 0 && errno != ENXIO) /* no more data */
		r = error_sys(err, "the disk cannot be saved");
	return r < 0 ? r : put(to, &none, sizeof none, err);
}

static int odd(struct error *err, const char *what)
{
	return error_set(err, EINVAL, "the saved disk %s", what);
}

/* The next bytes of the section. */
static int take(int from, uint64_t *at, uint64_t *left, void *ret, size_t len, struct error *err)
{
	if (*left < len || pread(from, ret, len, (off_t)*at) != (ssize_t)len)
		return odd(err, "is cut off");
	*at += len;
	*left -= len;
	return 0;
}

int saved_disk_read(int from, uint64_t at, uint64_t bytes, int disk, struct error *err)
{
	struct extent e = { 0 };
	uint64_t size, least = 0;
	struct stat st;
	int r = take(from, &at, &bytes, &size, sizeof size, err);

	if (r < 0)
		return r;
	if (fstat(disk, &st) < 0)
		return error_sys(err, "disk");
	if ((uint64_t)st.st_size != size)
		return odd(err, "has another size than its plan says");
	/* Empty: what an empty file system has where the saved one has nothing would be wrong. */
	if (ftruncate(disk, 0) < 0 || ftruncate(disk, (off_t)size) < 0)
		return error_sys(err, "disk");
	while ((r = take(from, &at, &bytes, &e, sizeof e, err)) == 0 && e.bytes) {
		if (e.at < least || e.at > size || e.bytes > size - e.at)
			return odd(err, "has data at a place that is not there");
		if (e.bytes > bytes)
			return odd(err, "is cut off");
		r = file_copy_part(from, at, disk, e.at, e.bytes);
		if (r < 0)
			return error_set(err, -r, "the saved disk cannot be copied: %s", strerror(-r));
		at += e.bytes;
		bytes -= e.bytes;
		least = e.at + e.bytes;
	}
	return r == 0 && bytes ? odd(err, "does not end where it says") : r;
}
