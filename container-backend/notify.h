/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_NOTIFY_H
#define BIVALVE_CONTAINER_NOTIFY_H

#include "runtime/model/instance.h"

/*
 * Handing the notify descriptor of a filter to plan.seccomp_listener (runtime-spec, config-linux.md, "The Container
 * Process State"). In the process itself, which has to send it under its own filter: that has to allow sendmsg(2).
 */
int notify_check(const struct plan *plan, struct error *err);
/* While the host's files are in sight: a connection to the listener, or -1 when the plan has none. */
int notify_connect(const struct plan *plan, int *ret_fd, struct error *err);
/* The state to be sent beside it; made before the filter is there. proc_fd: the host's /proc, which knows our pid. */
char *notify_state(const struct plan *plan, const struct instance *in, int proc_fd);
/* Sends notify_fd and closes both. */
int notify_send(int listener_fd, const char *state, int notify_fd, struct error *err);

#endif
