/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_SOURCE_H
#define BIVALVE_IMAGES_SOURCE_H

#include "images/blobs.h"
#include "images/work.h"

/* What an image is imported from. */
enum source_kind {
	SOURCE_TREE,           /* a root file system in a folder */
	SOURCE_TARBALL,        /* a tar of one, compressed or not */
	SOURCE_OCI,            /* an OCI layout: folder or archive */
	SOURCE_DOCKER,         /* `docker save` */
};

struct source {
	enum source_kind kind;
	char *shown;           /* for messages */
	char *ref;             /* the image in it; NULL: the only one */
	int fd;                /* the folder, or a regular file at its start */
	bool is_archive;       /* SOURCE_OCI, SOURCE_DOCKER: fd is an uncompressed tar */
};

/*
 * Opens what text means: oci:DIR[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:NAME:TAG], "-" for standard input
 * or a path, whose kind is seen from its content. Compressed image archives are decompressed into, and standard input
 * is kept in, a nameless file in the work folder; max_bytes limits it.
 */
int source_open(const char *text, const struct work *work, uint64_t max_bytes, struct source *ret, struct error *err);
void source_release(struct source *s);

#endif
