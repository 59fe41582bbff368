/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon: free page reporting. A report is a chain of buffers that the device could write to: the guest's free
 * pages, which it leaves alone until the chain is answered. They are dropped; at the guest's next touch they are fresh.
 *
 * A hostile guest can report what it uses: it then loses that, as if it had written zeroes there. The buffers were
 * checked to lie in its RAM when the chain was taken, and only whole pages within are dropped. What other devices do to
 * these pages at the same time ends in the old page or in the new one, both the guest's.
 *
 * Nobody asks for pages: num_pages stays 0. A guest that fills the inflate queue all the same is answered, and keeps
 * them.
 */
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <sys/mman.h>

#include "vm-backend/virtio/balloon.h"

enum { INFLATE, DEFLATE, REPORT, QUEUES }; /* the queues of features that are not offered do not count */
enum { QUEUE_SIZE = 32, PAGE = 4096 };

static struct virtio_balloon *balloon_of(struct virtio_device *device)
{
	return (struct virtio_balloon *)((char *)device - offsetof(struct virtio_balloon, device));
}

static int64_t drop(struct virtio_device *device, struct virtq_chain *chain)
{
	uint64_t *returned = balloon_of(device)->returned_bytes;

	for (unsigned i = chain->n_out; i < chain->n_out + chain->n_in; i++) {
		uintptr_t begin = ((uintptr_t)chain->iov[i].iov_base + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
		uintptr_t end = ((uintptr_t)chain->iov[i].iov_base + chain->iov[i].iov_len) & ~(uintptr_t)(PAGE - 1);

		if (begin < end && madvise((void *)begin, end - begin, MADV_DONTNEED) == 0 && returned)
			counter_add(returned, end - begin);
	}
	return 0; /* nothing was written */
}

static int64_t ignore(struct virtio_device *device, struct virtq_chain *chain)
{
	return 0;
}

static void serve(struct virtio_device *device, unsigned queue)
{
	virtio_serve_all(device, queue, queue == REPORT ? drop : ignore);
}

static const struct virtio_ops balloon_ops = { .name = "virtio-balloon", .id = VIRTIO_ID_BALLOON, .serve = serve,
	.stateless = true,
};

void virtio_balloon_init(struct virtio_balloon *balloon, const struct vm_memory *memory)
{
	balloon->device = (struct virtio_device){
		.ops = &balloon_ops,
		.n_queues = QUEUES,
		.queue_max = QUEUE_SIZE,
		.config = &balloon->config,
		.config_bytes = sizeof balloon->config,
		.features = 1 << VIRTIO_BALLOON_F_REPORTING,
	};
	virtio_device_init(&balloon->device, memory);
}
