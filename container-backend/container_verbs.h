/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_VERBS_H
#define BIVALVE_CONTAINER_VERBS_H

#include "runtime/model/backend.h"

/* The optional operations of the container shell that are the control group's (backend.h says what each does). */
int container_pause(const struct instance *in, struct error *err);
int container_resume(const struct instance *in, struct error *err);
int container_update(const struct instance *in, const struct plan *plan, const struct plan_resources *resources,
		struct error *err);
int container_stats(const struct instance *in, struct stats *ret_inside, struct stats *ret_outside, struct error *err);
int container_processes(const struct instance *in, struct backend_process **ret, size_t *ret_n, struct error *err);
int container_kill_all(const struct instance *in, int signo, struct error *err);

#endif
