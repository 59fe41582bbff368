/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport and the rings by themselves: a device that reads and writes every byte that a chain gives it, and
 * checks what it was promised: that it is served only while the driver is up, that a chain is within bounds, and that
 * nothing the guest does moves a queue that is ready.
 */
#include "tests/fuzz/rings.h"

enum { QUEUES = 3, CONFIG_BYTES = 24 };

static struct virtio_device device;
static const uint8_t config[CONFIG_BYTES] = { 1, 2, 3 };
static struct virtq frozen[QUEUES]; /* as they were when they were last served */

static int64_t touch(struct virtio_device *d, struct virtq_chain *chain)
{
	uint64_t sum = 0, bytes = 0;

	if (chain->n_out + chain->n_in > VIRTQ_MAX_SIZE)
		abort();
	for (unsigned i = 0; i < chain->n_out + chain->n_in; i++) {
		uint8_t *at = chain->iov[i].iov_base;
		size_t len = chain->iov[i].iov_len;

		bytes += len;
		sum += at[0] + at[len - 1];
		if (i >= chain->n_out)
			at[0] = at[len - 1] = (uint8_t)sum;
	}
	if (bytes != chain->out_bytes + chain->in_bytes)
		abort();
	return (int64_t)(chain->in_bytes & UINT32_MAX);
}

static void serve(struct virtio_device *d, unsigned queue)
{
	struct virtq *q = &d->queues[queue], *was = &frozen[queue];

	if (!virtio_queue_live(d, queue))
		abort();
	if (was->desc && (was->desc != q->desc || was->avail != q->avail || was->used != q->used ||
			was->size != q->size || was->event_idx != q->event_idx))
		abort();
	*was = *q;
	virtio_serve_all(d, queue, touch);
}

/* The one way to other queues. */
static void reset(struct virtio_device *d)
{
	memset(frozen, 0, sizeof frozen);
}

static const struct virtio_ops ops = { .name = "stub", .id = 42, .serve = serve, .reset = reset };

static struct virtio_device *start(uint8_t pick)
{
	memset(frozen, 0, sizeof frozen);
	device = (struct virtio_device){ .ops = &ops, .features = UINT64_C(1) << 40 | 5, .config = config,
		.config_bytes = pick & PICK_OTHER ? CONFIG_BYTES : 0, .n_queues = QUEUES, .queue_max = 16 };
	virtio_device_init(&device, &memory);
	return &device;
}

static void stop(struct virtio_device *d)
{
}

static void host_sends(uint8_t a, uint8_t b)
{
	virtio_device_signal(&device, a % QUEUES);
}
