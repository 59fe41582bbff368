/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_RLIMITS_H
#define BIVALVE_ENFORCE_RLIMITS_H

#include <sys/types.h>

#include "runtime/model/plan.h"

/* RLIMIT_ number by its lower-case name ("nofile"), or -EINVAL. */
int rlimits_from_name(const char *name);
/* Refuses limits that this process may not set (raising a hard limit without CAP_SYS_RESOURCE), naming them. */
int rlimits_check(const struct plan_rlimit *limits, size_t n, struct error *err);
/*
 * For a process (0: the caller) that is or will be in a user namespace, where nobody can raise a hard limit any more:
 * raises those that are too low for these. What cannot be had is left, and named by rlimits_apply().
 */
void rlimits_make_room(pid_t pid, const struct plan_rlimit *limits, size_t n);
int rlimits_apply(const struct plan_rlimit *limits, size_t n, struct error *err);

#endif
