/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_LAYER_H
#define BIVALVE_IMAGES_LAYER_H

#include "images/layer_dir.h"
#include "runtime/base/record.h"

/* How much one import may make, against archives that are small and unpack to everything. */
struct layer_limits {
	uint64_t max_bytes;   /* content of all files, and the tar stream itself */
	uint64_t max_entries;
};
#define LAYER_MAX_BYTES   (UINT64_C(64) << 30)
#define LAYER_MAX_ENTRIES UINT64_C(10000000)

/* What is known of an unpacked layer, layers/<hex>.json in the store. */
struct layer_info {
	uint64_t size_bytes;  /* content of the regular files */
	uint64_t entries;
	uint64_t whiteouts;   /* whiteouts and opaque folders */
};
extern const struct record_type layer_info_type;

/* The tar stream: gives a piece and its length, 0 at the end, or -errno with err set. */
typedef ssize_t (*layer_read_fn)(void *ctx, const void **ret_data, struct error *err);

/*
 * Unpacks a tar stream into the layer's folder. Stops at the archive's end; the stream may have more. The limits count
 * down by what was used. Errors name the entry.
 */
int layer_unpack(layer_read_fn read, void *ctx, struct layer_dir *dir, struct layer_limits *limits,
		struct layer_info *ret, struct error *err);

#endif
