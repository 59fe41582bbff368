/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_DIGEST_H
#define BIVALVE_IMAGES_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

/* Digests as OCI writes them, "sha256:<hex>" or "sha512:<hex>". The only user of libcrypto. */
struct hasher;

/* like: a digest whose algorithm is to be used; NULL: sha256. Free with hasher_free() or hasher_finish(). */
struct hasher *hasher_new(const char *like);
void hasher_add(struct hasher *h, const void *data, size_t len);
/* The digest of all that was added (owned by the caller); frees h. */
char *hasher_finish(struct hasher *h);
void hasher_free(struct hasher *h);
static inline void hasher_cleanup(struct hasher **h)
{
	hasher_free(*h);
}
#define _cleanup_hasher_ __attribute__((cleanup(hasher_cleanup)))

/* The digest of one piece of memory, owned by the caller. */
char *digest_of(const void *data, size_t len, const char *like);

#endif
