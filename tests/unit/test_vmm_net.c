/* SPDX-License-Identifier: Apache-2.0 */
/* The network card, driven as a guest would and as none should, with its cable in our hand. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "tests/unit/vmm_guest.h"
#include "vm-backend/virtio/net.h"

enum { IN, OUT, SIZE = 16, HEADER = 12, BUFFER = 64 };

static struct vm_memory memory;
static struct guest_queue queues[VIRTIO_MAX_QUEUES];
static struct virtio_net net;
static int sock[2];
static const uint8_t mac[NET_MAC_BYTES] = { 2, 1, 2, 3, 4, 5 };

static void plug(uint64_t features)
{
	ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sock) == 0, "a cable");
	virtio_net_init(&net, &memory, sock[1], mac);
	guest_start(&net.device, &memory, queues, SIZE, features);
}

static void pull(void)
{
	virtio_net_release(&net);
	close(sock[0]);
	close(sock[1]);
}

/* A frame of len bytes, each as its number says, as the host side writes it. */
static void host_sends(uint32_t len)
{
	uint8_t *data = malloc(len + 4);

	data[0] = (uint8_t)(len >> 24);
	data[1] = (uint8_t)(len >> 16);
	data[2] = (uint8_t)(len >> 8);
	data[3] = (uint8_t)len;
	for (uint32_t i = 0; i < len; i++)
		data[4 + i] = (uint8_t)(i * 7);
	ok(write(sock[0], data, len + 4) == (ssize_t)(len + 4), "the host sends %u bytes", len);
	free(data);
}

static void offer_buffer(uint16_t n, uint32_t len)
{
	guest_desc(&queues[IN], n, DATA_GPA + n * 0x10000U, len, VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[IN], n);
}

/* Whether len bytes of the frame from byte `from` on are at offset of buffer n. */
static bool holds(uint16_t n, uint32_t offset, uint32_t from, uint32_t len)
{
	const uint8_t *at = vm_memory_at(&memory, DATA_GPA + n * 0x10000U, 0x10000);

	for (uint32_t i = 0; i < len; i++)
		if (at[offset + i] != (uint8_t)((from + i) * 7))
			return false;
	return true;
}

static void test_receive(void)
{
	const struct virtio_net_hdr_v1 *header = vm_memory_at(&memory, DATA_GPA, HEADER);
	uint32_t *used;

	plug(UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
	used = (uint32_t *)(void *)(queues[IN].used + 2);
	host_sends(100);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 0 && !net.unplugged, "without a buffer a frame waits");
	offer_buffer(0, BUFFER);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 0, "and with too few of them");
	offer_buffer(1, BUFFER);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 2 && used[1] == BUFFER && used[3] == 100 - (BUFFER - HEADER),
		"two that are large enough together take it");
	ok(header->num_buffers == 2 && header->gso_type == 0 && header->flags == 0,
		"the header says that they are two");
	ok(holds(0, HEADER, 0, BUFFER - HEADER) && holds(1, 0, BUFFER - HEADER, 100 - (BUFFER - HEADER)),
		"and the bytes are the frame's");
	(void)!write(sock[0], "\0\0\0\x20" "0123456789", 14);
	offer_buffer(2, 4096);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 2, "half a frame is none");
	(void)!write(sock[0], "0123456789012345678901" "\0\0\0", 25);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 3 && used[5] == HEADER + 32, "until its rest comes");
	(void)!write(sock[0], "\x05", 1);
	guest_kick(&net.device, IN);
	ok(net.unplugged, "a length that no frame has ends the connection");
	pull();
}

static void test_small_buffers(void)
{
	plug(0);
	host_sends(100);
	offer_buffer(0, BUFFER);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 0, "without merging a frame that is too large for a buffer is dropped");
	host_sends(40);
	guest_kick(&net.device, IN);
	ok(queues[IN].used[1] == 1, "and the buffer is there for the next one");
	guest_desc(&queues[IN], 1, DATA_GPA, 4, VRING_DESC_F_WRITE, 0);
	guest_offer(&queues[IN], 1);
	host_sends(40);
	guest_kick(&net.device, IN);
	ok(guest_broken(&net.device), "a buffer with no room for a header breaks the card");
	pull();
}

static void guest_sends(uint32_t len)
{
	guest_desc(&queues[OUT], 0, DATA_GPA, HEADER, VRING_DESC_F_NEXT, 1);
	guest_desc(&queues[OUT], 1, DATA_GPA + 0x10000, len, 0, 0);
	guest_offer(&queues[OUT], 0);
	guest_kick(&net.device, OUT);
}

/* Reads one frame at the host's end; whether it has len bytes and they are right. */
static bool host_gets(uint32_t len)
{
	static uint8_t data[NET_LENGTH_BYTES + NET_FRAME_MAX];
	size_t got = 0;

	while (got < NET_LENGTH_BYTES + len) {
		ssize_t n = read(sock[0], data + got, NET_LENGTH_BYTES + len - got);

		if (n <= 0) {
			net.socket.ready(&net.socket, EPOLLOUT);
			continue;
		}
		got += (size_t)n;
	}
	if (((uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3]) != len)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (data[NET_LENGTH_BYTES + i] != (uint8_t)(i * 3))
			return false;
	return true;
}

static void test_send(void)
{
	uint8_t *data;
	struct io_loop loop;
	unsigned sent = 0, ok_frames = 0;

	plug(0);
	data = vm_memory_at(&memory, DATA_GPA + 0x10000, 0x20000);
	for (uint32_t i = 0; i < 0x20000; i++)
		data[i] = (uint8_t)(i * 3);
	guest_sends(1000);
	ok(queues[OUT].used[1] == 1, "the guest sends a frame");
	ok(host_gets(1000), "which the host gets, with its length before it");
	guest_sends(4);
	guest_sends(NET_FRAME_MAX + 1);
	ok(queues[OUT].used[1] == 3 && read(sock[0], data, 1) < 0, "one that is too short or too long vanishes");
	ok(io_loop_init(&loop, NULL) == 0 && virtio_net_attach(&net, &loop, NULL) == 0, "a loop");
	while (queues[OUT].used[1] == queues[OUT].avail[1] && sent < 100) {
		guest_sends(60000);
		sent++;
	}
	ok(queues[OUT].used[1] != queues[OUT].avail[1], "a full socket leaves a frame waiting after %u", sent);
	while (ok_frames < sent && host_gets(60000))
		ok_frames++;
	ok(ok_frames == sent, "every one arrives whole, also the one that was cut");
	ok(queues[OUT].used[1] == queues[OUT].avail[1], "and the guest has its buffers back");
	close(sock[0]);
	guest_sends(1000);
	ok(queues[OUT].used[1] == queues[OUT].avail[1] && net.unplugged, "without a cable what is sent vanishes");
	io_loop_release(&loop);
	virtio_net_release(&net);
	close(sock[1]);
}

static void test_config(void)
{
	uint8_t seen[NET_MAC_BYTES];

	plug(UINT64_C(1) << VIRTIO_NET_F_MAC);
	for (unsigned i = 0; i < NET_MAC_BYTES; i++)
		virtio_mmio_access(&net.device, VIRTIO_MMIO_CONFIG + i, &seen[i], 1, false);
	ok(!memcmp(seen, mac, sizeof mac), "its hardware address is the one given");
	pull();
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN); /* as in the VMM */
	if (vm_memory_map(&memory, GUEST_BYTES, NULL) < 0)
		return 1;
	test_config();
	test_receive();
	test_small_buffers();
	test_send();
	vm_memory_release(&memory);
	return tap_done();
}
