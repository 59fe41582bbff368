/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_AGENT_H
#define BIVALVE_GUEST_AGENT_H

#include "runtime/base/error.h"

/*
 * The guest's end of the agent channel: says HELLO, starts the workload that the host sends, joins its streams to the
 * channel and reports its end. Returns when the host wants the machine off or is gone (0), or the error that makes
 * going on useless.
 */
int guest_agent_serve(int port, struct error *err);

/* Tells the host why there will be no workload. Best effort. */
void guest_agent_refuse(int port, const struct error *reason);

#endif
