/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_BLOBS_H
#define BIVALVE_IMAGES_BLOBS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/error.h"

/*
 * The files of an image as somebody packed it: a folder (OCI layout), or an uncompressed, seekable tar archive of such
 * a folder or of `docker save`. Names are relative, "blobs/sha256/<hex>". One blob is open at a time.
 */
struct blobs {
	int fd;            /* the folder or the archive; borrowed */
	bool is_archive;
	const char *shown; /* what errors call it; borrowed */
};

struct blob;

/* Opens a regular file; symbolic and hard links inside an archive are followed inside it. -ENOENT: no such file. */
int blob_open(const struct blobs *b, const char *name, struct blob **ret, struct error *err);
uint64_t blob_size(const struct blob *blob);
/* As struct stream_source's read; ctx is the struct blob. */
ssize_t blob_read(void *ctx, void *buf, size_t size, struct error *err);
void blob_close(struct blob *blob); /* NULL is fine */
static inline void blob_cleanup(struct blob **blob)
{
	blob_close(*blob);
}
#define _cleanup_blob_ __attribute__((cleanup(blob_cleanup)))

/* Reads a whole small file of at most max bytes; the text has a NUL behind it and is the caller's. */
int blob_read_text(const struct blobs *b, const char *name, size_t max, char **ret, size_t *ret_len,
		struct error *err);

#endif
