/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk with a pool of threads: requests are answered beside each other, and whoever resets or saves the device waits
 * for those under way. A request is held up by a page of the guest's that is not there yet (userfaultfd(2)).
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"
#include "tests/unit/vmm_guest.h"
#include "vm-backend/virtio/block.h"
#include "vm-backend/virtio/state.h"

enum { SIZE = 64, SECTOR = 512, PAGE = 4096, SECTORS = 64, ROUNDS = 2000, AT_ONCE = SIZE / 4, HANG_SECONDS = 120 };

#define SLOW_GPA UINT64_C(0x1000000)

static struct vm_memory memory;
static struct virtio_block block;
static struct guest_queue queue;
static struct virtio_block_worker workers[VIRTIO_BLOCK_POOL - 1];
static struct io_loop first;

static void *serve(void *loop)
{
	for (;;)
		io_loop_turn(loop, -1);
	return NULL;
}

static void start_pool(const char *path)
{
	struct error err;
	pthread_t id;
	int r = virtio_block_init(&block, &memory, path, false, "vda", &err);

	if (r == 0)
		r = io_loop_init(&first, &err);
	if (r == 0)
		r = virtio_block_attach(&block, &first, ARRAY_LEN(workers), &err);
	for (size_t i = 0; i < ARRAY_LEN(workers) && r == 0; i++)
		r = virtio_block_attach_worker(&block, &workers[i], &err);
	if (r < 0 || pthread_create(&id, NULL, serve, &first))
		abort();
	for (size_t i = 0; i < ARRAY_LEN(workers); i++)
		if (pthread_create(&id, NULL, serve, &workers[i].loop))
			abort();
}

static uint8_t *slot(unsigned n)
{
	return vm_memory_at(&memory, DATA_GPA + n * UINT64_C(2) * PAGE, PAGE);
}

/* Offers request n: a read of one sector to gpa. */
static void offer(unsigned n, uint64_t sector, uint64_t gpa)
{
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_IN, .sector = sector };
	uint64_t at = DATA_GPA + n * UINT64_C(2) * PAGE;
	uint16_t d = (uint16_t)(4 * n);

	memcpy(slot(n), &header, sizeof header);
	slot(n)[100] = 0xee;
	guest_desc(&queue, d, at, sizeof header, VRING_DESC_F_NEXT, d + 1);
	guest_desc(&queue, d + 1, gpa, SECTOR, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, d + 2);
	guest_desc(&queue, d + 2, at + 100, 1, VRING_DESC_F_WRITE, 0);
	queue.avail[2 + queue.avail[1] % SIZE] = d;
	__atomic_store_n(&queue.avail[1], queue.avail[1] + 1, __ATOMIC_RELEASE);
}

static uint64_t place(unsigned n)
{
	return DATA_GPA + n * UINT64_C(2) * PAGE + PAGE;
}

static void ring_bell(void)
{
	reg_write(&block.device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static uint16_t used(void)
{
	return __atomic_load_n(&queue.used[1], __ATOMIC_ACQUIRE);
}

static void await_used(uint16_t n)
{
	while (used() != n)
		sched_yield();
}

/* A number of the device's, with its lock. */
static unsigned look(const unsigned *at)
{
	unsigned n;

	pthread_mutex_lock(&block.device.lock);
	n = *at;
	pthread_mutex_unlock(&block.device.lock);
	return n;
}

static void test_many(void)
{
	unsigned wrong = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned n = 0; n < AT_ONCE; n++) {
			offer(n, (round + n) % SECTORS, place(n));
			if (n % 3 == 0) /* for some of them, and with requests that nobody rang for */
				ring_bell();
		}
		ring_bell();
		await_used((uint16_t)((round + 1) * AT_ONCE));
		for (unsigned n = 0; n < AT_ONCE; n++)
			wrong += slot(n)[100] != VIRTIO_BLK_S_OK || slot(n)[PAGE] != (round + n) % SECTORS + 1;
	}
	ok(wrong == 0 && !look(&block.under_way), "%d requests, %d at once, each answered with its own data",
			ROUNDS * AT_ONCE, AT_ONCE);
}

