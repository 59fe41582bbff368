/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_BLOCK_H
#define BIVALVE_VIRTIO_BLOCK_H

#include <linux/virtio_blk.h>

#include "vm-backend/engine.h"
#include "vm-backend/rate.h"
#include "vm-backend/virtio/device.h"

/* A disk (virtio 1.2, section 5.2) on a file or block device. */
struct virtio_block {
	struct virtio_device device;
	struct virtio_blk_config config;
	int fd;
	bool read_only;
	uint64_t bytes;         /* a multiple of 512; fixed for the life of the machine */
	char serial[VIRTIO_BLK_ID_BYTES];
	struct rate rates[VM_RATES]; /* of the thread that serves it */
	uint64_t held_until_ns; /* no request is taken before; 0: none waits */
	uint64_t held_since_ns; /* since when; 0: a request was taken or looked for since */
	uint64_t late_since_ns; /* the same for the request that is taken next; 0: nothing was in its way */
	/* With the device's lock: requests that were taken and not answered; who waits until there are none. */
	unsigned under_way, settling;
	pthread_cond_t settled;
	unsigned n_workers;     /* threads beside the first; 0: no pool */
	struct io_source more;  /* wakes one of the pool: there are requests that nobody has taken */
};

/*
 * Threads of a pool, the first included: as many requests go to the file at once. A limit on rates and a pool exclude
 * each other: who has to wait need not be quick.
 */
enum { VIRTIO_BLOCK_POOL = 4 };

/* One more thread of a disk's pool: it serves loop. */
struct virtio_block_worker {
	struct io_loop loop;
	struct io_source kick;
};

/*
 * Opens path, read-only if so asked. name is the serial number ("vda"). Returns 0 or -errno; err names the file.
 * Only the serving threads touch fd from then on.
 */
int virtio_block_init(struct virtio_block *block, const struct vm_memory *memory, const char *path, bool read_only,
		const char *name, struct error *err);
/* Serves the queue from loop, in the first thread; so many workers are to follow, by virtio_block_attach_worker. */
int virtio_block_attach(struct virtio_block *block, struct io_loop *loop, unsigned workers, struct error *err);
int virtio_block_attach_worker(struct virtio_block *block, struct virtio_block_worker *worker, struct error *err);
/* From now on it keeps to these. */
void virtio_block_limit(struct virtio_block *block, const uint64_t rates[VM_RATES]);
/* For the serving thread: how long it may wait for events before virtio_block_resume(); -1: for ever. */
int virtio_block_wait_ms(const struct virtio_block *block);
/* Has the queue looked at again once a rate allows it. */
void virtio_block_resume(struct virtio_block *block);
void virtio_block_release(struct virtio_block *block);

#endif
