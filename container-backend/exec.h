/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_EXEC_H
#define BIVALVE_CONTAINER_EXEC_H

#include "container-backend/spawn.h"
#include "runtime/model/backend.h"

/* Starting one more process in the namespaces and control groups of a container. */
struct exec_request {
	const struct plan *plan;  /* the container's own; its process is not looked at */
	const struct backend_exec *exec;
	const struct instance *instance; /* for the filter's listener; NULL: what the plan says */
	int target;               /* pidfd of a process of the container */
	pid_t target_pid;
	const char *cgroup;       /* the container's group; NULL: none */
};

/*
 * Returns once the process stands in the container and is about to be executed; what fails after that comes as an
 * ERROR event. *ret is as in backend.h. On failure nothing is left. Used on the host and by PID 1 of the guest.
 */
int container_enter(const struct exec_request *request, struct backend_exec_result *ret, struct error *err);

#endif
