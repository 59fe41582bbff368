/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_LEARN_H
#define BIVALVE_LAUNCH_LEARN_H

#include "policies/enforce/watch.h"
#include "policies/policy.h"
#include "runtime/model/plan.h"
#include "runtime/model/report.h"

/* What a run needed, gathered from its watched calls, and the policy that says just that. */
struct learnt;

struct learnt *learnt_new(void);
void learnt_free(struct learnt *l);
/* An audit_listener: arg is the struct learnt. */
void learnt_hear(void *arg, const struct watch_event *e);
/*
 * The document, for the caller to free. base: the policy that the run was under, which it extends; plan: the run's;
 * writable: the run's root took writes although base does not say so.
 */
char *learnt_document(struct learnt *l, const struct policy *base, const struct plan *plan, const struct report *report,
		bool writable);

#endif
