/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_SANDBOX_CHANGES_H
#define BIVALVE_LAUNCH_SANDBOX_CHANGES_H

#include "runtime/model/plan.h"
#include "runtime/model/report.h"

/* What to do with what a sandboxed program changed. */
struct sandbox_changes {
	bool list, commit, yes;
	const char *keep;        /* a folder; NULL: no */
};

/* What the plan has to hand out for that. */
int sandbox_changes_wanted(const struct sandbox_changes *want, bool report);
/* Refuses what can be known to fail before anything runs. Returns 0 or -errno. */
int sandbox_changes_check(const struct sandbox_changes *want, struct error *err);
/*
 * After the run: reads the changes from scratch_fd into the report, lists, keeps and applies them as wanted.
 * since_ns: the wall clock before the run. Returns 0 or -errno: the program's own status is then not all there is to
 * say.
 */
int sandbox_changes_finish(const struct sandbox_changes *want, const struct plan *plan, int scratch_fd,
	uint64_t since_ns, struct report *report, struct error *err);

#endif
