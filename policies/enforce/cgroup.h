/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_CGROUP_H
#define BIVALVE_ENFORCE_CGROUP_H

#include <sys/types.h>

#include "runtime/model/plan.h"

/*
 * Control groups on pure v1, hybrid (v1 controllers, v2 for naming) and pure v2 hosts, by libcgroup. Only memory,
 * cpu and pids are used. A group is named by its path below each hierarchy's root ("bivalve/<id>").
 */
enum cgroup_layout { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct cgroup_host {
	enum cgroup_layout layout;
	bool memory, cpu, pids, freezer; /* usable by this process: mounted and writable */
	bool swap;                       /* swap can be limited */
};

/* Reads /proc/self/mountinfo and /proc/cgroups; makes nothing. Cheap (well under 1 ms). Never fails. */
void cgroup_probe(struct cgroup_host *ret);
const char *cgroup_layout_name(enum cgroup_layout layout); /* "none", "v1", "hybrid", "v2" */

/*
 * Makes the group in every hierarchy that res needs (and in those that give the figures of cgroup_stats) and sets the
 * limits. A limit that this host cannot bind is -EOPNOTSUPP naming it. On failure nothing is left.
 */
int cgroup_create(const struct cgroup_host *host, const char *path, const struct plan_resources *res, struct error *err);
/* Moves pid into the group, in every hierarchy. On v1 each move may wait for RCU for several ms: do it in parallel
 * with the child's other work. */
int cgroup_attach(const struct cgroup_host *host, const char *path, pid_t pid, struct error *err);

struct cgroup_stats {
	uint64_t peak_memory_bytes, oom_kills, pids_denied, cpu_user_us, cpu_system_us; /* 0: not known */
};
void cgroup_stats(const struct cgroup_host *host, const char *path, struct cgroup_stats *ret);
/* Ends every process of the group (cgroup.kill, else SIGKILL until it is empty). */
int cgroup_kill(const struct cgroup_host *host, const char *path, struct error *err);
/* Removes the group; waits for the kernel to let go of it (at most 5 s). ENOENT is success. */
int cgroup_remove(const struct cgroup_host *host, const char *path, struct error *err);

#endif
