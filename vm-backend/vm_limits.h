/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_LIMITS_H
#define BIVALVE_VM_LIMITS_H

#include "policies/enforce/cgroup.h"
#include "runtime/model/plan.h"

/*
 * Which of a plan's resources bind where. Inside: what counts processes and memory of the workload. Outside, on the
 * machine's process: processor time once more, memory with room for the machine; and what names things of this host.
 */

/* Refuses limits that mean devices of the host, which the machine does not have. */
int vm_limits_check(const struct plan_resources *res, struct error *err);
/* Refuses a size of guest memory with which the plan's kernel does not boot, or that no engine takes. */
int vm_memory_check(const struct plan *plan, struct error *err);
/* For the guest's group. Strings and arrays are res's own. */
/* Whether disks have a rate. */
bool vm_limits_disk_rates(const struct plan_resources *res);
struct plan_resources vm_limits_inside(const struct plan_resources *res);
/* For the machine's, as far as host can. engine: by its name, for the room it needs. */
struct plan_resources vm_limits_outside(const struct plan *plan, const struct plan_resources *res, const char *engine,
		const struct cgroup_host *host);

#endif
