/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_CGROUP_H
#define BIVALVE_ENFORCE_CGROUP_H

#include <sys/types.h>

#include "runtime/model/plan.h"
#include "runtime/model/stats.h"

/*
 * Control groups on pure v1, hybrid (v1 controllers, v2 for naming) and pure v2 hosts. A group is named by its path
 * below each hierarchy's root ("bivalve-<id>", "kubepods/pod1/x"); see cgroup_path_of().
 */
enum cgroup_layout { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

/* Hierarchies. On v1 each controller has its own (or shares one: equal roots); on pure v2 only UNIFIED is there. */
enum cgroup_hierarchy {
	CGROUP_UNIFIED,
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_PIDS,
	CGROUP_FREEZER,
	CGROUP_CPUSET,
	CGROUP_DEVICES,
	CGROUP_BLKIO,
	CGROUP_HUGETLB,
	CGROUP_NET_CLS,
	CGROUP_NET_PRIO,
	CGROUP_RDMA,
	CGROUP_HIERARCHIES,
};
#define CGROUP_BIT(h) (1u << CGROUP_##h)
enum { CGROUP_ROOT_MAX = 96, CGROUP_PATH_MAX = 1024 };

struct cgroup_host {
	enum cgroup_layout layout;
	bool memory, cpu, pids, freezer; /* usable by this process: mounted and writable */
	bool swap;                       /* swap can be limited */
	/* the other controllers, by CGROUP_BIT(); v1: those that are known, see cgroup_has() */
	unsigned others;
	/* Where each is mounted and writable; "": not. v1's beyond the five above: where it would be. */
	char roots[CGROUP_HIERARCHIES][CGROUP_ROOT_MAX];
	/* v2 of an ordinary user: the topmost group that was delegated; "": the root */
	char base[CGROUP_ROOT_MAX];
};

/* Looks; makes nothing. Cheap (some 20 us where cgroups are in the usual places). Never fails. */
void cgroup_probe(struct cgroup_host *ret);
const char *cgroup_layout_name(enum cgroup_layout layout); /* "none", "v1", "hybrid", "v2" */
/* Whether this process can make groups at all. */
bool cgroup_usable(const struct cgroup_host *host);
/* Whether this process can set what the controller of this hierarchy limits. DEVICES on v2: by eBPF. */
bool cgroup_has(const struct cgroup_host *host, enum cgroup_hierarchy h);

/*
 * The path of a plan's group: plan->cgroup without its first slashes (absolute and relative paths are both below each
 * hierarchy's root, as with the other runtimes' cgroupfs drivers), else bivalve-<id>; below the delegated group, where
 * there is one. The caller's; NULL and err for a path that cgroup_path_check() refuses.
 */
char *cgroup_path_of(const struct cgroup_host *host, const struct plan *plan, struct error *err);
/* -EBUSY: a group of this path exists already and has processes: not one to make, and above all not one to destroy. */
int cgroup_check_free(const struct cgroup_host *host, const char *path, struct error *err);
/* Not empty, not too long, no "." or ".." component, nothing unprintable. */
int cgroup_path_check(const char *path, struct error *err);
/*
 * "slice:prefix:name", as systemd's driver of other runtimes takes it, as a path: the nested folders of the slice
 * ("a-b.slice" is a.slice/a-b.slice; "" is system.slice, "-.slice" the root), then prefix-name.scope, or name alone
 * if it
 * ends with ".slice". systemd is not asked: the group is made beside those that it manages, under the name that it
 * would give. The caller's; NULL and err (-EINVAL) when it is not of that form.
 */
char *cgroup_systemd_path(const char *text, struct error *err);

/* Refuses, by name, limits that this host cannot bind (-EOPNOTSUPP) or out of range (-EINVAL). Makes nothing. */
int cgroup_check(const struct cgroup_host *host, const struct plan_resources *res, struct error *err);

/*
 * Makes the group in every hierarchy that res needs (and in those that give the figures of cgroup_stats) and sets the
 * limits. A limit that this host cannot bind is -EOPNOTSUPP naming it. On failure nothing is left.
 */
int cgroup_create(const struct cgroup_host *host, const char *path, const struct plan_resources *res,
		struct error *err);
/*
 * The same with more: CGROUP_FIGURES counts all that struct stats has room for; CGROUP_NO_FIGURES makes no group but
 * for limits, and one to hold the processes;
 * CGROUP_DEVICES_IF_ABLE skips rules for devices where the kernel has no means to enforce them (for the guest: a
 * microVM
 * has no devices of the host's). *ret_hierarchies, which may be NULL: a bit for each hierarchy that it was made in.
 */
enum { CGROUP_FIGURES = 1, CGROUP_DEVICES_IF_ABLE = 2, CGROUP_NO_FIGURES = 4 };
int cgroup_create_with(const struct cgroup_host *host, const char *path, const struct plan_resources *res,
		unsigned flags, unsigned *ret_hierarchies, struct error *err);
/*
 * Moves pid with all its threads into the group, in every hierarchy. On v1 this may wait for RCU for several ms. pid 0
 * is the calling process itself, which must have one thread only: that waits for nothing (Linux 5.18 and later).
 */
int cgroup_attach(const struct cgroup_host *host, const char *path, pid_t pid, struct error *err);

/* For clone3(CLONE_INTO_CGROUP): the group's folder on pure v2, else -1 without an error. */
int cgroup_open_dir(const struct cgroup_host *host, const char *path);
/*
 * For a child that can no longer see the hierarchies: each v1 group's `tasks`, open for writing. cgroup_join() in a
 * process with one thread moves it by them; that waits for nothing. hierarchies: those to look in, ~0u for all.
 * Returns how many were opened (0 on v2), or -errno.
 */
int cgroup_open_join(const struct cgroup_host *host, const char *path, unsigned hierarchies,
		int ret_fds[CGROUP_HIERARCHIES], struct error *err);
int cgroup_join(const int *fds, size_t n, struct error *err);

/* Stops every process of the group (v1 freezer, v2 cgroup.freeze) or lets them go on; returns once it is so. */
int cgroup_freeze(const struct cgroup_host *host, const char *path, bool frozen, struct error *err);
/* Sets all limits anew, in an order that never makes a passing state that the kernel refuses. */
int cgroup_update(const struct cgroup_host *host, const char *path, const struct plan_resources *res,
		struct error *err);
/* All that the group's controllers count; what is not there stays 0. stats_type releases it. */
int cgroup_measure(const struct cgroup_host *host, const char *path, struct stats *ret, struct error *err);
/* The processes of the group and of those below it. *ret is the caller's. */
int cgroup_processes(const struct cgroup_host *host, const char *path, pid_t **ret, size_t *ret_n, struct error *err);

/* Sends a signal to every process of the group and below. SIGKILL: until none is left. */
int cgroup_signal(const struct cgroup_host *host, const char *path, int signo, struct error *err);

struct cgroup_cpu {
	uint64_t user_us, system_us;
};
struct cgroup_stats {
	uint64_t peak_memory_bytes, oom_kills, pids_denied; /* 0: not known */
	uint64_t cpu_throttled, cpu_throttled_us; /* periods in which the quota was used up; how long it held back */
	struct cgroup_cpu cpu;
};
void cgroup_stats(const struct cgroup_host *host, const char *path, struct cgroup_stats *ret);
/* The CPU time alone. */
void cgroup_cpu(const struct cgroup_host *host, const char *path, struct cgroup_cpu *ret);
/* What is left of it without a part; never below 0, since the kernel divides a sum anew each time. */
struct cgroup_cpu cgroup_cpu_without(struct cgroup_cpu all, struct cgroup_cpu part);
/* Ends every process of the group (cgroup.kill, else SIGKILL until it is empty). */
int cgroup_kill(const struct cgroup_host *host, const char *path, struct error *err);
/* Kill and remove in one; cheap when the group is empty, as it is after the last process ended. ENOENT is success. */
int cgroup_destroy(const struct cgroup_host *host, const char *path, struct error *err);
/* Removes the group; waits for the kernel to let go of it (at most 5 s). ENOENT is success. */
int cgroup_remove(const struct cgroup_host *host, const char *path, struct error *err);

#endif
