/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_CPIO_H
#define BIVALVE_VM_CPIO_H

#include <sys/types.h>

#include "runtime/base/error.h"

/* A writer of "newc" archives (Documentation/driver-api/early-userspace/buffer-format.rst). All is owned by root. */
struct cpio {
	int fd;            /* borrowed */
	unsigned inode;    /* of the next entry */
	size_t written;
};

/* Each adds one entry; path has no leading slash, and its folders must have been added before. 0 or -errno. */
int cpio_add_folder(struct cpio *c, const char *path, mode_t mode, struct error *err);
int cpio_add_device(struct cpio *c, const char *path, mode_t mode, unsigned major, unsigned minor, struct error *err);
int cpio_add_file(struct cpio *c, const char *path, mode_t mode, const void *data, size_t len, struct error *err);
/* A regular file with the content of source. */
int cpio_add_copy(struct cpio *c, const char *path, mode_t mode, const char *source, struct error *err);
/* Writes the trailer; the archive is complete. */
int cpio_finish(struct cpio *c, struct error *err);

#endif
