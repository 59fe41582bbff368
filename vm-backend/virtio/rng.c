/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng: getrandom(2) into the guest's buffers. */
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/random.h>

#include "vm-backend/virtio/rng.h"

/* Per request. Linux asks for 64 bytes or less; a guest that asks for megabytes would only heat the host. */
enum { MAX_BYTES = 4096 };

static int64_t fill(struct virtio_device *device, struct virtq_chain *chain)
{
	uint8_t random[256];
	size_t done = 0;

	while (done < MAX_BYTES && done < chain->in_bytes) {
		ssize_t n = getrandom(random, sizeof random, 0);

		if (n <= 0)
			break;
		done += iov_write(chain->iov + chain->n_out, chain->n_in, done, random, (size_t)n);
	}
	explicit_bzero(random, sizeof random);
	return (int64_t)done;
}

static void serve(struct virtio_device *device, unsigned queue)
{
	virtio_serve_all(device, queue, fill);
}

static const struct virtio_ops rng_ops = { .name = "virtio-rng", .id = VIRTIO_ID_RNG, .serve = serve,
	.stateless = true };

void virtio_rng_init(struct virtio_rng *rng, const struct vm_memory *memory)
{
	rng->device = (struct virtio_device){ .ops = &rng_ops, .n_queues = 1, .queue_max = 16 };
	virtio_device_init(&rng->device, memory);
}
