/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_DISK_H
#define BIVALVE_IMAGES_DISK_H

#include "images/store.h"

/*
 * Makes disks/<hex>.erofs, the image's merged layers as one read-only EROFS disk, unless it is there. The same image
 * gives the same bytes. Root mounts the layers in a mount namespace of its own, other users in a user namespace as
 * well, where their files are root's. *ret_path is the caller's. Returns 1 if it was made, 0 if it was there, -errno.
 */
int image_disk_make(const char *store, const struct image *image, char **ret_path, struct error *err);

#endif