/* A page that nobody gets past until fill_page(). Returns the descriptor; -1: this user may not. */
static int guard_page(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range = { (uintptr_t)vm_memory_at(&memory, SLOW_GPA, PAGE), PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING };

	if (fd >= 0 && (ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static void await_fault(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	struct uffd_msg message;

	while (poll(&p, 1, -1) < 0 || read(fd, &message, sizeof message) != (ssize_t)sizeof message)
		;
}

static void fill_page(int fd)
{
	struct uffdio_zeropage page = { .range = { (uintptr_t)vm_memory_at(&memory, SLOW_GPA, PAGE), PAGE } };

	if (ioctl(fd, UFFDIO_ZEROPAGE, &page) < 0)
		abort();
}

static void forget_page(void)
{
	if (madvise(vm_memory_at(&memory, SLOW_GPA, PAGE), PAGE, MADV_DONTNEED) < 0)
		abort();
}

static void *save(void *state)
{
	pthread_mutex_lock(&block.device.lock);
	if (virtio_state_save(&block.device, state, NULL) < 0)
		abort();
	pthread_mutex_unlock(&block.device.lock);
	return NULL;
}

static void *reset(void *unused)
{
	reg_write(&block.device, VIRTIO_MMIO_STATUS, 0);
	return NULL;
}

/* Somebody who has to wait for the request that is held up. */
static void with_one_under_way(int fd, void *(*work)(void *), void *arg)
{
	pthread_t id;

	await_fault(fd);
	if (pthread_create(&id, NULL, work, arg))
		abort();
	while (!look(&block.settling))
		sched_yield();
	fill_page(fd);
	pthread_join(id, NULL);
}

static void test_held_up(int fd)
{
	struct virtio_state state;
	uint16_t before = used();

	offer(0, 1, SLOW_GPA);
	ring_bell();
	await_fault(fd);
	offer(1, 2, place(1));
	ring_bell();
	await_used((uint16_t)(before + 1));
	ok(slot(1)[100] == VIRTIO_BLK_S_OK && slot(1)[PAGE] == 3 && slot(0)[100] == 0xee,
			"a request does not wait for one that takes longer");
	fill_page(fd);
	await_used((uint16_t)(before + 2));
	ok(slot(0)[100] == VIRTIO_BLK_S_OK, "which is answered in the end");

	forget_page();
	before = used();
	offer(0, 1, SLOW_GPA);
	ring_bell();
	with_one_under_way(fd, save, &state);
	ok(state.queues[0].next_used == (uint16_t)(before + 1) &&
			state.queues[0].next_avail == state.queues[0].next_used,
			"what is under way is answered before the device is saved");
	offer(1, 2, place(1));
	ring_bell();
	await_used((uint16_t)(before + 2));
	ok(slot(1)[100] == VIRTIO_BLK_S_OK, "and it goes on afterwards");

	forget_page();
	before = used();
	offer(0, 1, SLOW_GPA);
	ring_bell();
	with_one_under_way(fd, reset, NULL);
	ok(used() == (uint16_t)(before + 1) && slot(0)[100] == VIRTIO_BLK_S_OK && !look(&block.under_way),
			"a reset waits for it: nothing is written to the guest's memory after it");
}

int main(void)
{
	char path[] = "/tmp/bivalve-test-pool.XXXXXX";
	int disk = mkostemp(path, O_CLOEXEC), fd;
	uint8_t sector[SECTOR];

	(void)alarm(HANG_SECONDS); /* a request that nobody answers */
	if (disk < 0 || vm_memory_map(&memory, GUEST_BYTES, NULL) < 0)
		abort();
	for (unsigned i = 0; i < SECTORS; i++) {
		memset(sector, (int)i + 1, sizeof sector);
		if (write(disk, sector, sizeof sector) != (ssize_t)sizeof sector)
			abort();
	}
	start_pool(path);
	(void)unlink(path);
	for (unsigned features = 0; features < 2; features++) {
		guest_start(&block.device, &memory, &queue, SIZE, features << VIRTIO_RING_F_EVENT_IDX);
		test_many();
	}
	fd = guard_page();
	if (fd < 0)
		skip("this user may not use userfaultfd(2) for what the kernel does");
	else
		test_held_up(fd);
	return tap_done();
}
