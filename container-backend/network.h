/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_NETWORK_H
#define BIVALVE_CONTAINER_NETWORK_H

#include "runtime/model/plan.h"

/* The text of the message by which the child hands out its network namespace, and the user namespace that owns it. */
#define NETWORK_OFFER "network"

/*
 * In the child, with /proc still the host's: with NETWORK_USER and a network namespace of its own, sends that namespace
 * to
 * the parent, which gives it an interface meanwhile (usernet.h). Nothing is waited for: the parent answers nobody
 * before the interface is there.
 */
int network_offer(const struct plan *plan, int sock, struct error *err);

/* With NETWORK_USER: /etc/resolv.conf in the root names the plan's DNS server. The root must still be writable. */
int network_write_files(const struct plan *plan, int root_fd, struct error *err);

/*
 * In a guest, with NETWORK_USER: sets hardware address, address and default route of the one card, which may still have
 * to be found by the kernel. Idempotent.
 */
int network_configure_card(const struct plan *plan, struct error *err);

#endif
