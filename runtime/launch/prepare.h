/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_PREPARE_H
#define BIVALVE_LAUNCH_PREPARE_H

#include "runtime/base/options.h"
#include "runtime/model/backend.h"

/* What the command line of launch, plan and compare says. Strings point into argv unless they are lists. */
struct launch_options {
	bool vm, interactive, terminal, read_only, init_off, json;
	const char *backend, *policy, *name, *workdir, *user, *hostname, *entrypoint, *network, *kernel, *engine;
	const char *start, *from;
	const char *report, *meta, *audit;
	char **volumes, **env, **tmpfs, **ports;
	uint64_t memory_bytes, timeout_us, pids, upper_bytes, disk_bytes, upper_inodes;
	uint64_t cpu_time_us, output_bytes, file_bytes, open_files;
	bool best_effort;
	double cpus;
	const char *image;     /* the first word after the options; NULL: sandbox, the root is a view of the host */
	char **command;        /* the rest: points into argv, NULL-terminated */
	char **ro_paths, **rw_paths; /* sandbox: more of the host that is shown */
};

/* launch_options.c. The rows of all options that describe a workload; valid while o is. Ends with name NULL. */
enum { LAUNCH_ROWS = 48 };
void launch_option_rows(struct launch_options *o, struct option_row rows[LAUNCH_ROWS]);
void launch_options_release(struct launch_options *o);

/*
 * Builds the plan from options, image and policy. Only reads: the EROFS disk and the initramfs are named, not made.
 * Returns 0 or -errno.
 */
int prepare_plan(const struct launch_options *o, struct plan *ret, struct error *err);
/* The store's kernel for the machine of a bundle's plan, which may name one. Only reads. */
int prepare_machine(struct plan *plan, struct error *err);
/* The plan of launch --from: a saved instance's, with what of it is this launch's. */
int prepare_saved(const struct launch_options *o, struct plan *ret, struct error *err);
/* The instance's name as it was given, checked, or a random one. */
int prepare_name(const char *given, char **ret, struct error *err);
/* Makes what the plan names and the store lacks: the image's disk, the initramfs. For the VM shell only. */
int prepare_store(struct plan *plan, struct error *err);
/* Of these the empty disk for the writes, which a container has too. Part of prepare_store(). 1: it was made. */
int prepare_scratch(const struct plan *plan, struct error *err);

/* Tries, in a child that is gone afterwards, to make namespaces and mounts. Returns 0 or -errno. */
int namespaces_try(struct error *err);

/* The backend by name ("container", "vm"), or NULL. */
const struct backend *backend_find(const char *name);

#endif
