/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_SPAWN_H
#define BIVALVE_CONTAINER_SPAWN_H

#include <sys/types.h>

#include "policies/enforce/cgroup.h"
#include "runtime/model/instance.h"

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
	/* no device is the host's: rules for them bind where the guest's kernel can, else are left out */
	bool in_guest;
	/*
	 * Set up without arguments and environment: these come by start_fd (late.h) to the workload's own process,
	 * when nothing else is left to do than what they decide. Its PID 1 and it say "prepared" then.
	 */
	bool prepared;
	/*
	 * Its PID 1, once it has told the workload's end, does not end itself but waits to be killed: it and all that
	 * its namespaces hold ends with the machine, and nobody has to wait until they are taken down.
	 */
	bool stays;
	bool die_with_parent; /* SIGKILL when the calling thread ends */
	/* Detached: it dies with its maker until container_release(), and lives on by itself afterwards. The program is
	 * looked up before it counts as made, since nobody will hear of a failure later. start_fd is a FIFO's, open for
	 * both directions. */
	bool detached;
	/* Called once the child exists, before its groups are made where that can wait (v1): to note both. NULL: no. */
	int (*made)(void *arg, pid_t pid, struct error *err);
	void *made_arg;
	const struct instance *instance; /* for the hooks' state; NULL: what the plan says of it */
};

struct spawn_result {
	pid_t pid;            /* direct child of the caller; exits with the workload's status */
	int pidfd;
	int console_fd;       /* the terminal's master, -1 without terminal */
	int scratch_fd;       /* the scratch file system, a folder, if the plan wants the changes; else -1 */
	pid_t network_pid;    /* pasta, with NETWORK_USER on the host; else 0 */
	struct cgroup_cpu setup; /* what its group has counted so far, which is our own work; 0: it has just joined */
	int release_fd;       /* detached: for container_release(); else -1 */
};

/* Returns once the child is isolated and waits for start_fd. On failure nothing is left, err says which step failed. */
int container_spawn(const struct spawn_request *request, struct spawn_result *ret, struct error *err);

/*
 * Lets a detached child live on without its maker, once state.json names it. Closes *release_fd. A maker that is killed
 * before takes the child along.
 */
int container_release(int *release_fd, struct error *err);

#endif
