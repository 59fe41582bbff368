/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and restoring virtio devices. A device is saved between requests: with its lock held, and settled if others
 * than the lock's holder may be at work (virtio_ops.settle), nothing is under way, and
 * what the guest has queued meanwhile lies in its own memory, to be served by whoever goes on.
 *
 * An interrupt that was raised just before may not have reached the controller's saved state: it is raised again,
 * which a driver that finds nothing new ignores.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "runtime/base/crc32c.h"
#include "vm-backend/virtio/state.h"

_Static_assert(sizeof(struct virtio_queue_state) == 40, "no hidden padding");
_Static_assert(sizeof(struct virtio_state) == 56 + VIRTIO_MAX_QUEUES * 40 + VIRTIO_OWN_STATE, "nor here");

static uint32_t config_crc(const struct virtio_device *device)
{
	if (!device->config) /* a device without registers of its own */
		return crc32c(0, "", 0);
	return crc32c(0, (const uint8_t *)device->config + device->config_own_bytes,
			device->config_bytes - device->config_own_bytes);
}

int virtio_state_save(struct virtio_device *device, struct virtio_state *ret, struct error *err)
{
	if (device->ops->settle)
		device->ops->settle(device);
	*ret = (struct virtio_state){
		.id = device->ops->id,
		.n_queues = device->n_queues,
		.features = device->features,
		.config_crc = config_crc(device),
		.queue_max = device->queue_max,
		.driver_features = device->driver_features,
		.status = device->status,
		.device_features_sel = device->device_features_sel,
		.driver_features_sel = device->driver_features_sel,
		.queue_sel = device->queue_sel,
		.interrupt_status = __atomic_load_n(&device->interrupt_status, __ATOMIC_SEQ_CST),
	};
	for (unsigned i = 0; i < device->n_queues; i++) {
		const struct virtq *q = &device->queues[i];

		ret->queues[i] = (struct virtio_queue_state){ q->desc_gpa, q->avail_gpa, q->used_gpa, q->size,
			q->next_avail, q->next_used, q->signalled, q->ready, 0 };
	}
	if (device->ops->save)
		return device->ops->save(device, ret->own, err);
	return device->ops->stateless ? 0 : error_set(err, EOPNOTSUPP, "%s: cannot be saved", device->ops->name);
}

/* Only what the steps of a driver lead to. */
static bool status_possible(uint32_t status)
{
	static const uint32_t steps[] = { VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
		VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK };
	uint32_t left = status & ~(uint32_t)(VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED);

	for (size_t i = 0; i < sizeof steps / sizeof *steps && left & steps[i]; i++)
		left &= ~steps[i];
	return left == 0;
}

static int restore_queue(struct virtio_device *device, unsigned i, const struct virtio_queue_state *s)
{
	struct virtq *q = &device->queues[i];
	bool event_idx = virtio_has_feature(device, VIRTIO_RING_F_EVENT_IDX);

	if (s->ready > 1 || s->zero || s->size > q->max)
		return -EINVAL;
	q->size = s->size;
	q->desc_gpa = s->desc_gpa;
	q->avail_gpa = s->avail_gpa;
	q->used_gpa = s->used_gpa;
	if (!s->ready)
		return 0;
	if (virtq_activate(q, device->memory, event_idx) < 0)
		return -EINVAL;
	q->next_avail = q->counted = s->next_avail;
	q->next_used = s->next_used;
	q->signalled = s->signalled;
	return 0;
}

int virtio_state_restore(struct virtio_device *device, const struct virtio_state *state, struct error *err)
{
	const char *name = device->ops->name;

	if (state->id != device->ops->id || state->n_queues != device->n_queues ||
			state->features != device->features ||
			state->queue_max != device->queue_max || state->config_crc != config_crc(device))
		return error_set(err, EINVAL, "%s: the saved one was another, or of another size", name);
	if (!status_possible(state->status) || state->zero ||
			state->driver_features & ~virtio_device_offers(device) ||
			(device->ops->save && device->ops->restore(device, state->own) < 0))
		return error_set(err, EINVAL, "%s: in a state that no driver leads to", name);
	device->driver_features = state->driver_features;
	device->status = state->status;
	device->device_features_sel = state->device_features_sel;
	device->driver_features_sel = state->driver_features_sel;
	device->queue_sel = state->queue_sel;
	device->interrupt_status = state->interrupt_status & 3;
	for (unsigned i = 0; i < device->n_queues; i++)
		if (restore_queue(device, i, &state->queues[i]) < 0)
			return error_set(err, EINVAL, "%s: queue %u lies where no queue can", name, i);
	return 0;
}

void virtio_state_restored(struct virtio_device *device)
{
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		for (unsigned i = 0; i < device->n_queues; i++)
			io_source_kick(&device->kicks[i]);
	if (device->interrupt_status)
		irq_line_raise(&device->irq);
}
