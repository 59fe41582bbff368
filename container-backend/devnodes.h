/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_DEVNODES_H
#define BIVALVE_CONTAINER_DEVNODES_H

#include "runtime/model/plan.h"

/* Refuses devices that cannot be made, naming the entry. */
int devnodes_check(const struct plan *plan, struct error *err);
/*
 * Fills the tmpfs dev, which is at /dev beneath the root: the usual nodes and links, and the plan's devices in /dev. By
 * mknod, or by binding the host's node where mknod is not allowed (user namespaces).
 */
int devnodes_make_usual(const struct plan *plan, int root_fd, int dev, struct error *err);
/* The plan's other devices; have_dev: those in /dev are made already. */
int devnodes_make_others(const struct plan *plan, int root_fd, bool have_dev, struct error *err);
/* Whether group 5, tty on every distribution, exists in the container. */
bool devnodes_have_tty_group(const struct plan *plan);

#endif
