/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_COPY_H
#define BIVALVE_BASE_COPY_H

#include "runtime/base/error.h"

/*
 * A copy of a file, holes and all, in the same folder but without a name: it is gone with the last descriptor. Shares
 * its blocks where the file system can. path is absolute. The copy's fd, for reading and writing, or -errno.
 */
int file_copy_unnamed(const char *path, struct error *err);

#endif
