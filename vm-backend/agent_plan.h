/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_PLAN_H
#define BIVALVE_VM_AGENT_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/model/plan.h"

/*
 * The plan as the guest gets it: JSON without what is this host's alone. The text is the caller's. to_prepare: also
 * without what differs between launches of one kind (identity, arguments, environment, what the supervisor watches):
 * two plans whose texts are equal can go on from one prepared workload.
 */
char *agent_plan_text(const struct plan *plan, bool to_prepare, size_t *ret_len);

#endif
