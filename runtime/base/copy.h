/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_COPY_H
#define BIVALVE_BASE_COPY_H

#include <stdint.h>

#include "runtime/base/error.h"

/*
 * A copy of a file, holes and all, in the same folder but without a name: it is gone with the last descriptor. Shares
 * its blocks where the file system can. path is absolute. The copy's fd, for reading and writing, or -errno.
 */
int file_copy_unnamed(const char *path, struct error *err);

/*
 * Copies bytes from one place of a file to one of another; neither file's position counts. 0; -EIO, when from ends
 * before that; -errno.
 */
int file_copy_part(int from, uint64_t at, int to, uint64_t to_at, uint64_t bytes);

#endif
