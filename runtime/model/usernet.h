/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_USERNET_H
#define BIVALVE_MODEL_USERNET_H

#include <sys/types.h>

#include "runtime/model/plan.h"

/*
 * The network of NETWORK_USER: Debian's passt beside a machine, the same program as pasta beside a container. It
 * translates
 * what the workload sends into sockets of its own, so nothing of the host's network has to be changed and no privilege
 * over it is needed. The host's own loopback addresses are not reachable through it.
 */

#define USERNET_INTERFACE "eth0"

/* Whether plan.interface can be had here: the program, the ports, the addresses. Names the field. */
int usernet_check(const struct plan *plan, struct error *err);

/*
 * Gives a network namespace its interface, configured. netns_fd: the namespace; userns_fd: the user namespace that owns
 * it, -1 for the caller's. Returns when the interface is up. The process is a child of the caller's and dies with it.
 */
int usernet_join(const struct plan *plan, int netns_fd, int userns_fd, pid_t *ret_pid, struct error *err);

/*
 * A stream socket (not blocking, closed on exec) on which each Ethernet frame follows its length, 4 bytes, big-endian.
 * The
 * process behind it ends with the socket.
 */
int usernet_connect(const struct plan *plan, int *ret_fd, struct error *err);

#endif
