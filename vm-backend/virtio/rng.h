/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_RNG_H
#define BIVALVE_VIRTIO_RNG_H

#include "vm-backend/virtio/device.h"

/* An entropy source (virtio 1.2, section 5.4), fed from the host kernel's. */
struct virtio_rng {
	struct virtio_device device;
};

void virtio_rng_init(struct virtio_rng *rng, const struct vm_memory *memory);

#endif
