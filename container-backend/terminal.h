/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_TERMINAL_H
#define BIVALVE_CONTAINER_TERMINAL_H

#include "runtime/model/plan.h"

/* A pseudo-terminal of the container's own devpts, and its slave as /dev/console. */
struct terminal {
	int master, slave;
};

/* Without /dev/console: one more terminal of a running container. */
int terminal_open_plain(const struct plan_process *process, int root_fd, struct terminal *ret, struct error *err);
int terminal_open(const struct plan_process *process, int root_fd, struct terminal *ret, struct error *err);
/* Gives the slave to the user who will run in it. */
int terminal_own(const struct terminal *t, uint64_t uid, struct error *err);
/* Parent: whether a descriptor that was sent to us is the master of a pseudo-terminal, and nothing else. */
bool terminal_is_master(int fd);

#endif
