/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_SUPERVISE_H
#define BIVALVE_LAUNCH_SUPERVISE_H

#include "runtime/base/strbuf.h"
#include "runtime/launch/audit.h"
#include "runtime/model/backend.h"

/* Standard streams of a supervised run. */
struct supervise_io {
	int stdio[3];             /* the workload's, unless it has a terminal */
	bool terminal;            /* the plan has one: its master is joined to our standard input and output */
	bool capture; /* standard output and error are collected here instead, at most capture_max bytes each */
	size_t capture_max;
	bool best_effort;         /* limits that cannot bind are left out, and named in the report */
	struct strbuf out, err;
	uint64_t out_bytes;       /* all of standard output, collected or not */
	bool no_figures;          /* nobody will read what the report says of resources */
	const char *pid_file;     /* written once the workload is created; NULL: none */
	/* Who hears what plan.audit asks for; launch_plan() makes one if there is none. */
	struct audit *audit;
	const char *audit_path;   /* of its lines; NULL: none */
	int scratch_fd; /* set after a run whose plan wants the changes: to be closed by the caller; else -1 */
	bool keep;                /* afterwards it stays as a stopped, detached instance, for `state` and `delete` */
};

/*
 * Runs a checked plan from an empty instance to a removed one: folder, create, start, watch (signals are forwarded,
 * time limit, terminal), account, delete. The report is complete at the end, also after a failure.
 * A plan of a bundle also runs its hooks poststart and poststop, and its plan.json lies beside state.json while it
 * runs.
 * Returns the exit status (124 to 127 for the cases of commands.h), or -errno if nothing was started.
 */
int supervise_run(const struct backend *backend, const struct plan *plan, struct supervise_io *io,
		struct report *report, struct error *err);

#endif
