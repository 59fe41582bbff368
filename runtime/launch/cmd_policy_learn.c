/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve policy learn`: runs a program, watches all that it does, and writes the policy that this took. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/audit.h"
#include "runtime/launch/cmd_policy.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/learn.h"
#include "runtime/launch/run.h"

static const char usage[] = "policy learn [-o FILE] [OPTIONS of launch] IMAGE [COMMAND [ARG…]]\n"
	"       bivalve policy learn [-o FILE] [OPTIONS of sandbox] -- PROGRAM [ARG…]";
static const uint64_t upper_bytes = UINT64_C(256) << 20;

/* The run may write, so that it is seen what it writes to; it gains no rights; Landlock would hide what it wants. */
static void open_up(struct plan *plan)
{
	plan->process.no_new_privs = true;
	plan->audit = PLAN_AUDIT(DENIED) | PLAN_AUDIT(LEARN);
	plan->landlock.restricts = 0;
}

static int write_document(const char *text, const char *path, struct error *err)
{
	if (!path || !strcmp(path, "-"))
		return fd_write_full(STDOUT_FILENO, text, strlen(text)) < 0 ?
			error_sys(err, "cannot write the policy") : 0;
	return file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, err);
}

static int run_watched(struct plan *plan, const struct launch_options *o, struct learnt *learnt, struct report *report,
		struct error *err)
{
	struct supervise_io io = { .stdio = { 0, 1, 2 }, .terminal = o->terminal };
	int r = audit_open(plan, o->audit, &io.audit, err);

	if (r < 0)
		return r;
	audit_hear(io.audit, learnt_hear, learnt);
	r = launch_plan(plan, &io, report, err);
	audit_free(io.audit);
	if (r >= 0 && report->error)
		r = error_set(err, EIO, "%s", report->error);
	return r;
}

static int learn(struct launch_options *o, const char *out, struct error *err)
{
	struct report report = { .start_ns = clock_now_ns() };
	struct learnt *learnt = learnt_new();
	_cleanup_free_ char *text = NULL;
	struct policy base = { 0 };
	struct plan plan = { 0 };
	int code = 0, r = policy_load(o->policy, &base, err);
	bool writable = r == 0 && base.read_only_root && !o->read_only;

	if (writable && !o->upper_bytes)
		o->upper_bytes = upper_bytes;
	if (r == 0)
		r = prepare_plan(o, &plan, err);
	if (r == 0) {
		open_up(&plan);
		r = code = run_watched(&plan, o, learnt, &report, err);
	}
	if (r >= 0) {
		text = learnt_document(learnt, &base, &plan, &report, writable);
		r = write_document(text, out, err);
		r = r < 0 ? r : code;
	}
	learnt_free(learnt);
	policy_release(&base);
	record_release(&plan_type, &plan);
	record_release(&report_type, &report);
	return r;
}

int policy_verb_learn(int argc, char **argv, struct error *err)
{
	struct launch_options o = { 0 };
	const char *out = NULL;
	const struct option_row rows[] = {
		{ 'o', "output", OPTION_STRING, &out, "FILE", "write the policy there (standard output)", NULL },
		{ 0, "ro", OPTION_LIST, &o.ro_paths, "PATH", "as of sandbox", NULL },
		{ 0, "rw", OPTION_LIST, &o.rw_paths, "PATH", "as of sandbox", NULL },
		{ 0, NULL, OPTION_FLAG, NULL, NULL, NULL, NULL },
	};
	int r = launch_parse(&o, argc, argv, usage, rows, err);

	if (r == 0 && o.command - 2 > argv && !strcmp(o.command[-2], "--")) { /* a program of the host */
		o.image = NULL;
		o.command--;
	}
	if (r == 0 && !o.policy)
		o.policy = "strict";
	r = r > 0 ? 0 : r < 0 ? r : learn(&o, out, err);
	launch_options_release(&o);
	return r;
}
