/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-fs: FUSE over virtqueues. Two queues, one of them for FORGET alone, which must not wait for anything; here one
 * thread serves both in turn. A chain is a request (out) and the room for its answer (in); fs/ does the rest.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "vm-backend/virtio/fs.h"

enum { QUEUE_PRIORITY, QUEUE_REQUESTS, QUEUES };

static struct virtio_fs *fs_device(struct virtio_device *device)
{
	return (struct virtio_fs *)((char *)device - offsetof(struct virtio_fs, device));
}

static int64_t handle(struct virtio_device *device, struct virtq_chain *chain)
{
	struct virtio_fs *fs = fs_device(device);

	if (!fs->server)
		return -EPROTO;
	if (fs->reset)
		fs_server_reset(fs->server);
	fs->reset = false;
	return fs_server_request(fs->server, chain->iov, chain->n_out, chain->out_bytes, chain->iov + chain->n_out,
			chain->n_in, chain->in_bytes);
}

static void serve(struct virtio_device *device, unsigned queue)
{
	virtio_serve_all(device, queue, handle);
}

static void reset(struct virtio_device *device)
{
	fs_device(device)->reset = true; /* this is a vCPU's thread; the server belongs to ours */
}

static const struct virtio_ops fs_ops = { .name = "virtio-fs", .id = VIRTIO_ID_FS, .serve = serve, .reset = reset };

void virtio_fs_init(struct virtio_fs *fs, const struct vm_memory *memory, const char *tag)
{
	memset(&fs->config, 0, sizeof fs->config);
	memcpy(fs->config.tag, tag, strnlen(tag, sizeof fs->config.tag)); /* the rest is NULs; none ends a full one */
	fs->config.num_request_queues = QUEUES - 1;
	fs->server = NULL;
	fs->reset = false;
	fs->device = (struct virtio_device){
		.ops = &fs_ops,
		.n_queues = QUEUES,
		.queue_max = VIRTQ_MAX_SIZE,
		.fast_queues = 1 << QUEUE_REQUESTS,
		.config = &fs->config,
		.config_bytes = sizeof fs->config,
	};
	virtio_device_init(&fs->device, memory);
}
