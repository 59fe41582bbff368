/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO transport, version 2 (virtio 1.2, section 4.2): the registers of a device, and when its queues are served.
 *
 * A guest may write anything at any time from any vCPU. What keeps it honest:
 *  - the status register only takes the steps of section 3.1.1 (ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK), or 0;
 *    anything else is ignored, as real hardware would;
 *  - features can be chosen only between DRIVER and FEATURES_OK, and a set we did not offer keeps FEATURES_OK off;
 *  - a queue is set up only between FEATURES_OK and DRIVER_OK, and is frozen once ready;
 *  - queues are served only after DRIVER_OK, and not after the device broke.
 * InterruptStatus is outside the lock: the guest reads it in its interrupt handler, which must not wait for disk I/O.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>

#include "vm-backend/virtio/device.h"

enum {
	MAGIC = 0x74726976,     /* "virt" */
	VERSION = 2,
	VENDOR = 0x56564942,    /* "BIVV" */
	STATUS_STEPS = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
			VIRTIO_CONFIG_S_DRIVER_OK,
	/* Requests served in one go, so that a guest that never stops cannot keep a thread from its other devices. */
	SERVE_BUDGET = 1024,
};

#define TRANSPORT_FEATURES \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC) | \
	 (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX))

uint64_t virtio_device_offers(const struct virtio_device *device)
{
	return device->features | TRANSPORT_FEATURES;
}

bool virtio_has_feature(const struct virtio_device *device, unsigned bit)
{
	return device->driver_features >> bit & 1;
}

bool virtio_queue_live(const struct virtio_device *device, unsigned queue)
{
	return (device->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)) ==
			VIRTIO_CONFIG_S_DRIVER_OK && device->queues[queue].ready;
}

static void interrupt(struct virtio_device *device, uint32_t why)
{
	__atomic_fetch_or(&device->interrupt_status, why, __ATOMIC_SEQ_CST);
	irq_line_raise(&device->irq);
}

void virtio_device_signal(struct virtio_device *device, unsigned queue)
{
	struct virtq *q = &device->queues[queue];

	if (!virtq_wants_interrupt(q))
		return;
	if (q->counters)
		counter_add(&q->counters->interrupts, 1);
	interrupt(device, VIRTIO_MMIO_INT_VRING);
}

