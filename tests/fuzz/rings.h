/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_TESTS_RINGS_H
#define BIVALVE_TESTS_RINGS_H

/*
 * Whatever a guest writes to the registers and rings of a device, it survives. An input is a program for a hostile
 * driver: the first byte picks the device's variant and whether its queues start out properly set up; then each four
 * bytes are one step. Few random inputs would set up a queue by themselves.
 *
 * A target is a file for each device, which includes this once and defines the three functions below.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/vmm_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 8, CANARY = 0x5a };
enum step { WRITE_REGISTER, READ_WINDOW, DESCRIPTOR, AVAIL, KICK, HOST_SENDS, DATA, RESTART, STEPS };
enum { PICK_STARTED = 128, PICK_OTHER = 64, PICK_EVENT_IDX = 32 }; /* bits of the first byte */

static struct vm_memory memory;

/* Makes the device; PICK_OTHER: the other variant, if it has two. */
static struct virtio_device *start(uint8_t pick);
static void stop(struct virtio_device *device);
/* One event from the host's side of the device, of what these two bytes say. */
static void host_sends(uint8_t a, uint8_t b);

/* Values that are more often on a border than random ones. */
static uint64_t interesting(uint8_t pick, uint8_t low)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 4, 8, 11, 15, 16, 255, 0x1000, RING_GPA, DATA_GPA,
		GUEST_BYTES - 1, GUEST_BYTES, 0xd0000000, INT32_MAX, UINT32_MAX, UINT32_MAX - 15, UINT64_MAX,
		UINT64_MAX - 15, INT64_MAX };

	return values[pick % (sizeof values / sizeof *values)] + (low & 0x80 ? -(uint64_t)(low & 0x7f) : low);
}

static void do_step(struct virtio_device *device, struct guest_queue *queues, const uint8_t *in)
{
	struct guest_queue *q = &queues[in[1] % device->n_queues];
	uint8_t *text = vm_memory_at(&memory, DATA_GPA + in[1] * 16, 16), buf[8];
	uint64_t value = interesting(in[2], in[3]);

	switch (in[0] % STEPS) {
	case WRITE_REGISTER:
		reg_write(device, in[1] * 4U % VIRTIO_WINDOW_BYTES, (uint32_t)value);
		break;
	case READ_WINDOW:
		virtio_mmio_access(device, (in[1] | in[2] << 8) % (VIRTIO_WINDOW_BYTES - 8), buf, 1U << in[3] % 4,
				in[3] & 16);
		break;
	case DESCRIPTOR: /* where it is, then its length, flags and next from the same bytes */
		guest_desc(q, in[1] / 8 % SIZE, in[3] & 1 ? DATA_GPA + in[2] * 16U : value,
				in[3] & 2 ? in[2] % 64 : (uint32_t)value, in[3] >> 2 & 7, in[3] >> 5);
		break;
	case AVAIL:
		if (in[3] & 1)
			guest_offer(q, in[2] % (SIZE + 1));
		else
			q->avail[in[2] % (SIZE + 3)] = (uint16_t)value;
		break;
	case KICK:
		guest_kick(device, in[1] % device->n_queues);
		break;
	case HOST_SENDS:
		host_sends(in[2], in[3]);
		break;
	case DATA: /* headers of requests: two words */
		memcpy(text, &(uint32_t){ in[2] % 16 }, 4);
		memcpy(text + 8, &value, 8);
		break;
	case RESTART:
		if (in[1] > 200)
			guest_start(device, &memory, queues, SIZE, device->features);
		break;
	}
}

/* The guest's RAM; what follows it is not the guest's: a canary. */
static uint8_t *make_memory(void)
{
	if (!memory.map) {
		(void)signal(SIGPIPE, SIG_IGN); /* as in the VMM */
		if (vm_memory_map(&memory, GUEST_BYTES + VM_HUGE_PAGE, NULL) < 0)
			abort();
		memory.regions[0].bytes = GUEST_BYTES;
	}
	memory.regions[0].host[GUEST_BYTES] = CANARY;
	return memory.regions[0].host + GUEST_BYTES;
}

/* What must hold after every step, whatever it was. */
static void check_queues(const struct virtio_device *device)
{
	for (unsigned i = 0; i < device->n_queues; i++) {
		const struct virtq *q = &device->queues[i];

		if (q->ready && (q->size == 0 || q->size > device->queue_max || q->size & (q->size - 1)))
			abort();
		if (q->ready && (!vm_memory_at(&memory, q->desc_gpa, 16U * q->size) ||
				!vm_memory_at(&memory, q->avail_gpa, 6 + 2U * q->size) ||
				!vm_memory_at(&memory, q->used_gpa, 6 + 8U * q->size)))
			abort();
	}
	if (device->status & VIRTIO_CONFIG_S_FEATURES_OK && device->driver_features & ~virtio_device_offers(device))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_queue queues[VIRTIO_MAX_QUEUES];
	struct virtio_device *device;
	const uint8_t *edge = make_memory();

	if (size < 1)
		return 0;
	device = start(data[0]);
	for (unsigned i = 0; i < device->n_queues; i++)
		queues[i] = guest_queue(&memory, i, SIZE);
	if (data[0] & PICK_STARTED)
		guest_start(device, &memory, queues, SIZE,
				device->features | (data[0] & PICK_EVENT_IDX ? 1 << VIRTIO_RING_F_EVENT_IDX : 0));
	for (size_t at = 1; at + 4 <= size; at += 4) {
		do_step(device, queues, data + at);
		check_queues(device);
	}
	for (unsigned i = 0; i < device->n_queues; i++)
		guest_kick(device, i);
	if (*edge != CANARY)
		abort();
	stop(device);
	pthread_mutex_destroy(&device->lock);
	return 0;
}

#endif
