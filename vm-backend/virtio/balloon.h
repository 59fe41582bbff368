/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_BALLOON_H
#define BIVALVE_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>

#include "vm-backend/virtio/device.h"

/*
 * A memory balloon (virtio 1.2, section 5.5) that is never inflated: it is there for free page reporting, by which the
 * guest tells what it does not use and the host has it back.
 */
struct virtio_balloon {
	struct virtio_device device;
	struct virtio_balloon_config config;
	uint64_t *returned_bytes;       /* reported and given back to the host so far; NULL: nobody counts */
};

void virtio_balloon_init(struct virtio_balloon *balloon, const struct vm_memory *memory);

#endif
