/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_NAMESPACES_H
#define BIVALVE_CONTAINER_NAMESPACES_H

#include <sys/types.h>

#include "runtime/model/plan.h"

/* Refuses a plan without the namespaces that a container cannot do without. */
int namespaces_required(const struct plan *plan, struct error *err);
/* The same, and namespaces that this kernel does not have, by name. */
int namespaces_check(const struct plan *plan, struct error *err);
/* Members "namespaces": which of them there are. */
void namespaces_probe(struct json_writer *w);
/*
 * clone3(2) with the plan's namespaces (bar the cgroup namespace, whose root is where its maker stands: see
 * namespaces_enter_cgroup) into the cgroup2 folder cgroup_fd (-1: where the caller is). Returns 0 in the child, else
 * its pid and *ret_pidfd; -errno with err.
 */
pid_t namespaces_clone(const struct plan *plan, int cgroup_fd, int *ret_pidfd, struct error *err);
/* The cgroup namespace, once the caller is in its group; the host name; the loopback interface. */
int namespaces_enter_cgroup(const struct plan *plan, struct error *err);
/* Child, once it has its ids: the time namespace with its offsets. */
int namespaces_make_time(const struct plan *plan, struct error *err);
int namespaces_configure(const struct plan *plan, struct error *err);

/* CLONE_ flags of the namespaces of a process that are not the caller's own: what setns(2) has to join. */
int namespaces_of(pid_t pid, uint64_t *ret_flags, struct error *err);

#endif
