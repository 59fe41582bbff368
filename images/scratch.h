/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_SCRATCH_H
#define BIVALVE_IMAGES_SCRATCH_H

#include <stdint.h>

#include "runtime/base/error.h"

/*
 * Scratch disks: an ext4 file system of a given size for what one instance writes, the same in both shells. One for
 * each size lies in the store, empty (scratch/<bytes>-<inodes>.ext4, sparse); an instance gets a copy that has no name
 * (file_copy_unnamed) and so is gone with the last process that has it open, however that ends.
 */

/* How many files and folders a disk of this size is for when nobody says: one per 16 KiB, 1024 at least. */
uint64_t scratch_default_inodes(uint64_t bytes);
/* Where the empty disk with room for bytes and inodes is, or will be. The caller's. */
char *scratch_path(const char *store, uint64_t bytes, uint64_t inodes);
/*
 * Makes that disk with mke2fs unless it is there: room for at least bytes, and inodes files and folders (up to 15 more
 * in each 128 MiB, since the kernel keeps them by the block). Returns 1: made, 0: was there, -errno.
 */
int scratch_make(const char *store, uint64_t bytes, uint64_t inodes, struct error *err);

#endif
