/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-block: each request is one preadv or pwritev between the file and the guest's own pages, without a copy of
 * ours. A disk has threads of its own, so its requests never wait for the console, nor another disk: one, or a pool
 * of VIRTIO_BLOCK_POOL, which take requests from the one queue and answer them in whatever order they are done. The
 * lock is held while a request is taken and while it is answered, not between: then it counts as under way, and who
 * resets or saves the device waits until none is (settle). A flush need only cover what was answered before it came.
 *
 * Each thread of a pool listens to the queue's notifications; the kernel wakes one that has nothing to do
 * (EPOLLEXCLUSIVE). Notifications stay on while there are requests, or nobody would be woken for the next, and a thread
 * that has taken one of several wakes another.
 *
 * A request is a 16-byte header (out), data (out or in) and one status byte (the last of in). The header is copied
 * before it is looked at. Sectors are checked against the size taken at start, with no sum that wraps. The data itself
 * may change while it is written: the guest then has what it wrote.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "vm-backend/virtio/block.h"

enum {
	SECTOR = 512,
	QUEUE_SIZE = 128,
	SEG_MAX = QUEUE_SIZE - 2,       /* header and status take two of a chain's descriptors */
	MAX_DISCARD_SECTORS = 1 << 22,  /* 2 GiB */
};

static struct virtio_block *block_of(struct virtio_device *device)
{
	return (struct virtio_block *)((char *)device - offsetof(struct virtio_block, device));
}

/* Whether [sector, sector + bytes) is whole sectors inside the disk; *ret_offset in bytes. */
static bool block_range(const struct virtio_block *block, uint64_t sector, uint64_t bytes, off_t *ret_offset)
{
	uint64_t sectors = block->bytes / SECTOR;

	if (bytes % SECTOR || sector > sectors || bytes / SECTOR > sectors - sector)
		return false;
	*ret_offset = (off_t)(sector * SECTOR);
	return true;
}

/* Moves all of iov; a short transfer is resumed, an end of file inside the disk is an error. */
static int block_move(const struct virtio_block *block, struct iovec *iov, unsigned n, off_t offset, bool write)
{
	while (n > 0) {
		ssize_t moved = write ? pwritev(block->fd, iov, (int)n, offset)
				      : preadv(block->fd, iov, (int)n, offset);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved <= 0)
			return VIRTIO_BLK_S_IOERR;
		offset += moved;
		for (; n > 0 && (size_t)moved >= iov->iov_len; n--)
			moved -= (ssize_t)(iov++)->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + moved;
			iov->iov_len -= (size_t)moved;
		}
	}
	return VIRTIO_BLK_S_OK;
}

static int block_transfer(struct virtio_block *block, struct virtq_chain *chain, uint64_t sector, bool write)
{
	struct iovec iov[VIRTQ_MAX_SIZE];
	uint64_t bytes = write ? chain->out_bytes - sizeof(struct virtio_blk_outhdr) : chain->in_bytes - 1;
	off_t offset;
	unsigned n;

	if (!block_range(block, sector, bytes, &offset) || (write && block->read_only))
		return VIRTIO_BLK_S_IOERR;
	n = write ? iov_slice(iov, chain->iov, chain->n_out, sizeof(struct virtio_blk_outhdr), bytes)
		  : iov_slice(iov, chain->iov + chain->n_out, chain->n_in, 0, bytes);
	return block_move(block, iov, n, offset, write);
}

