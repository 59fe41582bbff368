/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_LIMITS_H
#define BIVALVE_LAUNCH_LIMITS_H

#include "runtime/model/plan.h"
#include "runtime/model/report.h"

/* Those of plan.limits that the kernel binds to each process become rlimits, unless the plan has such ones. */
void limits_to_rlimits(struct plan *plan);
/*
 * Refuses, naming the field, the limits of plan.limits that cannot be bound here. With best_effort those of a container
 * that lack their control group are taken out of the plan instead and named in report->not_bound. Returns 0 or -errno.
 */
int limits_check(struct plan *plan, bool best_effort, struct report *report, struct error *err);

#endif
