/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_RUN_H
#define BIVALVE_LAUNCH_RUN_H

#include "runtime/launch/prepare.h"
#include "runtime/launch/supervise.h"

/*
 * Parses the words of a command that describes a workload; more (may be NULL, at most 15 rows) are its own options.
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
/* A report that cannot be written should be known before the workload runs, not after. path may be NULL. 0 or -errno.
 */
int report_check_path(const char *path, struct error *err);
/* Writes a report as JSON to a file, or to standard output for "-". Returns 0 or -errno. */
int report_write(const struct report *report, const char *path, struct error *err);

#endif
