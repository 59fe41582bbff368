/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_DEVICE_H
#define BIVALVE_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm-backend/bus.h"
#include "vm-backend/io_loop.h"
#include "vm-backend/irq.h"
#include "vm-backend/memory.h"
#include "vm-backend/virtio/queue.h"

/*
 * A virtio device behind the MMIO transport (virtio 1.2, section 4.2). Its registers are touched by vCPU threads, its
 * queues are served by one I/O thread; lock is held by both.
 */
enum {
	VIRTIO_MAX_QUEUES = 8,
	VIRTIO_WINDOW_BYTES = 0x1000,   /* address space per device */
	VIRTIO_OWN_STATE = 32,          /* bytes that a device may save beside its queues */
};

struct virtio_device;
struct virtio_ops {
	const char *name;               /* in messages */
	uint32_t id;                    /* virtio 1.2, section 5 */
	/* The guest kicked queue, or it may have something anew. Called with the lock, only while the driver runs. */
	void (*serve)(struct virtio_device *device, unsigned queue);
	/* Before a reset or being saved: waits until nothing is under way. With the lock. NULL: nothing ever is. */
	void (*settle)(struct virtio_device *device);
	/* Back to the state before the driver: drop what is under way. With the lock. NULL: nothing to drop. */
	void (*reset)(struct virtio_device *device);
	/*
	 * What a saved device has beside registers and queues (state.h), with the lock: -EBUSY while something is
	 * under way that cannot be saved. restore: -EINVAL for what cannot be. Neither and not stateless: it cannot be
	 * saved.
	 */
	int (*save)(struct virtio_device *device, uint8_t own[VIRTIO_OWN_STATE], struct error *err);
	int (*restore)(struct virtio_device *device, const uint8_t own[VIRTIO_OWN_STATE]);
	bool stateless;
};

struct virtio_device {
	const struct virtio_ops *ops;
	const struct vm_memory *memory;
	uint64_t features;              /* offered, beside VERSION_1 and the rings' own */
	/* Whether requests have to wait, asked before each; who says so serves the queue again later. NULL: never. */
	bool (*hold)(struct virtio_device *device);
	const void *config;             /* constant */
	size_t config_bytes;
	size_t config_own_bytes;        /* its first, which a copy of a saved device may have otherwise (state.h) */
	unsigned n_queues;
	uint16_t queue_max;
	unsigned fast_queues;           /* bit per queue worth an ioeventfd; each costs some start-up time */
	struct irq_line irq;
	struct io_source kicks[VIRTIO_MAX_QUEUES];
	uint32_t kick_events;           /* for virtio_device_attach: epoll's flags beside EPOLLIN */

	pthread_mutex_t lock;
	struct virtq queues[VIRTIO_MAX_QUEUES];
	uint64_t driver_features;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint32_t status;
	uint32_t interrupt_status;      /* atomic, without the lock */
	struct virtq_chain chain;       /* for serve */
};

/* Fills the common part: ops, n_queues, queue_max and the rest of the device's own fields are set already. */
void virtio_device_init(struct virtio_device *device, const struct vm_memory *memory);
/* Serves the queues from loop. */
int virtio_device_attach(struct virtio_device *device, struct io_loop *loop, struct error *err);

/* The registers, for bus_add. owner is the device. */
void virtio_mmio_access(void *owner, uint64_t offset, void *data, unsigned len, bool write);

/* For serve: interrupts the guest if it wants to know what was pushed. */
void virtio_device_signal(struct virtio_device *device, unsigned queue);
/* The guest broke a rule: nothing is served until it resets the device. */
void virtio_device_break(struct virtio_device *device);
/* Whether the driver is up, the device not broken and the queue set up. */
bool virtio_queue_live(const struct virtio_device *device, unsigned queue);
/* All features that the guest is offered. */
uint64_t virtio_device_offers(const struct virtio_device *device);
bool virtio_has_feature(const struct virtio_device *device, unsigned bit);

/*
 * Pops and answers all requests of queue: handle returns the bytes it wrote, or < 0 for a request that breaks the
 * device. Signals at the end.
 */
void virtio_serve_all(struct virtio_device *device, unsigned queue,
		int64_t (*handle)(struct virtio_device *device, struct virtq_chain *chain));

#endif
