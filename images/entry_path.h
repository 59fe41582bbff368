/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_ENTRY_PATH_H
#define BIVALVE_IMAGES_ENTRY_PATH_H

#include <limits.h>
#include <stddef.h>

/* Names that come out of an archive. */

#define ENTRY_PATH_MAX  PATH_MAX /* with the NUL */
#define ENTRY_DEPTH_MAX 256      /* folders in folders: removing a tree keeps two descriptors open for each */

/*
 * Makes an archive's name relative to the root it is meant for: "./", leading and doubled "/" and a trailing "/" go;
 * the root itself becomes "". Returns NULL, or why the name is refused (".." anywhere, too long, too deep).
 */
const char *entry_path_clean(const char *raw, char ret_path[static ENTRY_PATH_MAX]);

/* Writes name into buf for a message: cut to size, control characters as '?'. Returns buf. */
const char *entry_path_show(const char *name, char *buf, size_t size);

/* What a file name in a layer means (OCI image specification, "Representing Changes"). */
enum entry_whiteout {
	ENTRY_PLAIN,
	ENTRY_WHITEOUT, /* .wh.NAME: NAME of the layers below is gone; *ret_target is NAME */
	ENTRY_OPAQUE,   /* .wh..wh..opq: all that the layers below have in this folder is gone */
	ENTRY_IGNORED,  /* .wh..wh.*: notes of AUFS for itself */
	ENTRY_BAD,      /* a whiteout of nothing, of "." or of ".." */
};
enum entry_whiteout entry_whiteout_kind(const char *base, const char **ret_target);

#endif
