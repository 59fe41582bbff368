/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_ANSWER_H
#define BIVALVE_GUEST_ANSWER_H

#include "policies/enforce/cgroup.h"
#include "vm-backend/agent_stream.h"

/*
 * Answers a REQUEST about the workload in this group, whose first setup of CPU time was our own. An error is the
 * channel's; what goes wrong else is the answer.
 */
int guest_answer(struct agent_channel *c, const struct agent_request *request, const char *text, size_t len,
		const char *cgroup, struct cgroup_cpu setup, struct error *err);

#endif
