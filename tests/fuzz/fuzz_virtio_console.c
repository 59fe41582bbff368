/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of the multiport console, with the agent's socket on the other side and a log or none. */
#include <sys/socket.h>

#include "tests/fuzz/rings.h"
#include "vm-backend/virtio/console.h"

static struct virtio_console console;
static struct io_loop loop;
static int sock[2];

static struct virtio_device *start(uint8_t pick)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		abort();
	virtio_console_init(&console, &memory, sock[1],
			pick & PICK_OTHER ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1);
	if (io_loop_init(&loop, NULL) < 0 || virtio_console_attach(&console, &loop, NULL) < 0)
		abort();
	return &console.device;
}

static void stop(struct virtio_device *device)
{
	io_loop_release(&loop);
	for (unsigned i = 0; i < device->n_queues; i++)
		close(device->kicks[i].fd);
	close(sock[0]);
	close(sock[1]);
	if (console.log_fd >= 0)
		close(console.log_fd);
}

static void host_sends(uint8_t a, uint8_t b)
{
	char sink[4096];

	(void)!send(sock[0], "0123456789abcdef", a % 17, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)!recv(sock[0], sink, sizeof sink, MSG_DONTWAIT);
	if (b == 77)
		(void)shutdown(sock[0], SHUT_RDWR);
	console.agent.ready(&console.agent, 0xffffffff);
	(void)virtio_console_drain(&console);
}
