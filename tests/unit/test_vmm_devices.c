/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's registers, and the devices behind it, driven as a guest would and as none should. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "tests/unit/vmm_guest.h"
#include "vm-backend/virtio/balloon.h"
#include "vm-backend/virtio/block.h"
#include "vm-backend/virtio/console.h"
#include "vm-backend/virtio/rng.h"

static struct vm_memory memory;
static struct guest_queue queues[VIRTIO_MAX_QUEUES];

enum { SIZE = 16, DISK_SECTORS = 64 };

static void test_registers(void)
{
	static struct virtio_rng rng;
	struct virtio_device *d = &rng.device;
	uint16_t half = 0;

	virtio_rng_init(&rng, &memory);
	ok(reg_read(d, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976 &&
			reg_read(d, VIRTIO_MMIO_VERSION) == 2,
		"it is virtio 2");
	virtio_mmio_access(d, VIRTIO_MMIO_STATUS, &half, 2, true);
	ok(reg_read(d, VIRTIO_MMIO_STATUS) == 0, "a 16-bit write to a register does nothing");
	reg_write(d, VIRTIO_MMIO_STATUS, 4);
	ok(reg_read(d, VIRTIO_MMIO_STATUS) == 0, "DRIVER_OK cannot come first");
	reg_write(d, VIRTIO_MMIO_STATUS, 1);
	reg_write(d, VIRTIO_MMIO_STATUS, 3);
	reg_write(d, VIRTIO_MMIO_STATUS, 11);
	ok(reg_read(d, VIRTIO_MMIO_STATUS) == 3, "without VERSION_1 there is no FEATURES_OK");
	guest_negotiate(d, UINT64_C(1) << 50);
	ok(reg_read(d, VIRTIO_MMIO_STATUS) == 3, "nor with a feature that was not offered");
	guest_negotiate(d, 0);
	ok(reg_read(d, VIRTIO_MMIO_STATUS) == 11, "else there is");
	reg_write(d, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	ok(d->driver_features == UINT64_C(1) << VIRTIO_F_VERSION_1, "features are fixed then");
	reg_write(d, VIRTIO_MMIO_QUEUE_SEL, 7777);
	reg_write(d, VIRTIO_MMIO_QUEUE_NUM, 8);
	reg_write(d, VIRTIO_MMIO_QUEUE_READY, 1);
	ok(reg_read(d, VIRTIO_MMIO_QUEUE_NUM_MAX) == 0, "a queue that does not exist has no size");
	guest_set_queue(d, 0, 4096);
	ok(reg_read(d, VIRTIO_MMIO_QUEUE_READY) == 0,
		"a queue that is too large does not become ready");
	(void)guest_queue(&memory, 0, SIZE);
	guest_set_queue(d, 0, SIZE);
	ok(reg_read(d, VIRTIO_MMIO_QUEUE_READY) == 1, "a good one does");
	reg_write(d, VIRTIO_MMIO_QUEUE_NUM, 4);
	reg_write(d, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xffff0000);
	ok(d->queues[0].size == SIZE && d->queues[0].desc_gpa == RING_GPA, "and is frozen");
	reg_write(d, VIRTIO_MMIO_STATUS, 15);
	reg_write(d, VIRTIO_MMIO_QUEUE_READY, 0);
	ok(reg_read(d, VIRTIO_MMIO_QUEUE_READY) == 1,
		"also against being taken away while the driver runs");
	reg_write(d, VIRTIO_MMIO_STATUS, 0);
	ok(reg_read(d, VIRTIO_MMIO_QUEUE_READY) == 0 && d->driver_features == 0,
		"a reset undoes it all");
	for (unsigned offset = 0; offset < VIRTIO_WINDOW_BYTES; offset += 4) {
		reg_write(d, offset, 0xffffffff);
		(void)reg_read(d, offset); /* must only survive */
	}
	ok(1, "writing all-ones everywhere does no harm");
}

static void test_rng(void)
{
	static struct virtio_rng rng;
	struct virtio_device *d = &rng.device;
	static const uint8_t zeros[64];

	virtio_rng_init(&rng, &memory);
	guest_start(d, &memory, queues, SIZE, 0);
	memset(vm_memory_at(&memory, DATA_GPA, 128), 0, 128);
	guest_desc(&queues[0], 0, DATA_GPA, 64, VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[0], 0);
	guest_kick(d, 0);
	ok(queues[0].used[1] == 1 && queues[0].used[4] == 64,
		"64 random bytes were asked for and told");
	ok(memcmp(vm_memory_at(&memory, DATA_GPA, 64), zeros, 64) != 0, "they are there");
	ok(!memcmp(vm_memory_at(&memory, DATA_GPA + 64, 64), zeros, 64), "and no more");
	ok(reg_read(d, VIRTIO_MMIO_INTERRUPT_STATUS) == VIRTIO_MMIO_INT_VRING, "with an interrupt");
	reg_write(d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	ok(reg_read(d, VIRTIO_MMIO_INTERRUPT_STATUS) == 0, "that can be acknowledged");
	guest_offer(&queues[0], SIZE + 5);
	guest_kick(d, 0);
	ok(guest_broken(d), "a bad head breaks the device");
	guest_start(d, &memory, queues, SIZE, 0);
	ok(!guest_broken(d), "a reset mends it");
}

static void test_balloon(void)
{
	static struct virtio_balloon balloon;
	struct virtio_device *d = &balloon.device;
	struct queue_counters counters = { 0 };
	const uint64_t page = 4096;
	uint8_t *at = vm_memory_at(&memory, DATA_GPA, 4 * page);
	uint64_t returned = 0;

	virtio_balloon_init(&balloon, &memory);
	balloon.returned_bytes = &returned;
	d->queues[2].counters = &counters;
	guest_start(d, &memory, queues, SIZE, d->features);
	ok(d->driver_features >> VIRTIO_BALLOON_F_REPORTING & 1, "a balloon offers to be told of free pages");
	memset(at, 0x5a, 4 * page);
	guest_desc(&queues[2], 0, DATA_GPA + page, (uint32_t)page, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	guest_desc(&queues[2], 1, DATA_GPA + 2 * page + 100, (uint32_t)(2 * page - 200), VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[2], 0);
	guest_kick(d, 2);
	ok(queues[2].used[1] == 1 && queues[2].used[4] == 0, "a report is answered");
	ok(at[page] == 0 && at[2 * page - 1] == 0 && returned == page, "its page is given back");
	ok(counters.notifications == 1 && counters.requests == 1 && counters.descriptors == 2 &&
			counters.read_bytes == 0 && counters.written_bytes == 0 && counters.interrupts == 1,
		"all of it is counted");
	ok(at[0] == 0x5a && at[2 * page] == 0x5a && at[4 * page - 1] == 0x5a, "and no other, nor a part of one");
	guest_desc(&queues[2], 0, DATA_GPA, (uint32_t)page, 0, 0);
	guest_offer(&queues[2], 0);
	guest_kick(d, 2);
	ok(at[0] == 0x5a && queues[2].used[1] == 2, "what the device may only read is not free");
	guest_desc(&queues[0], 0, DATA_GPA, 8, 0, 0);
	guest_offer(&queues[0], 0);
	guest_kick(d, 0);
	ok(at[0] == 0x5a && queues[0].used[1] == 1, "pages that nobody asked for stay the guest's");
	guest_desc(&queues[2], 0, GUEST_BYTES, (uint32_t)page, VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[2], 0);
	guest_kick(d, 2);
	ok(guest_broken(d), "a report of what is no memory breaks the device");
}

/* One request: header, data, status. Returns the status byte, or 0xee if there is no answer. */
static uint8_t request(
	struct virtio_block *block, uint32_t type, uint64_t sector, uint32_t bytes, bool data_in)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	struct guest_queue *q = &queues[0];
	uint8_t *status = vm_memory_at(&memory, DATA_GPA, 4096);
	uint16_t used = q->used[1];

	memcpy(status, &header, sizeof header);
	status += 100;
	*status = 0xee;
	guest_desc(q, 0, DATA_GPA, sizeof header, VRING_DESC_F_NEXT, bytes ? 1 : 2);
	guest_desc(q, 1, DATA_GPA + 4096, bytes,
		VRING_DESC_F_NEXT | (data_in ? VRING_DESC_F_WRITE : 0), 2);
	guest_desc(q, 2, DATA_GPA + 100, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(q, 0);
	guest_kick(&block->device, 0);
	return q->used[1] == used ? 0xee : *status;
}

static void test_block(const char *path)
{
	static struct virtio_block block;
	uint8_t *data = vm_memory_at(&memory, DATA_GPA + 4096, 8192), sector[512];
	struct virtio_blk_discard_write_zeroes *range =
		(struct virtio_blk_discard_write_zeroes *)data;
	struct queue_counters counters = { 0 };
	struct error err;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ok(virtio_block_init(&block, &memory, "/dev/null", false, "vda", &err) == -EINVAL,
		"a device without blocks: %s", err.message);
	ok(virtio_block_init(&block, &memory, path, false, "vda", &err) == 0,
		"a file becomes a disk");
	guest_start(&block.device, &memory, queues, SIZE, 1 << VIRTIO_BLK_F_FLUSH);
	memset(data, 'x', 1024);
	ok(request(&block, VIRTIO_BLK_T_OUT, 3, 1024, false) == VIRTIO_BLK_S_OK,
		"two sectors are written");
	ok(pread(fd, sector, 512, 4 * 512) == 512 && sector[0] == 'x' && sector[511] == 'x',
		"to where they belong");
	memset(data, 0, 1024);
	ok(request(&block, VIRTIO_BLK_T_IN, 4, 512, true) == VIRTIO_BLK_S_OK && data[511] == 'x' &&
			data[512] == 0,
		"one is read");
	ok(request(&block, VIRTIO_BLK_T_FLUSH, 0, 0, false) == VIRTIO_BLK_S_OK, "a flush");
	ok(request(&block, VIRTIO_BLK_T_GET_ID, 0, 20, true) == VIRTIO_BLK_S_OK &&
			!strcmp((char *)data, "vda"),
		"its name");
	ok(request(&block, 4711, 0, 512, true) == VIRTIO_BLK_S_UNSUPP,
		"an unknown request is not supported");
	ok(request(&block, VIRTIO_BLK_T_IN, DISK_SECTORS, 512, true) == VIRTIO_BLK_S_IOERR,
		"no sector after the end");
	ok(request(&block, VIRTIO_BLK_T_IN, DISK_SECTORS - 1, 1024, true) == VIRTIO_BLK_S_IOERR,
		"nor over it");
	ok(request(&block, VIRTIO_BLK_T_OUT, UINT64_MAX, 512, false) == VIRTIO_BLK_S_IOERR,
		"nor at the last number");
	ok(request(&block, VIRTIO_BLK_T_OUT, UINT64_C(1) << 55, 512, false) == VIRTIO_BLK_S_IOERR,
		"nor where the offset wraps");
	ok(request(&block, VIRTIO_BLK_T_IN, 0, 100, true) == VIRTIO_BLK_S_IOERR,
		"no part of a sector");
	*range = (struct virtio_blk_discard_write_zeroes){ .sector = 3, .num_sectors = 2 };
	ok(request(&block, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof *range, false) !=
			VIRTIO_BLK_S_IOERR,
		"zeroes are written");
	*range = (struct virtio_blk_discard_write_zeroes){ .sector = 4, .num_sectors = 1 };
	memset(sector, 'x', sizeof sector);
	ok(pwrite(fd, sector, 512, 3 * 512) == 512 && pwrite(fd, sector, 512, 4 * 512) == 512 &&
			request(&block, VIRTIO_BLK_T_DISCARD, 0, sizeof *range, false) == VIRTIO_BLK_S_OK &&
			pread(fd, sector, 512, 4 * 512) == 512 && sector[0] == 0 && sector[511] == 0 &&
			pread(fd, sector, 512, 3 * 512) == 512 && sector[511] == 'x',
		"what is discarded is gone, and nothing beside it");
	*range = (struct virtio_blk_discard_write_zeroes){ .sector = 4, .num_sectors = 0 };
	ok(request(&block, VIRTIO_BLK_T_DISCARD, 0, sizeof *range, false) == VIRTIO_BLK_S_OK,
		"no sectors to discard are no error");
	*range = (struct virtio_blk_discard_write_zeroes){ .sector = 4, .num_sectors = 1, .flags = 1 };
	ok(request(&block, VIRTIO_BLK_T_DISCARD, 0, sizeof *range, false) == VIRTIO_BLK_S_IOERR,
		"a discard has no flags");
	*range = (struct virtio_blk_discard_write_zeroes){ .sector = DISK_SECTORS - 1,
		.num_sectors = 2 };
	ok(request(&block, VIRTIO_BLK_T_DISCARD, 0, sizeof *range, false) == VIRTIO_BLK_S_IOERR,
		"no discard over the end");
	ok(!guest_broken(&block.device), "all these are mere errors");
	ok(virtio_block_wait_ms(&block) == -1, "without a rate its thread waits for events alone");
	block.device.queues[0].counters = &counters;
	virtio_block_limit(&block, (const uint64_t[VM_RATES]){ [VM_READ_BYTES] = 1 });
	ok(request(&block, VIRTIO_BLK_T_IN, 0, 512, true) == VIRTIO_BLK_S_OK, "with one, a request is taken");
	ok(request(&block, VIRTIO_BLK_T_IN, 0, 512, true) == 0xee, "the next is not, until the first is paid for");
	ok(virtio_block_wait_ms(&block) == 60000, "its thread is told to look again");
	virtio_block_limit(&block, (const uint64_t[VM_RATES]){ 0 });
	guest_kick(&block.device, 0);
	ok(*(uint8_t *)vm_memory_at(&memory, DATA_GPA + 100, 1) == VIRTIO_BLK_S_OK,
		"and then it is answered");
	ok(counters.requests == 2 && counters.throttled == 1, "one of two is counted as held back: %ju of %ju",
			(uintmax_t)counters.throttled, (uintmax_t)counters.requests);
	ok(request(&block, VIRTIO_BLK_T_IN, 0, 512, true) == VIRTIO_BLK_S_OK && counters.throttled == 1,
		"and none without a rate");
	guest_desc(&queues[0], 0, DATA_GPA, 8, VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[0], 0);
	guest_kick(&block.device, 0);
	ok(guest_broken(&block.device), "a request without a header breaks the device");
	virtio_block_release(&block);

	ok(virtio_block_init(&block, &memory, path, true, "vdb", &err) == 0, "read-only");
	guest_start(&block.device, &memory, queues, SIZE, 0);
	ok(request(&block, VIRTIO_BLK_T_OUT, 0, 512, false) == VIRTIO_BLK_S_IOERR, "writing fails");
	ok(request(&block, VIRTIO_BLK_T_DISCARD, 0, 16, false) == VIRTIO_BLK_S_IOERR,
		"discarding too");
	virtio_block_release(&block);
	close(fd);
}

enum { CONTROL_IN = 2, CONTROL_OUT = 3, AGENT_IN = 4, AGENT_OUT = 5 };

static void control(struct virtio_console *c, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control message = { id, event, value };

	memcpy(vm_memory_at(&memory, DATA_GPA, 64), &message, sizeof message);
	guest_desc(&queues[CONTROL_OUT], 0, DATA_GPA, sizeof message, 0, 0);
	guest_offer(&queues[CONTROL_OUT], 0);
	guest_kick(&c->device, CONTROL_OUT);
}

static bool heard(unsigned n, uint32_t id, uint16_t event, const char *text)
{
	const struct virtio_console_control *message =
		vm_memory_at(&memory, DATA_GPA + 0x1000 + n * 64, 64);

	return queues[CONTROL_IN].used[1] > n && message->id == id && message->event == event &&
	       (!text || !memcmp(message + 1, text, strlen(text)));
}

static void test_console(void)
{
	static struct virtio_console c;
	static char big[1 << 20];
	int sock[2];
	char *data = vm_memory_at(&memory, DATA_GPA + 0x10000, 0x10000), buf[64] = "";
	unsigned rounds = 0;

	ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0, "a socket");
	virtio_console_init(&c, &memory, sock[1], -1);
	guest_start(&c.device, &memory, queues, SIZE, 1 << VIRTIO_CONSOLE_F_MULTIPORT);
	for (uint16_t i = 0; i < 4; i++) {
		guest_desc(&queues[CONTROL_IN], i, DATA_GPA + 0x1000 + i * 64, 64,
			VRING_DESC_F_WRITE, 0);
		guest_offer(&queues[CONTROL_IN], i);
	}
	control(&c, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ok(heard(0, 1, VIRTIO_CONSOLE_PORT_ADD, NULL), "port 1 is announced");
	control(&c, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	ok(heard(1, 1, VIRTIO_CONSOLE_PORT_NAME, VIRTIO_CONSOLE_AGENT_PORT), "it has its name");
	ok(heard(2, 1, VIRTIO_CONSOLE_PORT_OPEN, NULL), "and is open on our side");
	ok(queues[CONTROL_IN].used[1] == 3, "nothing else is said");

	guest_desc(&queues[AGENT_IN], 0, DATA_GPA + 0x10000, 32, VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[AGENT_IN], 0);
	ok(write(sock[0], "hello", 5) == 5, "the host speaks");
	guest_kick(&c.device, AGENT_IN);
	ok(queues[AGENT_IN].used[1] == 0,
		"nothing is sent to a port that the guest has not opened");
	control(&c, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	ok(queues[AGENT_IN].used[1] == 1 && queues[AGENT_IN].used[4] == 5 &&
			!memcmp(data, "hello", 5),
		"then it is");
	ok(write(sock[0], "again", 5) == 5, "the host speaks on");
	guest_kick(&c.device, AGENT_IN);
	ok(queues[AGENT_IN].used[1] == 1, "without a buffer it stays in the socket");
	guest_offer(&queues[AGENT_IN], 0);
	guest_kick(&c.device, AGENT_IN);
	ok(queues[AGENT_IN].used[1] == 2 && !memcmp(data, "again", 5), "until there is one");

	memcpy(data, "from the guest", 14);
	guest_desc(&queues[AGENT_OUT], 0, DATA_GPA + 0x10000, 14, 0, 0);
	guest_offer(&queues[AGENT_OUT], 0);
	guest_kick(&c.device, AGENT_OUT);
	ok(read(sock[0], buf, sizeof buf) == 14 && !memcmp(buf, data, 14), "the guest speaks");
	guest_desc(&queues[AGENT_OUT], 0, DATA_GPA, 0x10000, 0, 0);
	while (!c.is_sending && rounds++ < 1000) {
		guest_offer(&queues[AGENT_OUT], 0);
		guest_kick(&c.device, AGENT_OUT);
	}
	ok(c.is_sending && (uint16_t)(queues[AGENT_OUT].avail[1] - queues[AGENT_OUT].used[1]) == 1,
		"a full socket leaves a request unanswered");
	ok(!virtio_console_drain(&c), "so not all is passed on");
	while (read(sock[0], big, sizeof big) > 0 && !virtio_console_drain(&c))
		;
	ok(!c.is_sending && queues[AGENT_OUT].avail[1] == queues[AGENT_OUT].used[1],
		"room in the socket answers it");
	close(sock[0]);
	guest_offer(&queues[AGENT_IN], 0);
	guest_kick(&c.device, AGENT_IN);
	ok(c.agent_closed && heard(3, 1, VIRTIO_CONSOLE_PORT_OPEN, NULL),
		"the guest hears that the host is gone");
	guest_offer(&queues[AGENT_OUT], 0);
	guest_kick(&c.device, AGENT_OUT);
	ok(queues[AGENT_OUT].avail[1] == queues[AGENT_OUT].used[1],
		"and what it says then vanishes");
	close(sock[1]);
}

/* The other processor of a guest that offers one empty request after the other while the device serves them. */
static int begun, enough;

static void *offer_forever(void *arg)
{
	struct guest_queue *q = arg;

	__atomic_store_n(&begun, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED))
		__atomic_store_n(&q->avail[1],
			(uint16_t)(__atomic_load_n(&q->used[1], __ATOMIC_RELAXED) + SIZE / 2),
			__ATOMIC_RELAXED);
	return NULL;
}

static void test_console_turns(void)
{
	static struct virtio_console c;
	enum { TURN = 1024 };
	uint16_t most = 0;
	pthread_t other;
	int sock[2];

	ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0, "a socket");
	virtio_console_init(&c, &memory, sock[1], -1);
	guest_start(&c.device, &memory, queues, SIZE, 1 << VIRTIO_CONSOLE_F_MULTIPORT);
	guest_desc(&queues[AGENT_OUT], 0, DATA_GPA, 0, 0, 0);
	queues[AGENT_OUT].avail[1] = SIZE / 2;
	ok(pthread_create(&other, NULL, offer_forever, &queues[AGENT_OUT]) == 0,
		"another processor");
	while (!__atomic_load_n(&begun, __ATOMIC_RELAXED))
		;
	alarm(60); /* the end of this program if a kick has none */
	for (unsigned i = 0; i < 300; i++) {
		uint16_t before = queues[AGENT_OUT].used[1], served;

		guest_kick(&c.device, AGENT_OUT);
		served = (uint16_t)(queues[AGENT_OUT].used[1] - before);
		most = served > most ? served : most;
	}
	alarm(0);
	ok(most > 0 && most <= TURN && !guest_broken(&c.device),
		"a guest without end holds the thread for %u requests", most);
	__atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
	pthread_join(other, NULL);
	close(sock[0]);
	close(sock[1]);
}

int main(void)
{
	char path[] = "/tmp/bivalve-test-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, DISK_SECTORS * 512 + 100) < 0 ||
		vm_memory_map(&memory, GUEST_BYTES, NULL) < 0)
		return 1;
	close(fd);
	test_registers();
	test_rng();
	test_balloon();
	test_block(path);
	test_console();
	test_console_turns();
	unlink(path);
	vm_memory_release(&memory);
	return tap_done();
}
