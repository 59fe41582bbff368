/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_RLIMITS_H
#define BIVALVE_ENFORCE_RLIMITS_H

#include "runtime/model/plan.h"

/* RLIMIT_ number by its lower-case name ("nofile"), or -EINVAL. */
int rlimits_from_name(const char *name);
/* Refuses limits that this process may not set (raising a hard limit without CAP_SYS_RESOURCE), naming them. */
int rlimits_check(const struct plan_rlimit *limits, size_t n, struct error *err);
int rlimits_apply(const struct plan_rlimit *limits, size_t n, struct error *err);

#endif
