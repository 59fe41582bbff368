/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_SPAWN_H
#define BIVALVE_CONTAINER_SPAWN_H

#include <sys/types.h>

#include "policies/enforce/cgroup.h"
#include "runtime/model/plan.h"

/*
 * Starting an isolated process: what the container backend does on the host and PID 1 does inside the guest, from the
 * same plan. The child makes its own mounts in its own mount namespace, so nothing of it outlives the process.
 */
struct spawn_request {
	const struct plan *plan;
	const char *cgroup;   /* group to make and join; NULL: none */
	const struct cgroup_host *host; /* what cgroup_probe() found; NULL: it is asked again */
	int stdio[3];         /* the workload's, unless plan->process.terminal */
	int event_fd;         /* struct backend_event goes here (backend.h) */
	int start_fd;         /* a byte read from it: exec; end of file: give up; -1: do not wait */
	bool die_with_parent; /* SIGKILL when the calling thread ends */
};

struct spawn_result {
	pid_t pid;            /* direct child of the caller; exits with the workload's status */
	int pidfd;
	int console_fd;       /* the terminal's master, -1 without terminal */
};

/* Returns once the child is isolated and waits for start_fd. On failure nothing is left, err says which step failed. */
int container_spawn(const struct spawn_request *request, struct spawn_result *ret, struct error *err);

#endif
