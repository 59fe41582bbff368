/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_PLACES_H
#define BIVALVE_CONTAINER_PLACES_H

#include <stdbool.h>

#include "runtime/base/error.h"

/*
 * Places beneath the container's root, as descriptors (O_PATH). path is resolved as if the root were "/", so that a
 * symbolic link in the image, dangling or not, leads nowhere but into the image. The caller prefixes the errors.
 */

/* Opens the folder, making what is missing. */
int mounts_make_dir(int root_fd, const char *path, struct error *err);
/* Opens the file, making it (empty) and its folders when missing. What is there already is opened, whatever it is. */
int mounts_make_file(int root_fd, const char *path, struct error *err);

/* What the place of a mount has to be. */
struct place {
	bool file;      /* if it is missing: an empty file, not a folder */
	bool strict;    /* no symbolic link anywhere on the way */
	bool nofollow;  /* the last name is no link to follow */
};
/*
 * Opens the place of a mount, making it if it is missing. path is clean (path_clean). Where a link leads into procfs it
 * is refused: what may lie on procfs is decided by name.
 */
int place_open(int root_fd, const char *path, struct place want, struct error *err);

/* The path from "/" without empty, "." and ".." parts; relative ones are taken as below "/". The caller frees it. */
char *place_clean(const char *path);
/* Whether path, clean, is folder or is below it. */
bool place_within(const char *path, const char *folder);

#endif
