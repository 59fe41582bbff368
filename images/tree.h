/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_TREE_H
#define BIVALVE_IMAGES_TREE_H

#include "images/layer.h"

/*
 * A root file system in a folder becomes one layer: copied into dir (NULL: only read) and named by a digest of all that
 * it keeps. Other file systems mounted in it are not entered, sockets are left out. *ret_diff_id is the caller's.
 *
 * The digest is the sha256 of "bivalve tree 1\n" and then of every entry, folders before what is in them, names in the
 * order of their bytes. An entry is: its type (one of d f l h c b p), path, mode (07777), uid, gid, mtime seconds and
 * nanoseconds; for l and h the target; for c and b major and minor; unless h, the number of extended attributes, each
 * with name and value, sorted by name; for f its size and content. Numbers are 64-bit little-endian; strings are
 * preceded by their length as such a number. An h is a further name of a file: type, path and target only.
 */
int tree_import(int source_fd, const char *shown, struct layer_dir *dir, struct layer_limits *limits,
		char **ret_diff_id, struct layer_info *ret, struct error *err);

#endif
