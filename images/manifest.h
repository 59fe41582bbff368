/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_MANIFEST_H
#define BIVALVE_IMAGES_MANIFEST_H

#include "images/blobs.h"
#include "images/store.h"

/* What an import needs to know of an image before its layers: manifest and configuration, verified. */
struct manifest_layer {
	char *blob;             /* name for blob_open() */
	char *digest;           /* of the blob as stored; NULL: not known */
	uint64_t size_bytes;    /* with digest */
	char *diff_id;          /* of the decompressed tar stream */
};
struct manifest {
	char *digest, *text;    /* the manifest as it came, or as manifest_compose() made it */
	size_t text_len;
	char *config_digest, *config;
	size_t config_len;
	struct manifest_layer *layers; /* lowest first */
	size_t n_layers;
};

#define MANIFEST_TEXT_MAX (4 * 1024 * 1024) /* as containers/image limits manifests and configurations */
#define MANIFEST_LAYERS_MAX 500             /* as many as one overlay mount takes */

/* The architecture of this host as OCI calls it. */
const char *platform_architecture(void);

/*
 * OCI layout: follows index.json, and nested indexes, to the image called ref (NULL: the only one there is) for this
 * platform. Digests and sizes of all that is read are verified.
 */
int oci_manifest_read(const struct blobs *b, const char *ref, struct manifest *ret, struct error *err);
/* `docker save` archive: the image tagged ref (NULL: the only one there is). */
int docker_manifest_read(const struct blobs *b, const char *ref, struct manifest *ret, struct error *err);
/*
 * Reads the configuration's text into image (architecture, environment, command, …; not name, digest and layers) and
 * the diff ids into the layers of m, whose number must be the same.
 */
int manifest_read_config(struct manifest *m, struct image *image, struct error *err);
/*
 * For images that come without a manifest: makes config (unless there is one) and manifest from image and the layers,
 * the same for the same input. media_type is that of the layers.
 */
void manifest_compose(struct manifest *m, const struct image *image, const char *media_type);
/* Applies one "INSTRUCTION value" of a Dockerfile, as import --change takes it, to image. */
int image_apply_change(struct image *image, const char *change, struct error *err);
void manifest_release(struct manifest *m);

#endif
