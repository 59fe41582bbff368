/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs archive format: a fixed ASCII header, the name, the data; each padded to four bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "vm-backend/kernel/cpio.h"

enum { MAX_FILE_BYTES = 256 << 20 };

static int put(struct cpio *c, const void *data, size_t len, struct error *err)
{
	int r = fd_write_full(c->fd, data, len);

	c->written += len;
	return r < 0 ? error_set(err, -r, "cannot write the initramfs: %s", strerror(-r)) : 0;
}

static int pad(struct cpio *c, struct error *err)
{
	return put(c, "\0\0\0", (4 - c->written % 4) % 4, err);
}

static int put_entry(struct cpio *c, const char *path, mode_t mode, unsigned major, unsigned minor,
		const void *data, size_t len, struct error *err)
{
	char header[111];
	int r;

	if (len > MAX_FILE_BYTES)
		return error_set(err, EFBIG, "%s: too large for the initramfs", path);
	/* magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check */
	(void)snprintf(header, sizeof header, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c->inode++,
			(unsigned)mode, 0u, 0u, 1u, 0u, (unsigned)len, 0u, 0u, major, minor,
			(unsigned)strlen(path) + 1, 0u);
	r = put(c, header, sizeof header - 1, err);
	if (r == 0)
		r = put(c, path, strlen(path) + 1, err);
	if (r == 0)
		r = pad(c, err);
	if (r == 0 && len)
		r = put(c, data, len, err);
	return r == 0 ? pad(c, err) : r;
}

int cpio_add_folder(struct cpio *c, const char *path, mode_t mode, struct error *err)
{
	return put_entry(c, path, S_IFDIR | mode, 0, 0, NULL, 0, err);
}

int cpio_add_device(struct cpio *c, const char *path, mode_t mode, unsigned major, unsigned minor, struct error *err)
{
	return put_entry(c, path, S_IFCHR | mode, major, minor, NULL, 0, err);
}

int cpio_add_file(struct cpio *c, const char *path, mode_t mode, const void *data, size_t len, struct error *err)
{
	return put_entry(c, path, S_IFREG | mode, 0, 0, data, len, err);
}

int cpio_add_copy(struct cpio *c, const char *path, mode_t mode, const char *source, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r = file_read_at(AT_FDCWD, source, MAX_FILE_BYTES, &data, &len, err);

	return r < 0 ? r : cpio_add_file(c, path, mode, data, len, err);
}

int cpio_finish(struct cpio *c, struct error *err)
{
	return put_entry(c, "TRAILER!!!", 0, 0, 0, NULL, 0, err);
}
