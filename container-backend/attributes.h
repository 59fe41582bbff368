/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_ATTRIBUTES_H
#define BIVALVE_CONTAINER_ATTRIBUTES_H

#include "runtime/model/plan.h"

/* What a process has besides ids, capabilities and limits. Each only if the plan asks. */

/* Refuses, by name, what this kernel cannot give: unknown words, and labels without their security module. */
int attributes_check(const struct plan_process *process, struct error *err);
/*
 * While the host's /proc is in sight: oom_score_adj. *ret_proc_fd is the host's /proc for attributes_late() and for
 * notify_state(); -1 when neither needs it.
 */
int attributes_early(const struct plan *plan, bool rootless, int *ret_proc_fd, struct error *err);
/* Before privilege falls: scheduler, I/O priority, session keyring named for id. */
int attributes_privileged(const struct plan_process *process, const char *id, struct error *err);
/* Just before the filter: personality and the labels, which take effect at exec(2). */
int attributes_late(const struct plan_process *process, int proc_fd, struct error *err);

#endif
