/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the entropy device. */
#include "tests/fuzz/rings.h"
#include "vm-backend/virtio/rng.h"

static struct virtio_rng rng;

static struct virtio_device *start(uint8_t pick)
{
	virtio_rng_init(&rng, &memory);
	return &rng.device;
}

static void stop(struct virtio_device *device)
{
}

static void host_sends(uint8_t a, uint8_t b)
{
}
