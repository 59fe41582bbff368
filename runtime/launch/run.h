/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_RUN_H
#define BIVALVE_LAUNCH_RUN_H

#include "runtime/base/strbuf.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/supervise.h"

/*
 * Parses the words of a command that describes a workload; more (may be NULL, at most 15 rows) are its own options.
 * A row of a name alone, without help, keeps the option of that name out of the command's help, for it will refuse it.
 * Returns 0, 1 when help was asked for and printed, or -EINVAL.
 */
int launch_parse(struct launch_options *o, int argc, char **argv, const char *usage, const struct option_row *more,
		struct error *err);
/* The same for a command whose words after the options are a program of the host: o->image stays NULL. */
int launch_parse_program(struct launch_options *o, int argc, char **argv, const char *usage,
	const struct option_row *more, struct error *err);
/*
 * Checks the plan, makes what the store lacks for it (its initramfs' path is set then) and runs it. Returns the exit
 * status, or -errno when nothing was started.
 */
int launch_plan(struct plan *plan, struct supervise_io *io, struct report *report, struct error *err);
/* A report that cannot be written should be known before the workload runs, not after. 0 or -errno. */
int report_check_paths(const struct launch_options *o, struct error *err);
/* Leaves what the options ask for of a run that began: --report, --meta. What cannot be written is told. */
void report_leave(const struct launch_options *o, const struct report *report);
/* Writes a report as JSON to a file, or to standard output for "-". Returns 0 or -errno. */
int report_write(const struct report *report, const char *path, struct error *err);
/* The same as isolate's meta file (docs/report.md); the text alone. */
int meta_write(const struct report *report, const char *path, struct error *err);
void meta_text(const struct report *report, struct strbuf *to);

#endif
