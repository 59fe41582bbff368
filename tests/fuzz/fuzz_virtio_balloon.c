/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the balloon: it may report any memory as free, and loses no more than its own. */
#include "tests/fuzz/rings.h"
#include "vm-backend/virtio/balloon.h"

static struct virtio_balloon balloon;

static struct virtio_device *start(uint8_t pick)
{
	virtio_balloon_init(&balloon, &memory);
	return &balloon.device;
}

static void stop(struct virtio_device *device)
{
}

static void host_sends(uint8_t a, uint8_t b)
{
}
