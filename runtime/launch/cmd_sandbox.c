/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve sandbox`: a program of the host, with as little of the host as it needs. */
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/run.h"
#include "runtime/launch/sandbox_changes.h"
#include "runtime/launch/summary.h"

static int run(const struct launch_options *o, const struct sandbox_changes *want, bool summary, struct report *report,
	struct error *err)
{
	struct supervise_io io = { .stdio = { 0, 1, 2 }, .terminal = o->terminal,
		.audit_path = o->audit, .best_effort = o->best_effort, .scratch_fd = -1 };
	struct plan plan = { 0 };
	uint64_t since_ns;
	int r = report_check_paths(o, err), finish = 0;

	if (r == 0)
		r = sandbox_changes_check(want, err);
	if (r == 0)
		r = prepare_plan(o, &plan, err);
	if (r == 0) {
		plan.changes = sandbox_changes_wanted(want, o->report != NULL);
		plan.figures |= summary;
		since_ns = clock_wall_ns();
		r = launch_plan(&plan, &io, report, err);
		if (r >= 0 && report->error)
			log_line(LOG_LEVEL_ERROR, "%s", report->error);
		if (r >= 0 && plan.changes && !report->error)
			finish = sandbox_changes_finish(want, &plan, io.scratch_fd, since_ns, report, err);
		if (r >= 0 && summary)
			summary_print(report, stderr);
		report_leave(o, report);
	}
	close_cleanup(&io.scratch_fd);
	record_release(&plan_type, &plan);
	return finish < 0 ? finish : r;
}

int cmd_sandbox(int argc, char **argv, struct error *err)
{
	struct launch_options o = { 0 };
	struct sandbox_changes want = { 0 };
	struct report report = { .start_ns = clock_now_ns() };
	bool summary = isatty(STDERR_FILENO);
	const struct option_row rows[] = {
		{ 0, "ro", OPTION_LIST, &o.ro_paths, "PATH", "show a folder or file of the host, read-only", NULL },
		{ 0, "rw", OPTION_LIST, &o.rw_paths, "PATH", "the same, and let it write there", NULL },
		{ 0, "changes", OPTION_FLAG, &want.list, NULL, "list afterwards what it changed", NULL },
		{ 0, "keep", OPTION_STRING, &want.keep, "DIR", "save what it made or changed in a new folder", NULL },
		{ 0, "commit", OPTION_FLAG, &want.commit, NULL, "list it, ask, and apply it to the real files", NULL },
		{ 'y', "yes", OPTION_FLAG, &want.yes, NULL, "with --commit: do not ask", NULL },
		{ 0, "summary", OPTION_FLAG, &summary, NULL,
			"say in two lines what the report says (the default on a terminal: --summary=false)", NULL },
		{ 0, NULL, OPTION_FLAG, NULL, NULL, NULL, NULL },
	};
	int r = launch_parse_program(&o, argc, argv, "sandbox [OPTIONS] PROGRAM [ARG…]", rows, err);

	if (r == 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO))
		o.terminal = true;
	r = r > 0 ? 0 : r < 0 ? r : run(&o, &want, summary, &report, err);
	launch_options_release(&o);
	record_release(&report_type, &report);
	return r;
}
