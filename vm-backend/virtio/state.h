/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_STATE_H
#define BIVALVE_VIRTIO_STATE_H

#include "vm-backend/virtio/device.h"

/* What is saved of a virtio device: its registers, its queues, and a few bytes of its own. Little-endian. */
struct virtio_queue_state {
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint16_t size, next_avail, next_used, signalled;
	uint32_t ready, zero;
};

struct virtio_state {
	uint32_t id, n_queues;          /* these five must be those of the device that goes on */
	uint64_t features;
	uint32_t config_crc, queue_max;
	uint64_t driver_features;
	uint32_t status, device_features_sel, driver_features_sel, queue_sel, interrupt_status, zero;
	struct virtio_queue_state queues[VIRTIO_MAX_QUEUES];
	uint8_t own[VIRTIO_OWN_STATE];
};

/* While vCPUs stand still, with the device's lock. -EOPNOTSUPP: it is a kind that cannot be saved; -EBUSY: not now. */
int virtio_state_save(struct virtio_device *device, struct virtio_state *ret, struct error *err);
/*
 * Before anything serves the device. The state may be anybody's: rings are checked as those of a driver are.
 * -EINVAL: it is another device's, or not one's.
 */
int virtio_state_restore(struct virtio_device *device, const struct virtio_state *state, struct error *err);
/* Once all of the machine is restored: serves what was queued, and repeats an interrupt that may have been lost. */
void virtio_state_restored(struct virtio_device *device);

#endif
