/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_BLOCK_H
#define BIVALVE_VIRTIO_BLOCK_H

#include <linux/virtio_blk.h>

#include "vm-backend/engine.h"
#include "vm-backend/rate.h"
#include "vm-backend/virtio/device.h"

/* A disk (virtio 1.2, section 5.2) on a file or block device. */
struct virtio_block {
	struct virtio_device device;
	struct virtio_blk_config config;
	int fd;
	bool read_only;
	uint64_t bytes;         /* a multiple of 512; fixed for the life of the machine */
	char serial[VIRTIO_BLK_ID_BYTES];
	struct rate rates[VM_RATES]; /* of the thread that serves it */
	uint64_t held_until_ns; /* no request is taken before; 0: none waits */
	uint64_t held_since_ns; /* since when; 0: a request was taken or looked for since */
	uint64_t late_since_ns; /* the same for the request that is taken next; 0: nothing was in its way */
};

/*
 * Opens path, read-only if so asked. name is the serial number ("vda"). Returns 0 or -errno; err names the file.
 * Only the serving thread touches fd from then on.
 */
int virtio_block_init(struct virtio_block *block, const struct vm_memory *memory, const char *path, bool read_only,
		const char *name, struct error *err);
/* From now on it keeps to these. */
void virtio_block_limit(struct virtio_block *block, const uint64_t rates[VM_RATES]);
/* For the serving thread: how long it may wait for events before virtio_block_resume(); -1: for ever. */
int virtio_block_wait_ms(const struct virtio_block *block);
/* Has the queue looked at again once a rate allows it. */
void virtio_block_resume(struct virtio_block *block);
void virtio_block_release(struct virtio_block *block);

#endif
