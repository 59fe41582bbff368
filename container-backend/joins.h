/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_JOINS_H
#define BIVALVE_CONTAINER_JOINS_H

#include <linux/sched.h>
#include <sys/types.h>

#include "runtime/model/plan.h"

/* Namespaces that are there already, by path (plan.joins). */

/* Refuses unknown or doubled types, what is no namespace of the type, and the mount namespace: its root is
 * another's. */
int joins_check(const struct plan *plan, struct error *err);
/* Whether a process has to be born in joined namespaces; the cgroup namespace is joined later, by itself. */
bool joins_needed(const struct plan *plan);
/*
 * clone3(2) by way of a process that has joined them all, the user namespace first: the child is the caller's and is
 * born
 * in them. args as for clone3 without CLONE_PARENT. Returns 0 in the child, else its pid; -errno with err.
 */
pid_t joins_clone(const struct plan *plan, const struct clone_args *args, struct error *err);
/* Joins the cgroup namespace, if the plan names one: once the caller is in its group. */
int joins_enter_cgroup(const struct plan *plan, struct error *err);

#endif
