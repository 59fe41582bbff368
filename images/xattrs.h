/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_XATTRS_H
#define BIVALVE_IMAGES_XATTRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* Extended attributes of one file. {0} is empty. */
struct xattr {
	char *name;
	void *value;
	size_t len;
};
struct xattrs {
	struct xattr *items;
	size_t n;
};

/*
 * Whether an image may set this attribute: user.*, trusted.*, security.capability and POSIX ACLs, but none of
 * overlayfs's own, by which a layer could redirect the kernel into other files.
 */
bool xattr_allowed(const char *name);
/* Adds a copy; a name that is there already gets the new value. -E2BIG over the kernel's limits. */
int xattrs_add(struct xattrs *x, const char *name, const void *value, size_t len, struct error *err);
/* Reads the allowed attributes of a file by a path that is not followed, sorted by name. */
int xattrs_read(const char *path, struct xattrs *x, struct error *err);
/*
 * Sets all on fd, or on path if fd is -1 (not followed). What the file system or the lack of privilege refuses is
 * left out and added to *skipped.
 */
int xattrs_apply(const struct xattrs *x, int fd, const char *path, uint64_t *skipped, struct error *err);
void xattrs_release(struct xattrs *x);

#endif
