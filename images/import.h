/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_IMPORT_H
#define BIVALVE_IMAGES_IMPORT_H

#include "images/layer.h"
#include "images/store.h"

struct import_options {
	const char *store, *source, *name;
	char *const *changes;       /* "CMD …": for root file systems only */
	struct layer_limits limits;
	bool sync;                  /* wait until it is on the disk */
	bool progress;              /* tell on standard error how far it is */
};
struct import_result {
	struct image image;
	size_t layers_new;          /* of image.layers, those that were not in the store */
	bool unchanged;             /* the image was there already, the same */
	struct layer_losses losses;
};

/*
 * Brings an image into the store: whole or not at all. SIGINT, SIGTERM and SIGHUP are blocked from the moment that
 * something is made; then they end it with -EINTR and nothing is left. *ret->image is for record_release().
 */
int image_import(const struct import_options *o, struct import_result *ret, struct error *err);

/* Reads layers/<hex>.json. -ENOENT: the layer is not in the store. */
int layer_info_load(const char *store, const char *diff_id, struct layer_info *ret, struct error *err);

#endif
