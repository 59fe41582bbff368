/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the network card, with a user network on the other side that frames rightly or wrongly. */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/fuzz/rings.h"
#include "vm-backend/virtio/net.h"

static struct virtio_net net;
static struct io_loop loop;
static int sock[2];

static struct virtio_device *start(uint8_t pick)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sock) < 0)
		abort();
	virtio_net_init(&net, &memory, sock[1], (const uint8_t[NET_MAC_BYTES]){ 2 });
	if (io_loop_init(&loop, NULL) < 0 || virtio_net_attach(&net, &loop, NULL) < 0)
		abort();
	return &net.device;
}

static void stop(struct virtio_device *device)
{
	virtio_net_release(&net);
	io_loop_release(&loop);
	for (unsigned i = 0; i < device->n_queues; i++)
		close(device->kicks[i].fd);
	close(sock[0]);
	close(sock[1]);
}

static void host_sends(uint8_t a, uint8_t b)
{
	const uint8_t frame[40] = { [2] = b == 99, [3] = b & 1 ? 14 + a % 20 : a };
	char sink[4096];

	(void)!send(sock[0], frame, b & 2 ? 4 + frame[3] % 36U : a % 40U, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)!recv(sock[0], sink, sizeof sink, MSG_DONTWAIT);
	if (b == 77)
		(void)shutdown(sock[0], SHUT_RDWR);
	net.socket.ready(&net.socket, EPOLLIN | EPOLLOUT);
}
