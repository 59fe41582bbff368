/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_PREPARE_NETWORK_H
#define BIVALVE_LAUNCH_PREPARE_NETWORK_H

#include "runtime/model/plan.h"

/*
 * The rest of the plan's network, once its mode is known: the namespace, and with the user network the interface and
 * the
 * ports to publish ("[IP:]HOST:GUEST[/tcp|/udp]", NULL-terminated). Returns 0 or -errno.
 */
int prepare_network(struct plan *plan, char *const *ports, struct error *err);

#endif
