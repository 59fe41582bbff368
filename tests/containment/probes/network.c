/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: families that lead past a network namespace, and ways to the host and out. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

static struct result make_socket(int family, int type, int protocol, const char *what)
{
	return verdict(socket(family, type | SOCK_CLOEXEC, protocol), 0, what);
}

/* The kernel reads 32 bits of an int, a filter sees 64: so again with a bit above them. */
static struct result vsock(const struct settings *settings)
{
	if (syscall(SYS_socket, AF_VSOCK | 1L << 32, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0)
		return allowed("socket(AF_VSOCK | 1 << 32)");
	return make_socket(AF_VSOCK, SOCK_STREAM, 0, "socket(AF_VSOCK)");
}

static struct result packet(const struct settings *settings)
{
	return make_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL), "socket(AF_PACKET)");
}

static struct result crypto(const struct settings *settings)
{
	return make_socket(AF_ALG, SOCK_SEQPACKET, 0, "socket(AF_ALG)");
}

static struct result raw(const struct settings *settings)
{
	return make_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP, "socket(AF_INET, SOCK_RAW)");
}

static struct result netfilter(const struct settings *settings)
{
	return make_socket(AF_NETLINK, SOCK_RAW, 12 /* NETLINK_NETFILTER */, "socket(AF_NETLINK, NETLINK_NETFILTER)");
}

/* Connects, for at most two seconds; 0 or errno. */
static int try_connect(const struct sockaddr *address, socklen_t length, int type)
{
	int fd = socket(address->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
	socklen_t size = sizeof(error);
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	if (fd < 0)
		return errno;
	if (connect(fd, address, length) < 0)
		error = errno;
	if (error == EINPROGRESS) {
		error = ETIMEDOUT;
		if (poll(&ready, 1, 2000) > 0)
			(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
	close(fd);
	return error;
}

static int try_connect_inet(const char *text, long port, int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
		return EINVAL;
	return try_connect((struct sockaddr *)&address, sizeof(address), type);
}

static struct result connected(int error, const char *what)
{
	return error ? blocked(error, "%s", what) : reached_host("%s", what);
}

static struct result host_loopback(const struct settings *settings)
{
	int error = try_connect_inet("127.0.0.1", settings->port, SOCK_STREAM);

	return connected(error, "a service on the host's 127.0.0.1");
}

static struct result host_address(const struct settings *settings)
{
	if (!settings->address[0])
		return not_run("the host has no address but its loopback");
	return connected(try_connect_inet(settings->address, settings->port, SOCK_STREAM),
		"a service on the host's address");
}

/* A datagram socket connects wherever there is a route; nothing is sent. The network is one kept for documents. */
static struct result egress(const struct settings *settings)
{
	int error = try_connect_inet("198.51.100.1", 53, SOCK_DGRAM);

	return error ? blocked(error, "no route to the world") : allowed("a route to the world");
}

static struct result abstract_socket(const struct settings *settings)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", settings->token);

	length += (int)offsetof(struct sockaddr_un, sun_path) + 1;
	return connected(try_connect((struct sockaddr *)&address, (socklen_t)length, SOCK_STREAM),
		"an abstract socket of the host");
}

const struct probe network_probes[] = {
	{ "vsock", vsock, 0 },
	{ "packet-socket", packet, 0 },
	{ "crypto-socket", crypto, 0 },
	{ "raw-socket", raw, 0 },
	{ "netfilter", netfilter, 0 },
	{ "host-loopback", host_loopback, 0 },
	{ "host-address", host_address, 0 },
	{ "egress", egress, 0 },
	{ "abstract-socket", abstract_socket, 0 },
	{ NULL, NULL, 0 },
};
