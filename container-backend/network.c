/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner side of NETWORK_USER. In a container pasta sets the interface up from outside; in a guest we do, by the
 * plain
 * ioctls of netdevice(7) and rtnetlink's older sister SIOCADDRT: one address and one route.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "container-backend/network.h"
#include "container-backend/places.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "runtime/model/usernet.h"

enum { CARD_SECONDS = 30, CARD_STEP_NS = 1000000 };

int network_offer(const struct plan *plan, int sock, struct error *err)
{
	static const char *const paths[] = { "/proc/self/ns/net", "/proc/self/ns/user" };
	struct backend_event offer = { .kind = EVENT_MILESTONE, .text = NETWORK_OFFER };
	size_t n = plan->namespaces & PLAN_NS(USER) ? 2 : 1;
	int fds[2] = { -1, -1 }, r = 0;

	if (plan->network != NETWORK_USER || !(plan->namespaces & PLAN_NS(NET)))
		return 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			r = error_sys(err, "network: %s", paths[i]);
	}
	if (r == 0) {
		r = fd_send(sock, &offer, sizeof offer, fds, n);
		if (r < 0)
			r = error_set(err, -r, "network: cannot reach the launcher: %s", strerror(-r));
	}
	for (size_t i = 0; i < n; i++)
		close_cleanup(&fds[i]);
	return r;
}

int network_write_files(const struct plan *plan, int root_fd, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int etc = -1, fd = -1;
	int r;

	if (plan->network != NETWORK_USER || plan->root.path)
		return 0; /* a folder of somebody's is not ours to write to */
	etc = mounts_make_dir(root_fd, "/etc", err);
	if (etc < 0)
		return error_prefix(err, "network");
	(void)unlinkat(etc, "resolv.conf", 0); /* the image's, often a link to what is not there; the next call tells */
	fd = openat(etc, "resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_sys(err, "network: cannot write /etc/resolv.conf");
	text = xasprintf("nameserver %s\n", plan->interface.dns);
	r = fd_write_full(fd, text, strlen(text));
	return r < 0 ? error_set(err, -r, "network: cannot write /etc/resolv.conf: %s", strerror(-r)) : 0;
}

static int call(int fd, unsigned long request, struct ifreq *with, const char *what, struct error *err)
{
	(void)snprintf(with->ifr_name, sizeof with->ifr_name, "%s", USERNET_INTERFACE); /* fits */
	return ioctl(fd, request, with) < 0 ?
		error_sys(err, "network: cannot set the %s of " USERNET_INTERFACE, what) : 0;
}

/* The driver may be about to find its device. */
static int await_card(int fd, struct error *err)
{
	uint64_t end = clock_now_ns() + CARD_SECONDS * UINT64_C(1000000000);
	struct ifreq request = { .ifr_name = USERNET_INTERFACE };

	while (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
		if (errno != ENODEV || clock_now_ns() > end)
			return error_sys(err, "network: this guest's kernel shows no card " USERNET_INTERFACE);
		(void)nanosleep(&(struct timespec){ .tv_nsec = CARD_STEP_NS }, NULL);
	}
	return 0;
}

static int set_mac(int fd, const char *text, struct error *err)
{
	struct ifreq request = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };
	uint8_t *mac = (uint8_t *)request.ifr_hwaddr.sa_data;

	if (!text || sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3,
			mac + 4, mac + 5) != 6)
		return error_set(err, EINVAL, "interface.mac: %s: not a hardware address", text ? text : "none");
	return call(fd, SIOCSIFHWADDR, &request, "hardware address", err);
}

static struct sockaddr ipv4(struct in_addr address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = address };
	struct sockaddr any;

	memcpy(&any, &in, sizeof any);
	return any;
}

static int set_address(int fd, const struct plan_interface *interface, struct error *err)
{
	struct in_addr address, mask = { htonl(~UINT32_C(0) << (32 - interface->prefix)) };
	struct ifreq request = { 0 };
	int r;

	if (interface->prefix < 1 || interface->prefix > 30 || inet_pton(AF_INET, interface->address, &address) != 1)
		return error_set(err, EINVAL, "interface.address: not an IPv4 address with a prefix");
	request.ifr_addr = ipv4(address);
	r = call(fd, SIOCSIFADDR, &request, "address", err);
	if (r < 0)
		return r;
	request = (struct ifreq){ .ifr_netmask = ipv4(mask) };
	return call(fd, SIOCSIFNETMASK, &request, "mask", err);
}

static int set_route(int fd, const struct plan_interface *interface, struct error *err)
{
	struct in_addr gateway, all = { 0 };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	if (inet_pton(AF_INET, interface->gateway, &gateway) != 1)
		return error_set(err, EINVAL, "interface.gateway: not an IPv4 address");
	route.rt_dst = route.rt_genmask = ipv4(all);
	route.rt_gateway = ipv4(gateway);
	return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ?
		error_sys(err, "network: cannot set the route") : 0;
}

/*
 * passt learns the card's hardware address from what the guest sends. Until then what comes in by a published port is
 * sent
 * to all, which the guest's TCP ignores. A datagram to nobody makes the guest ask for its gateway.
 */
static int announce(int fd, const struct plan_interface *interface, struct error *err)
{
	enum { DISCARD_PORT = 9 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT) };

	(void)inet_pton(AF_INET, interface->gateway, &to.sin_addr); /* set_route() has read it */
	return sendto(fd, "", 0, 0, (struct sockaddr *)&to, sizeof to) < 0 ?
		error_sys(err, "network: cannot send") : 0;
}

int network_configure_card(const struct plan *plan, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq up = { .ifr_flags = IFF_UP | IFF_RUNNING }, down = { 0 };
	int r;

	if (fd < 0)
		return error_sys(err, "network: this guest's kernel has none");
	r = await_card(fd, err);
	if (r == 0)
		r = call(fd, SIOCSIFFLAGS, &down, "state", err);
	if (r == 0)
		r = set_mac(fd, plan->interface.mac, err);
	if (r == 0)
		r = set_address(fd, &plan->interface, err);
	if (r == 0)
		r = call(fd, SIOCSIFFLAGS, &up, "state", err);
	if (r == 0)
		r = set_route(fd, &plan->interface, err);
	return r < 0 ? r : announce(fd, &plan->interface, err);
}
