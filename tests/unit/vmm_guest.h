/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_TESTS_VMM_GUEST_H
#define BIVALVE_TESTS_VMM_GUEST_H

/*
 * A guest made by hand, for tests of the VMM's devices: RAM, a driver that sets up queues through the registers, and
 * ways to break every rule. No KVM is involved.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vm-backend/virtio/device.h"

enum {
	GUEST_BYTES = 32 << 20,
	RING_GPA = 0x10000,             /* of queue n: RING_GPA + n * RING_STRIDE */
	RING_STRIDE = 0x4000,
	AVAIL_OFFSET = 0x1000,
	USED_OFFSET = 0x2000,
	DATA_GPA = 0x200000,
};

struct guest_queue {
	struct vring_desc *desc;
	uint16_t *avail, *used;
	uint16_t size;
};

static inline uint32_t reg_read(struct virtio_device *device, unsigned offset)
{
	uint32_t value = 0xffffffff;

	virtio_mmio_access(device, offset, &value, sizeof value, false);
	return value;
}

static inline void reg_write(struct virtio_device *device, unsigned offset, uint32_t value)
{
	virtio_mmio_access(device, offset, &value, sizeof value, true);
}

/* Resets the device and takes it to FEATURES_OK with these features beside VERSION_1. */
static inline void guest_negotiate(struct virtio_device *device, uint64_t features)
{
	features |= UINT64_C(1) << VIRTIO_F_VERSION_1;
	reg_write(device, VIRTIO_MMIO_STATUS, 0);
	reg_write(device, VIRTIO_MMIO_STATUS, 1);
	reg_write(device, VIRTIO_MMIO_STATUS, 3);
	for (unsigned i = 0; i < 2; i++) {
		reg_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		reg_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
	}
	reg_write(device, VIRTIO_MMIO_STATUS, 11);
}

static inline void guest_set_queue(struct virtio_device *device, unsigned n, uint16_t size)
{
	gpa_t at = RING_GPA + n * RING_STRIDE;

	reg_write(device, VIRTIO_MMIO_QUEUE_SEL, n);
	reg_write(device, VIRTIO_MMIO_QUEUE_NUM, size);
	reg_write(device, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)at);
	reg_write(device, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	reg_write(device, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)at + AVAIL_OFFSET);
	reg_write(device, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	reg_write(device, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)at + USED_OFFSET);
	reg_write(device, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	reg_write(device, VIRTIO_MMIO_QUEUE_READY, 1);
}

static inline struct guest_queue guest_queue(const struct vm_memory *memory, unsigned n, uint16_t size)
{
	uint8_t *at = vm_memory_at(memory, RING_GPA + n * RING_STRIDE, RING_STRIDE);
	struct guest_queue q = { (struct vring_desc *)at, (uint16_t *)(at + AVAIL_OFFSET),
		(uint16_t *)(at + USED_OFFSET), size };

	memset(at, 0, RING_STRIDE);
	return q;
}

static inline void guest_desc(struct guest_queue *q, uint16_t n, uint64_t gpa, uint32_t len, uint16_t flags,
		uint16_t next)
{
	q->desc[n] = (struct vring_desc){ gpa, len, flags, next };
}

/* Offers the chain that starts at head. */
static inline void guest_offer(struct guest_queue *q, uint16_t head)
{
	q->avail[2 + q->avail[1] % q->size] = head;
	q->avail[1]++;
}

/* Sets up everything for a device with all its queues of this size, up to DRIVER_OK. */
static inline void guest_start(struct virtio_device *device, const struct vm_memory *memory, struct guest_queue *queues,
		uint16_t size, uint64_t features)
{
	guest_negotiate(device, features);
	for (unsigned i = 0; i < device->n_queues; i++) {
		queues[i] = guest_queue(memory, i, size);
		guest_set_queue(device, i, size);
	}
	reg_write(device, VIRTIO_MMIO_STATUS, 15);
}

/* Serves a queue as its I/O thread would. */
static inline void guest_kick(struct virtio_device *device, unsigned queue)
{
	device->kicks[queue].ready(&device->kicks[queue], 0);
}

static inline bool guest_broken(struct virtio_device *device)
{
	return reg_read(device, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

#endif
