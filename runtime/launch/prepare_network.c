/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a plan, from --net, the policy and --publish. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "runtime/base/alloc.h"
#include "runtime/launch/prepare_network.h"

/* As QEMU's and podman's user networks have it: what programs and people expect to see. */
#define ADDRESS "10.0.2.15"
#define GATEWAY "10.0.2.2"
#define DNS     "10.0.2.3"
enum { PREFIX = 24, MAX_PORT = 65535 };

/* A port, up to the character in ends; *at then stands there. */
static int parse_number(const char **at, const char *ends, uint64_t *ret)
{
	char *end;
	unsigned long value = strtoul(*at, &end, 10);

	if (**at < '0' || **at > '9' || value < 1 || value > MAX_PORT || !strchr(ends, *end))
		return -EINVAL;
	*ret = value;
	*at = end;
	return 0;
}

static int parse_port(const char *text, struct plan_port *ret, struct error *err)
{
	const char *last = strrchr(text, ':'), *first = strchr(text, ':'), *at = text;
	int r = last ? 0 : -EINVAL;

	if (r == 0 && first != last) {
		ret->address = xstrndup(text, (size_t)(first - text));
		at = first + 1;
	}
	if (r == 0)
		r = parse_number(&at, ":", &ret->host);
	if (r == 0) {
		at++;
		r = parse_number(&at, "/", &ret->guest); /* or the end, which strchr() finds too */
	}
	if (r == 0 && *at && strcmp(at, "/tcp") && strcmp(at, "/udp"))
		r = -EINVAL;
	ret->udp = r == 0 && !strcmp(at, "/udp");
	return r < 0 ? error_set(err, EINVAL, "--publish %s: expected [IP:]HOST:GUEST[/udp], as in "
			"127.0.0.1:8080:80", text) : 0;
}

static int fill_ports(struct plan *plan, char *const *ports, struct error *err)
{
	struct plan_interface *interface = &plan->interface;
	int r = 0;

	strv_foreach(text, ports) {
		interface->ports = xreallocarray(interface->ports, interface->n_ports + 1, sizeof *interface->ports);
		interface->ports[interface->n_ports] = (struct plan_port){ 0 };
		r = parse_port(text, &interface->ports[interface->n_ports++], err);
		if (r < 0)
			break;
	}
	return r;
}

int prepare_network(struct plan *plan, char *const *ports, struct error *err)
{
	struct plan_interface *interface = &plan->interface;
	uint8_t mac[6];
	bool vm = !strcmp(plan->backend, "vm");

	/* A guest's own network namespace is the workload's: there is nobody else in it. */
	if (plan->network == NETWORK_NONE || (plan->network == NETWORK_USER && !vm))
		plan->namespaces |= PLAN_NS(NET);
	if (plan->network != NETWORK_USER)
		return ports && *ports ? error_set(err, EINVAL, "--publish %s: needs --net user", *ports) : 0;
	if (getrandom(mac, sizeof mac, 0) != (ssize_t)sizeof mac)
		return error_sys(err, "cannot draw a random hardware address");
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 2); /* locally administered, not a group's */
	interface->mac = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	interface->address = xstrdup(ADDRESS);
	interface->gateway = xstrdup(GATEWAY);
	interface->dns = xstrdup(DNS);
	interface->prefix = PREFIX;
	return fill_ports(plan, ports, err);
}
