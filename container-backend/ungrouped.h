/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_UNGROUPED_H
#define BIVALVE_CONTAINER_UNGROUPED_H

#include "runtime/model/plan.h"

/*
 * Takes from the process's capabilities what the plan, having no control group, cannot grant and engines give to all.
 * Returns the name of what it took, to be said to the user; NULL: nothing.
 */
const char *ungrouped_narrow(const struct plan *plan, struct plan_process *process);
/* Refuses, by name, what a plan without a control group (plan.no_cgroup) could not hold to; see the .c. */
int ungrouped_check(const struct plan *plan, struct error *err);
/* The same for a process that joins such a container. */
int ungrouped_check_process(const struct plan *plan, const struct plan_process *process, struct error *err);

#endif
