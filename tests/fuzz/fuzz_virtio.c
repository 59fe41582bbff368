/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a guest writes to the registers and rings of its devices, they survive. An input is a program for a hostile
 * driver: the first byte picks the device and whether its queues start out properly set up; then each four bytes are
 * one step. Few random inputs would set up a queue by themselves.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/vmm_guest.h"
#include "vm-backend/virtio/balloon.h"
#include "vm-backend/virtio/block.h"
#include "vm-backend/virtio/console.h"
#include "vm-backend/virtio/net.h"
#include "vm-backend/virtio/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 8, DISK_BYTES = 64 << 10, CANARY = 0x5a };
enum step { WRITE_REGISTER, READ_WINDOW, DESCRIPTOR, AVAIL, KICK, HOST_SENDS, DATA, RESTART, STEPS };

static struct vm_memory memory;
static struct virtio_rng rng;
static struct virtio_block block;
static struct virtio_balloon balloon;
static struct virtio_console console;
static struct virtio_net net;
static struct io_loop loop;
static int sock[2] = { -1, -1 };

/* Values that are more often on a border than random ones. */
static uint64_t interesting(uint8_t pick, uint8_t low)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 4, 8, 11, 15, 16, 255, 0x1000, RING_GPA, DATA_GPA,
		GUEST_BYTES - 1, GUEST_BYTES, 0xd0000000, INT32_MAX, UINT32_MAX, UINT32_MAX - 15, UINT64_MAX,
		UINT64_MAX - 15, INT64_MAX };

	return values[pick % (sizeof values / sizeof *values)] + (low & 0x80 ? -(uint64_t)(low & 0x7f) : low);
}

static struct virtio_device *start(uint8_t pick)
{
	switch (pick % 4) {
	case 0:
		virtio_rng_init(&rng, &memory);
		return &rng.device;
	case 3:
		virtio_balloon_init(&balloon, &memory);
		return &balloon.device;
	case 1:
		if (virtio_block_init(&block, &memory, "/dev/shm/bivalve-fuzz-disk", pick & 64, "vda", NULL) < 0)
			abort();
		return &block.device;
	case 2:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sock) < 0)
			abort();
		virtio_net_init(&net, &memory, sock[1], (const uint8_t[NET_MAC_BYTES]){ 2 });
		if (io_loop_init(&loop, NULL) < 0 || virtio_net_attach(&net, &loop, NULL) < 0)
			abort();
		return &net.device;
	default:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
			abort();
		virtio_console_init(&console, &memory, sock[1],
				pick & 64 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1);
		if (io_loop_init(&loop, NULL) < 0 || virtio_console_attach(&console, &loop, NULL) < 0)
			abort();
		return &console.device;
	}
}

static void stop(struct virtio_device *device)
{
	if (device == &block.device)
		virtio_block_release(&block);
	if (device == &net.device)
		virtio_net_release(&net);
	if (device == &console.device || device == &net.device) {
		io_loop_release(&loop);
		for (unsigned i = 0; i < device->n_queues; i++)
			close(device->kicks[i].fd);
		close(sock[0]);
		close(sock[1]);
	}
	if (device == &console.device && console.log_fd >= 0)
		close(console.log_fd);
	pthread_mutex_destroy(&device->lock);
}

static void do_step(struct virtio_device *device, struct guest_queue *queues, const uint8_t *in)
{
	struct guest_queue *q = &queues[in[1] % device->n_queues];
	uint8_t *text = vm_memory_at(&memory, DATA_GPA + in[1] * 16, 16), buf[8];
	char sink[4096];
	uint64_t value = interesting(in[2], in[3]);

	switch (in[0] % STEPS) {
	case WRITE_REGISTER:
		reg_write(device, in[1] * 4U % VIRTIO_WINDOW_BYTES, (uint32_t)value);
		break;
	case READ_WINDOW:
		virtio_mmio_access(device, (in[1] | in[2] << 8) % (VIRTIO_WINDOW_BYTES - 8), buf, 1U << in[3] % 4,
				in[3] & 16);
		break;
	case DESCRIPTOR: /* where it is, then its length, flags and next from the same bytes */
		guest_desc(q, in[1] / 8 % SIZE, in[3] & 1 ? DATA_GPA + in[2] * 16U : value,
				in[3] & 2 ? in[2] % 64 : (uint32_t)value, in[3] >> 2 & 7, in[3] >> 5);
		break;
	case AVAIL:
		if (in[3] & 1)
			guest_offer(q, in[2] % (SIZE + 1));
		else
			q->avail[in[2] % (SIZE + 3)] = (uint16_t)value;
		break;
	case KICK:
		guest_kick(device, in[1] % device->n_queues);
		break;
	case HOST_SENDS:
		if (device == &console.device) {
			(void)!send(sock[0], "0123456789abcdef", in[2] % 17, MSG_DONTWAIT | MSG_NOSIGNAL);
			(void)!recv(sock[0], sink, sizeof sink, MSG_DONTWAIT);
			if (in[3] == 77)
				(void)shutdown(sock[0], SHUT_RDWR);
			console.agent.ready(&console.agent, 0xffffffff);
			(void)virtio_console_drain(&console);
		}
		if (device == &net.device) {
			const uint8_t frame[40] = { [2] = in[3] == 99, [3] = in[3] & 1 ? 14 + in[2] % 20 : in[2] };

			(void)!send(sock[0], frame, in[3] & 2 ? 4 + frame[3] % 36U : in[2] % 40U,
					MSG_DONTWAIT | MSG_NOSIGNAL);
			(void)!recv(sock[0], sink, sizeof sink, MSG_DONTWAIT);
			if (in[3] == 77)
				(void)shutdown(sock[0], SHUT_RDWR);
			net.socket.ready(&net.socket, EPOLLIN | EPOLLOUT);
		}
		break;
	case DATA: /* headers of requests: two words */
		memcpy(text, &(uint32_t){ in[2] % 16 }, 4);
		memcpy(text + 8, &value, 8);
		break;
	case RESTART:
		if (in[1] > 200)
			guest_start(device, &memory, queues, SIZE, device->features);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_queue queues[VIRTIO_MAX_QUEUES];
	struct virtio_device *device;
	const uint8_t *edge;

	if (!memory.map) {
		(void)signal(SIGPIPE, SIG_IGN); /* as in the VMM */
		int fd = open("/dev/shm/bivalve-fuzz-disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0 ||
				vm_memory_map(&memory, GUEST_BYTES + VM_HUGE_PAGE, NULL) < 0)
			abort();
		close(fd);
		memory.regions[0].bytes = GUEST_BYTES; /* what follows is not the guest's: a canary */
	}
	if (size < 1)
		return 0;
	edge = memory.regions[0].host + GUEST_BYTES;
	memory.regions[0].host[GUEST_BYTES] = CANARY;
	device = start(data[0]);
	for (unsigned i = 0; i < device->n_queues; i++)
		queues[i] = guest_queue(&memory, i, SIZE);
	if (data[0] & 128)
		guest_start(device, &memory, queues, SIZE,
				device->features | (data[0] & 32 ? 1 << VIRTIO_RING_F_EVENT_IDX : 0));
	for (size_t at = 1; at + 4 <= size; at += 4)
		do_step(device, queues, data + at);
	for (unsigned i = 0; i < device->n_queues; i++)
		guest_kick(device, i);
	if (*edge != CANARY)
		abort();
	stop(device);
	return 0;
}
