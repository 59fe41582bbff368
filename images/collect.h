/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_COLLECT_H
#define BIVALVE_IMAGES_COLLECT_H

#include "images/store.h"

/* All images of a store, sorted by name. A file that cannot be read is an error. NULL and 0 if there is no store. */
int images_list(const char *store, struct image **ret, size_t *ret_n, struct error *err);
void images_free(struct image *images, size_t n);

/* What was removed. */
struct collected {
	uint64_t images, layers, disks, blobs;
};

/*
 * Removes images by name, then every layer, disk and blob that no image needs. All names are checked first. Unless
 * force, an image that a live instance was made from stays (-EBUSY).
 */
int images_remove(const char *store, char *const *names, bool force, struct collected *ret, struct error *err);
/* Removes what killed imports left, and every layer, disk and blob that no image needs. */
int images_prune(const char *store, struct collected *ret, struct error *err);

#endif
