/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve launch` and `bivalve plan`: one workload in one shell. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container-backend/scratch.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/limits.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/run.h"

/* Not in the help of a verb that refuses it, though still understood, so that the refusal can say why. */
static void hide(struct option_row *rows, const char *name)
{
	for (; rows->name; rows++)
		if (!strcmp(rows->name, name))
			rows->help = NULL;
}

/* Reads the options. *ret_at: the first other word, which is there. 1: help was asked for and printed. */
static int parse(struct launch_options *o, int argc, char **argv, const char *usage, const struct option_row *more,
		const char *what, int *ret_at, struct error *err)
{
	struct option_row rows[LAUNCH_ROWS + 16];
	size_t n = 0;
	bool help;
	int at, r;

	launch_option_rows(o, rows);
	while (rows[n].name)
		n++;
	for (; more && more->name; more++) {
		if (more->help)
			rows[n++] = *more;
		else
			hide(rows, more->name);
	}
	rows[n] = (struct option_row){ 0 };
	r = options_parse(rows, argc, argv, &at, &help, err);
	if (r < 0)
		return r;
	if (help) {
		printf("Usage: bivalve %s\n\nOptions:\n", usage);
		options_print(rows, stdout);
		return 1;
	}
	if (o->from && at < argc)
		return error_set(err, EINVAL, "--from: %s: a saved microVM has its image and command", argv[at]);
	if (at >= argc && !o->from)
		return error_set(err, EINVAL,
			"%s needs %s: see `bivalve %s --help`", argv[0], what, argv[0]);
	*ret_at = at;
	return 0;
}

int launch_parse(struct launch_options *o, int argc, char **argv, const char *usage, const struct option_row *more,
		struct error *err)
{
	int at, r = parse(o, argc, argv, usage, more, "the name of an image", &at, err);

	if (r)
		return r;
	if (o->from)
		return 0;
	o->image = argv[at];
	o->command = argv + at + 1;
	return 0;
}

int launch_parse_program(struct launch_options *o, int argc, char **argv, const char *usage,
	const struct option_row *more, struct error *err)
{
	int at, r = parse(o, argc, argv, usage, more, "a program", &at, err);

	if (r)
		return r;
	o->command = argv + at;
	return 0;
}

int report_write(const struct report *report, const char *path, struct error *err)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;
	size_t len;

	record_write(w, NULL, &report_type, report, true);
	text = json_writer_finish(w, &len);
	if (!strcmp(path, "-"))
		return fd_write_full(STDOUT_FILENO, text, len) < 0 ? error_sys(err, "cannot write the report") : 0;
	if (file_write_atomic(AT_FDCWD, path, text, len, 0644, err) < 0)
		return error_prefix(err, "report");
	return 0;
}

int report_check_paths(const struct launch_options *o, struct error *err)
{
	int r = path_check_output("--report", o->report, err);

	return r < 0 ? r : path_check_output("--meta", o->meta, err);
}

void report_leave(const struct launch_options *o, const struct report *report)
{
	struct error err = { 0 };

	if (!report->version) /* it was refused before there was anything to report */
		return;
	if (o->report && report_write(report, o->report, &err) < 0)
		log_line(LOG_LEVEL_ERROR, "%s", err.message);
	if (o->meta && meta_write(report, o->meta, &err) < 0)
		log_line(LOG_LEVEL_ERROR, "%s", err.message);
}

static int run_audited(const struct backend *backend, struct plan *plan, struct supervise_io *io,
	struct report *report, struct error *err)
{
	struct audit *own = NULL;
	int r = io->audit ? 0 : audit_open(plan, io->audit_path, &own, err);

	if (r < 0)
		return r;
	io->audit = own ? own : io->audit;
	r = supervise_run(backend, plan, io, report, err);
	if (own)
		io->audit = NULL;
	audit_free(own);
	return r;
}

static void tell_scratch(const struct plan *plan, struct report *report)
{
	if (!plan->root.upper_disk)
		return;
	report->scratch = xstrdup(plan->root.scratch ? "disk" : "tmpfs");
	report->scratch_reason = plan->root.scratch ? NULL : xstrdup(scratch_refusal());
}

int launch_plan(struct plan *plan, struct supervise_io *io, struct report *report, struct error *err)
{
	const struct backend *backend = backend_find(plan->backend);
	int r = limits_check(plan, io->best_effort, report, err);

	tell_scratch(plan, report);
	if (r == 0)
		r = backend->check(plan, err);
	if (r == 0) {
		bool vm = !strcmp(plan->backend, "vm");

		r = vm ? prepare_store(plan, err) : prepare_scratch(plan, err);
		if (vm || r > 0)
			report->start_ns = clock_now_ns(); /* what is made once and kept is no part of starting */
	}
	return r < 0 ? r : run_audited(backend, plan, io, report, err);
}

static int open_input(const struct launch_options *o, int *ret_fd, struct error *err)
{
	if (o->interactive || o->terminal)
		return 0;
	*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? error_sys(err, "cannot open /dev/null") : 0;
}

static int launch(const struct launch_options *o, struct report *report, struct error *err)
{
	struct supervise_io io = { .stdio = { 0, 1, 2 }, .terminal = o->terminal,
		.audit_path = o->audit, .best_effort = o->best_effort };
	_cleanup_close_ int input = -1;
	struct plan plan = { 0 };
	int r = report_check_paths(o, err);

	if (r == 0)
		r = o->from ? prepare_saved(o, &plan, err) : prepare_plan(o, &plan, err);
	if (r == 0)
		r = open_input(o, &input, err);
	if (r == 0) {
		io.stdio[0] = input >= 0 ? input : 0;
		r = launch_plan(&plan, &io, report, err);
		if (r >= 0 && report->error)
			log_line(LOG_LEVEL_ERROR, "%s", report->error);
		report_leave(o, report);
	}
	record_release(&plan_type, &plan);
	return r;
}

int cmd_launch(int argc, char **argv, struct error *err)
{
	struct launch_options o = { 0 };
	struct report report = { .start_ns = clock_now_ns() };
	int r = launch_parse(&o, argc, argv, "launch [OPTIONS] IMAGE [COMMAND [ARG…]]", NULL, err);

	r = r > 0 ? 0 : r < 0 ? r : launch(&o, &report, err);
	launch_options_release(&o);
	record_release(&report_type, &report);
	return r;
}

int cmd_plan(int argc, char **argv, struct error *err)
{
	struct launch_options o = { 0 };
	struct plan plan = { 0 };
	int r = launch_parse(&o, argc, argv, "plan [OPTIONS of launch] IMAGE [COMMAND [ARG…]]", NULL, err);

	if (r == 0)
		r = prepare_plan(&o, &plan, err);
	if (r == 0)
		r = backend_find(plan.backend)->check(&plan, err);
	if (r == 0) {
		struct json_writer *w = json_writer_new(false);
		_cleanup_free_ char *text = NULL;

		record_write(w, NULL, &plan_type, &plan, false);
		text = json_writer_finish(w, NULL);
		fputs(text, stdout);
	}
	record_release(&plan_type, &plan);
	launch_options_release(&o);
	return r > 0 ? 0 : r;
}