static int block_discard(struct virtio_block *block, const struct virtq_chain *chain, bool zero)
{
	struct virtio_blk_discard_write_zeroes segment;
	int mode = FALLOC_FL_KEEP_SIZE;
	off_t offset;

	if (block->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (chain->out_bytes != sizeof(struct virtio_blk_outhdr) + sizeof segment ||
			iov_read(chain->iov, chain->n_out, sizeof(struct virtio_blk_outhdr), &segment,
					sizeof segment) != sizeof segment)
		return VIRTIO_BLK_S_UNSUPP;
	if (segment.num_sectors > MAX_DISCARD_SECTORS || segment.flags & ~(zero ? 1U : 0U) ||
			!block_range(block, segment.sector, (uint64_t)segment.num_sectors * SECTOR, &offset))
		return VIRTIO_BLK_S_IOERR;
	if (segment.num_sectors == 0)
		return VIRTIO_BLK_S_OK;
	mode |= zero && !(segment.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) ? FALLOC_FL_ZERO_RANGE
									       : FALLOC_FL_PUNCH_HOLE;
	if (fallocate(block->fd, mode, offset, (off_t)segment.num_sectors * SECTOR) < 0)
		return errno == EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static int block_request(struct virtio_block *block, struct virtq_chain *chain, const struct virtio_blk_outhdr *header)
{
	switch (header->type) {
	case VIRTIO_BLK_T_IN:
		return block_transfer(block, chain, header->sector, false);
	case VIRTIO_BLK_T_OUT:
		return block_transfer(block, chain, header->sector, true);
	case VIRTIO_BLK_T_FLUSH:
		return block->read_only || fdatasync(block->fd) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	case VIRTIO_BLK_T_GET_ID:
		if (chain->in_bytes - 1 < sizeof block->serial)
			return VIRTIO_BLK_S_IOERR;
		(void)iov_write(chain->iov + chain->n_out, chain->n_in, 0, block->serial, sizeof block->serial);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
		return block_discard(block, chain, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return block_discard(block, chain, true);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/*
 * A request is taken whenever nothing is owed, and what it costs is owed then: the next one waits. The thread goes on
 * listening meanwhile, so a reset or the saving of the machine do not wait.
 */
static void block_charge(struct virtio_block *block, bool read, uint64_t bytes)
{
	uint64_t now = clock_now_ns();

	rate_use(&block->rates[read ? VM_READ_BYTES : VM_WRITE_BYTES], bytes, now);
	rate_use(&block->rates[read ? VM_READ_OPS : VM_WRITE_OPS], 1, now);
}

static bool block_hold(struct virtio_device *device)
{
	struct virtio_block *block = block_of(device);
	uint64_t now = clock_now_ns(), wait = 0;

	for (size_t i = 0; i < VM_RATES; i++)
		if (rate_wait_ns(&block->rates[i], now) > wait)
			wait = rate_wait_ns(&block->rates[i], now);
	block->held_until_ns = wait ? now + wait : 0;
	block->late_since_ns = wait ? 0 : block->held_since_ns;
	block->held_since_ns = !wait ? 0 : block->held_since_ns ? block->held_since_ns : now;
	return wait > 0;
}

/* Of the requests that came while nothing was taken, the first. The others wait behind it, as they always do. */
static void block_count_late(struct virtio_block *block)
{
	struct queue_counters *counters = block->device.queues[0].counters;

	if (counters && block->late_since_ns) {
		counter_add(&counters->throttled, 1);
		counter_add(&counters->throttled_us, (clock_now_ns() - block->late_since_ns) / 1000);
	}
}

void virtio_block_limit(struct virtio_block *block, const uint64_t rates[VM_RATES])
{
	for (size_t i = 0; i < VM_RATES; i++) {
		block->rates[i].per_second = rates[i];
		if (rates[i])
			block->device.hold = block_hold;
	}
}

int virtio_block_wait_ms(const struct virtio_block *block)
{
	uint64_t now, ms;

	if (!block->held_until_ns)
		return -1;
	now = clock_now_ns();
	ms = block->held_until_ns > now ? (block->held_until_ns - now) / 1000000 + 1 : 0;
	return ms < 60000 ? (int)ms : 60000;
}

void virtio_block_resume(struct virtio_block *block)
{
	if (block->held_until_ns && clock_now_ns() >= block->held_until_ns) {
		block->held_until_ns = 0;
		io_source_kick(&block->device.kicks[0]);
	}
}

/* Does what the request asks and writes its status. Returns the bytes written. */
static uint32_t block_answer(struct virtio_block *block, struct virtq_chain *chain,
		const struct virtio_blk_outhdr *header)
{
	uint8_t status = (uint8_t)block_request(block, chain, header);

	(void)iov_write(chain->iov + chain->n_out, chain->n_in, chain->in_bytes - 1, &status, 1);
	if (header->type != VIRTIO_BLK_T_IN && header->type != VIRTIO_BLK_T_GET_ID)
		return 1;
	return chain->in_bytes < UINT32_MAX ? (uint32_t)chain->in_bytes : UINT32_MAX;
}

/* Takes a request: 1; 0: there is none, or it has to wait; -EPROTO: the guest broke a rule. With the lock. */
static int block_take(struct virtio_block *block, struct virtq_chain *chain, struct virtio_blk_outhdr *ret_header)
{
	struct virtio_device *device = &block->device;
	struct virtq *q = &device->queues[0];
	int r;

	if (block->settling || !virtio_queue_live(device, 0) || (device->hold && device->hold(device)))
		return 0;
	r = virtq_pop(q, device->memory, chain);
	if (r <= 0)
		return r;
	if (iov_read(chain->iov, chain->n_out, 0, ret_header, sizeof *ret_header) != sizeof *ret_header ||
			chain->in_bytes == 0)
		return -EPROTO; /* there is not even a place for an answer */
	block_count_late(block);
	block_charge(block, ret_header->type == VIRTIO_BLK_T_IN, ret_header->type == VIRTIO_BLK_T_IN ?
			chain->in_bytes : ret_header->type == VIRTIO_BLK_T_OUT ? chain->out_bytes : 0);
	if (block->n_workers && virtq_resume_notify(q))
		io_source_kick(&block->more);
	return 1;
}

static void block_serve(struct virtio_device *device, unsigned queue)
{
	struct virtio_block *block = block_of(device);
	struct virtq *q = &device->queues[queue];
	struct virtio_blk_outhdr header;
	struct virtq_chain chain;
	int r;

	do {
		if (!block->n_workers)
			virtq_pause_notify(q);
		while ((r = block_take(block, &chain, &header)) > 0) {
			uint32_t written;

			block->under_way++;
			pthread_mutex_unlock(&device->lock);
			written = block_answer(block, &chain, &header);
			pthread_mutex_lock(&device->lock);
			virtq_push(q, chain.head, written);
			virtio_device_signal(device, queue);
			if (--block->under_way == 0)
				pthread_cond_broadcast(&block->settled);
		}
		if (r < 0)
			virtio_device_break(device);
	} while (r == 0 && !block->settling && !block->held_until_ns && virtq_resume_notify(q));
}

/* Nothing is taken meanwhile; what waits is looked at again afterwards. */
static void block_settle(struct virtio_device *device)
{
	struct virtio_block *block = block_of(device);

	if (!block->under_way)
		return;
	block->settling++;
	while (block->under_way)
		pthread_cond_wait(&block->settled, &device->lock);
	block->settling--;
	io_source_kick(&block->device.kicks[0]);
}

static const struct virtio_ops block_ops = { .name = "virtio-block", .id = VIRTIO_ID_BLOCK, .serve = block_serve,
	.settle = block_settle, .stateless = true };

/* As device.h's own, but what it counts was counted by the first thread. */
static void block_woken(struct io_source *source, uint32_t events)
{
	struct virtio_device *device = source->owner;

	pthread_mutex_lock(&device->lock);
	if (virtio_queue_live(device, 0))
		block_serve(device, 0);
	pthread_mutex_unlock(&device->lock);
}

int virtio_block_attach(struct virtio_block *block, struct io_loop *loop, unsigned workers, struct error *err)
{
	struct virtio_device *device = &block->device;
	int r;

	if (!workers)
		return virtio_device_attach(device, loop, err);
	device->kick_events = EPOLLEXCLUSIVE;
	r = virtio_device_attach(device, loop, err);
	block->more = (struct io_source){ .fd = -1, .ready = block_woken, .owner = device };
	if (r == 0)
		r = io_source_event(&block->more, loop, EPOLLEXCLUSIVE, err);
	block->n_workers = r == 0 ? workers : 0;
	return r;
}

int virtio_block_attach_worker(struct virtio_block *block, struct virtio_block_worker *worker, struct error *err)
{
	int r = io_loop_init(&worker->loop, err);

	worker->kick = (struct io_source){ .fd = block->device.kicks[0].fd, .ready = block_woken,
		.owner = &block->device };
	if (r == 0)
		r = io_loop_add(&worker->loop, &worker->kick, EPOLLIN | EPOLLEXCLUSIVE, err);
	return r == 0 ? io_loop_add(&worker->loop, &block->more, EPOLLIN | EPOLLEXCLUSIVE, err) : r;
}

static int block_size(int fd, const char *path, uint64_t *ret, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, "%s", path);
	if (S_ISREG(st.st_mode))
		*ret = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return error_set(err, EINVAL, "%s: not a disk: neither a regular file nor a block device", path);
	else if (ioctl(fd, BLKGETSIZE64, ret) < 0)
		return error_sys(err, "%s: cannot tell its size", path);
	*ret -= *ret % SECTOR;
	if (*ret == 0 || *ret > INT64_MAX)
		return error_set(err, EINVAL, "%s: not a disk: smaller than a sector", path);
	return 0;
}

int virtio_block_init(struct virtio_block *block, const struct vm_memory *memory, const char *path, bool read_only,
		const char *name, struct error *err)
{
	_cleanup_close_ int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
	uint64_t bytes;
	int r;

	if (fd < 0)
		return error_sys(err, "%s", path);
	r = block_size(fd, path, &bytes, err);
	if (r < 0)
		return r;
	block->bytes = bytes;
	block->read_only = read_only;
	memcpy(block->serial, name, strnlen(name, sizeof block->serial)); /* the rest is NULs; none ends a full one */
	block->config = (struct virtio_blk_config){
		.capacity = bytes / SECTOR,
		.seg_max = SEG_MAX,
		.blk_size = SECTOR,
		.num_queues = 1,
		.max_discard_sectors = MAX_DISCARD_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = MAX_DISCARD_SECTORS,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};
	block->device = (struct virtio_device){
		.ops = &block_ops,
		.n_queues = 1,
		.queue_max = QUEUE_SIZE,
		.fast_queues = 1,
		.config = &block->config,
		.config_bytes = sizeof block->config,
		.features = 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_BLK_SIZE |
				(read_only ? 1 << VIRTIO_BLK_F_RO
					   : 1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_DISCARD |
							1 << VIRTIO_BLK_F_WRITE_ZEROES),
	};
	virtio_device_init(&block->device, memory);
	pthread_cond_init(&block->settled, NULL);
	block->n_workers = 0;
	block->fd = steal_fd(&fd);
	return 0;
}

void virtio_block_release(struct virtio_block *block)
{
	close_cleanup(&block->fd);
	block->fd = -1;
}
