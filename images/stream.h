/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_STREAM_H
#define BIVALVE_IMAGES_STREAM_H

#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/error.h"

/*
 * A blob on its way in: read, hashed as it comes, decompressed (gzip, bzip2, xz, zstd or not at all) and hashed again,
 * in one pass and by a thread of its own, so that decompression and unpacking overlap.
 */
struct stream;

/* Where the bytes come from. read: like read(2), but -errno with err set. Called by the stream's thread only. */
struct stream_source {
	ssize_t (*read)(void *ctx, void *buf, size_t size, struct error *err);
	void *ctx;
};

struct stream_result {
	char *digest;            /* of the bytes as they came */
	uint64_t bytes;
	char *diff_id;           /* of the decompressed bytes */
	uint64_t unpacked_bytes;
	const char *compression; /* "", "gzip", "zstd", … */
};

/*
 * Starts. digest_like and diff_like say which algorithms to use (NULL: sha256); max_bytes limits the decompressed
 * bytes. The source must live until stream_free().
 */
struct stream *stream_new(const struct stream_source *source, const char *digest_like, const char *diff_like,
		uint64_t max_bytes);
/*
 * The next piece of decompressed data, valid until the next call: its length, 0 at the end, or -errno. SIGINT, SIGTERM
 * and SIGHUP, if blocked and pending, end it with -EINTR.
 */
ssize_t stream_next(struct stream *s, const void **ret_data, struct error *err);
/* Reads to the end, whatever still comes, and gives the digests. For stream_result_release(). */
int stream_finish(struct stream *s, struct stream_result *ret, struct error *err);
/* Ends the thread. NULL is fine. */
void stream_free(struct stream *s);
static inline void stream_cleanup(struct stream **s)
{
	stream_free(*s);
}
#define _cleanup_stream_ __attribute__((cleanup(stream_cleanup)))
void stream_result_release(struct stream_result *r);

/* A stream_source's read for a file; ctx points to the fd. */
ssize_t stream_read_fd(void *ctx, void *buf, size_t size, struct error *err);
/* -EINTR with err set when a blocked SIGINT, SIGTERM or SIGHUP is pending, else 0. */
int stream_interrupted(struct error *err);

#endif