void virtio_device_break(struct virtio_device *device)
{
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_serve_all(struct virtio_device *device, unsigned queue,
		int64_t (*handle)(struct virtio_device *device, struct virtq_chain *chain))
{
	struct virtq *q = &device->queues[queue];
	unsigned budget = SERVE_BUDGET;

	do {
		bool held;
		int r = 0;

		virtq_pause_notify(q);
		while (!(held = device->hold && device->hold(device)) &&
				(r = virtq_pop(q, device->memory, &device->chain)) > 0) {
			int64_t written = handle(device, &device->chain);

			if (written < 0) {
				r = -EPROTO;
				break;
			}
			virtq_push(q, device->chain.head, (uint32_t)written);
			virtio_device_signal(device, queue);
			if (--budget == 0) {
				io_source_kick(&device->kicks[queue]);
				return;
			}
		}
		if (r < 0)
			virtio_device_break(device);
		if (r < 0 || held)
			return;
	} while (virtq_resume_notify(q));
}

static void kicked(struct io_source *source, uint32_t events)
{
	struct virtio_device *device = source->owner;
	struct queue_counters *counters;

	pthread_mutex_lock(&device->lock);
	counters = device->queues[source->index].counters;
	if (counters)
		counter_add(&counters->notifications, 1);
	if (virtio_queue_live(device, source->index))
		device->ops->serve(device, source->index);
	pthread_mutex_unlock(&device->lock);
}

void virtio_device_init(struct virtio_device *device, const struct vm_memory *memory)
{
	device->memory = memory;
	device->irq.fd = -1;
	pthread_mutex_init(&device->lock, NULL);
	for (unsigned i = 0; i < device->n_queues; i++) {
		device->queues[i].max = device->queue_max;
		device->kicks[i] = (struct io_source){ .fd = -1, .ready = kicked, .owner = device, .index = i };
	}
}

int virtio_device_attach(struct virtio_device *device, struct io_loop *loop, struct error *err)
{
	for (unsigned i = 0; i < device->n_queues; i++) {
		int r = io_source_event(&device->kicks[i], loop, device->kick_events, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void reset(struct virtio_device *device)
{
	if (device->ops->settle)
		device->ops->settle(device);
	for (unsigned i = 0; i < device->n_queues; i++)
		virtq_reset(&device->queues[i]);
	device->driver_features = 0;
	device->device_features_sel = device->driver_features_sel = device->queue_sel = 0;
	device->status = 0;
	__atomic_store_n(&device->interrupt_status, 0, __ATOMIC_SEQ_CST);
	if (device->ops->reset)
		device->ops->reset(device);
}

/* The step the status register may take next: the lowest one not yet taken, in the order of 3.1.1. */
static uint32_t next_step(uint32_t status)
{
	static const uint32_t order[] = { VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
		VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK };

	for (size_t i = 0; i < sizeof order / sizeof *order; i++)
		if (!(status & order[i]))
			return order[i];
	return 0;
}

static void write_status(struct virtio_device *device, uint32_t value)
{
	uint32_t added = value & ~device->status;

	if (value == 0) {
		reset(device);
		return;
	}
	if (added & VIRTIO_CONFIG_S_FAILED)
		device->status |= VIRTIO_CONFIG_S_FAILED;
	/* Linux writes ACKNOWLEDGE and DRIVER one by one; several legal steps at once are as good. */
	for (uint32_t step; (step = next_step(device->status)) && (added & STATUS_STEPS & step);) {
		if (step == VIRTIO_CONFIG_S_FEATURES_OK &&
				(device->driver_features & ~(device->features | TRANSPORT_FEATURES) ||
				 !virtio_has_feature(device, VIRTIO_F_VERSION_1)))
			return;
		device->status |= step;
		if (step == VIRTIO_CONFIG_S_DRIVER_OK)
			for (unsigned i = 0; i < device->n_queues; i++)
				io_source_kick(&device->kicks[i]); /* what was queued before is not lost */
	}
}

static void set_half(uint64_t *value, bool high, uint32_t half)
{
	unsigned shift = high ? 32 : 0;

	*value = (*value & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)half << shift;
}

/* Registers of the selected queue. Frozen once ready, and outside of the set-up phase. */
static void write_queue(struct virtio_device *device, uint64_t offset, uint32_t value)
{
	struct virtq *q;

	if (device->queue_sel >= device->n_queues)
		return;
	if ((device->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)) != VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	q = &device->queues[device->queue_sel];
	if (offset == VIRTIO_MMIO_QUEUE_READY) {
		if (value == 0)
			virtq_reset(q);
		else if (!q->ready) /* a refusal shows: it reads back 0 */
			(void)virtq_activate(q, device->memory, virtio_has_feature(device, VIRTIO_RING_F_EVENT_IDX));
		return;
	}
	if (q->ready)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = value <= q->max ? (uint16_t)value : 0; /* 0 is never accepted */
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->desc_gpa, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->avail_gpa, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&q->used_gpa, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	}
}

static void write_register(struct virtio_device *device, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		device->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		device->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (device->driver_features_sel < 2 && (device->status & (VIRTIO_CONFIG_S_DRIVER |
				VIRTIO_CONFIG_S_FEATURES_OK)) == VIRTIO_CONFIG_S_DRIVER)
			set_half(&device->driver_features, device->driver_features_sel == 1, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		device->queue_sel = value;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(device, value);
		break;
	default:
		write_queue(device, offset, value);
	}
}

static uint32_t read_register(struct virtio_device *device, uint64_t offset)
{
	const struct virtq *q = device->queue_sel < device->n_queues ? &device->queues[device->queue_sel] : NULL;
	uint64_t features = device->features | TRANSPORT_FEATURES;

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return device->ops->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return device->device_features_sel > 1 ? 0 : (uint32_t)(features >> 32 * device->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? q->max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->ready;
	case VIRTIO_MMIO_STATUS:
		return device->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
		return UINT32_MAX; /* no shared memory region */
	default:
		return 0;
	}
}

/* The registers that are touched once per interrupt or kick; no lock. */
static bool fast_register(struct virtio_device *device, uint64_t offset, uint32_t *value, bool write)
{
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && !write)
		*value = __atomic_load_n(&device->interrupt_status, __ATOMIC_SEQ_CST);
	else if (offset == VIRTIO_MMIO_INTERRUPT_ACK && write)
		__atomic_fetch_and(&device->interrupt_status, ~*value, __ATOMIC_SEQ_CST);
	else if (offset == VIRTIO_MMIO_QUEUE_NOTIFY && write) {
		if (*value < device->n_queues)
			io_source_kick(&device->kicks[*value]);
	} else
		return false;
	return true;
}

void virtio_mmio_access(void *owner, uint64_t offset, void *data, unsigned len, bool write)
{
	struct virtio_device *device = owner;
	uint32_t value;

	if (offset >= VIRTIO_MMIO_CONFIG) {
		uint64_t at = offset - VIRTIO_MMIO_CONFIG;

		if (write)
			return; /* no device here has a writable field */
		memset(data, 0, len);
		if (at < device->config_bytes)
			memcpy(data, (const uint8_t *)device->config + at,
					len < device->config_bytes - at ? len : device->config_bytes - at);
		return;
	}
	if (len != sizeof value || offset % sizeof value)
		return; /* 4.2.2.2: 32 bits wide and aligned; reads stay all-ones */
	memcpy(&value, data, sizeof value);
	if (!fast_register(device, offset, &value, write)) {
		pthread_mutex_lock(&device->lock);
		if (write)
			write_register(device, offset, value);
		else
			value = read_register(device, offset);
		pthread_mutex_unlock(&device->lock);
	}
	if (!write)
		memcpy(data, &value, sizeof value);
}
