/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve compare`: the same workload in both shells, side by side. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/compare_runs.h"
#include "runtime/launch/run.h"

enum { SHELLS = 2, CAPTURE_MAX = 64 << 20, SHOWN_LINES = 8, COLUMN = 26 };

static const char *const shell_names[SHELLS] = { "container", "vm" };

struct side {
	struct report report;
	struct supervise_io io;
	struct error error;     /* why it did not run at all; code 0: it ran */
};

static void run_side(struct launch_options *o, const char *shell, struct side *s)
{
	struct plan plan = { 0 };
	int r;

	o->backend = shell;
	s->report.start_ns = clock_now_ns();
	s->io = (struct supervise_io){ .stdio = { 0, 1, 2 }, .capture = true, .capture_max = CAPTURE_MAX };
	r = prepare_plan(o, &plan, &s->error);
	if (r == 0)
		r = launch_plan(&plan, &s->io, &s->report, &s->error);
	if (r >= 0)
		s->error.code = 0;
	record_release(&plan_type, &plan);
}

static const struct report_milestone *milestone(const struct report *r, const char *name)
{
	for (size_t i = 0; i < r->n_milestones; i++)
		if (!strcmp(r->milestones[i].name, name))
			return &r->milestones[i];
	return NULL;
}

static void format_time(char *buf, size_t size, uint64_t us)
{
	if (us < 1000)
		(void)snprintf(buf, size, "%" PRIu64 " us", us);
	else if (us < 1000000)
		(void)snprintf(buf, size, "%.2f ms", (double)us / 1e3);
	else
		(void)snprintf(buf, size, "%.3f s", (double)us / 1e6);
}

static void format_bytes(char *buf, size_t size, uint64_t bytes)
{
	if (bytes == 0)
		(void)snprintf(buf, size, "-");
	else if (bytes < 1 << 20)
		(void)snprintf(buf, size, "%.1f KiB", (double)bytes / 1024);
	else
		(void)snprintf(buf, size, "%.1f MiB", (double)bytes / 1048576);
}

static void row(const char *name, const char *left, const char *right)
{
	if (!*left)
		printf("  %s\n", name);
	else
		printf("  %-28s %-*s%s%s\n", name, *right ? COLUMN : 0, left, *right ? " " : "", right);
}

static void status_text(char *buf, size_t size, const struct side *s)
{
	const struct report *r = &s->report;

	switch ((enum report_status)r->status) {
	case REPORT_EXITED: (void)snprintf(buf, size, "exit %" PRId64, r->exit_code); break;
	case REPORT_SIGNALED: (void)snprintf(buf, size, "%s", r->signal); break;
	case REPORT_OOM: (void)snprintf(buf, size, "out of memory (%s)", r->signal); break;
	case REPORT_TIMEOUT: (void)snprintf(buf, size, "time-out"); break;
	case REPORT_LIMIT: (void)snprintf(buf, size, "limit"); break;
	case REPORT_ERROR: (void)snprintf(buf, size, "error %" PRId64, r->exit_code); break;
	}
	if (s->error.code)
		(void)snprintf(buf, size, "did not run");
}

/* One row of a time that both reports hold at the same place. */
static void time_row(const char *name, const struct side *s, uint64_t left, uint64_t right)
{
	char cells[SHELLS][40];
	const uint64_t values[SHELLS] = { left, right };

	for (int i = 0; i < SHELLS; i++) {
		if (s[i].error.code)
			(void)snprintf(cells[i], sizeof cells[i], "-");
		else
			format_time(cells[i], sizeof cells[i], values[i]);
	}
	row(name, cells[0], cells[1]);
}

static void milestone_rows(const struct side *s)
{
	static const struct { const char *name, *label; } shown[] = {
		{ "vmm-started", "  machine started" }, { "kernel-entered", "  guest kernel entered" },
		{ "agent-ready", "  agent ready" }, { "isolated", "  isolated" }, { "exec", "  exec" },
		{ "first-output", "  first output" }, { "exit", "  exit" }, { "cleaned-up", "  cleaned up" },
	};

	row("start-up and end, at", "", "");
	for (size_t k = 0; k < ARRAY_LEN(shown); k++) {
		char cells[SHELLS][40] = { "-", "-" };
		bool any = false;

		for (int i = 0; i < SHELLS; i++) {
			const struct report_milestone *m = milestone(&s[i].report, shown[k].name);

			if (m)
				format_time(cells[i], sizeof cells[i], m->at_us);
			any |= m != NULL;
		}
		if (any)
			row(shown[k].label, cells[0], cells[1]);
	}
}

static bool same_output(const struct side *s)
{
	return s[0].io.out_bytes == s[1].io.out_bytes && s[0].io.out.len == s[1].io.out.len &&
		(s[0].io.out.len == 0 || !memcmp(s[0].io.out.text, s[1].io.out.text, s[0].io.out.len));
}

static void show_output(const char *title, const struct strbuf *text)
{
	const char *at = text->text;

	printf("%s\n", title);
	for (int line = 0; at && *at; line++) {
		size_t len = strcspn(at, "\n");

		if (line == SHOWN_LINES) {
			printf("  | …\n");
			break;
		}
		printf("  | %.*s\n", (int)(len < 110 ? len : 110), at);
		at += len + (at[len] == '\n');
	}
	printf("\n");
}

static void print_table(struct side *s, bool both, bool equal)
{
	char cells[SHELLS][60];

	row("", "container", "microVM");
	for (int i = 0; i < SHELLS; i++)
		status_text(cells[i], sizeof cells[i], &s[i]);
	row("status", cells[0], cells[1]);
	for (int i = 0; i < SHELLS; i++)
		(void)snprintf(cells[i], sizeof cells[i], "%" PRIu64 " bytes", s[i].io.out_bytes);
	row("output", cells[0], cells[1]);
	if (both)
		row("output equal", equal ? "yes" : "NO", "");
	time_row("wall time", s, s[0].report.wall_us, s[1].report.wall_us);
	milestone_rows(s);
	time_row("CPU time of the workload", s, s[0].report.cpu_user_us + s[0].report.cpu_system_us,
			s[1].report.cpu_user_us + s[1].report.cpu_system_us);
	for (int i = 0; i < SHELLS; i++)
		format_bytes(cells[i], sizeof cells[i], s[i].report.peak_memory_bytes);
	row("peak memory of the workload", cells[0], cells[1]);
	format_bytes(cells[1], sizeof cells[1], s[1].report.vmm_peak_rss_bytes);
	row("resident on the host", "the same", s[1].error.code ? "-" : cells[1]);
	if (!s[1].error.code)
		time_row("CPU time on the host", s, s[0].report.cpu_user_us + s[0].report.cpu_system_us,
				s[1].report.vmm_cpu_us);
	if (s[1].report.engine)
		printf("\n  engine %s: %s\n", s[1].report.engine, s[1].report.engine_reason);
	if (s[1].report.engine_reason && strstr(s[1].report.engine_reason, "with emulation"))
		printf("  The machine's processor is emulated: its times say nothing about what a VM costs on KVM.\n");
}

static void print_json(const struct side *s, bool both, bool equal)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_object(w, NULL);
	json_put_int(w, "version", 1);
	if (both)
		json_put_bool(w, "output_equal", equal);
	for (int i = 0; i < SHELLS; i++) {
		json_begin_object(w, shell_names[i]);
		if (s[i].error.code)
			json_put_string(w, "error", s[i].error.message);
		else
			record_write(w, "report", &report_type, &s[i].report, true);
		json_put_uint(w, "output_bytes", s[i].io.out_bytes);
		json_end(w);
	}
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
}

static void print_people(struct side *s, bool both, bool equal)
{
	if (both && equal) {
		show_output("output of both:", &s[0].io.out);
	} else {
		for (int i = 0; i < SHELLS; i++)
			if (!s[i].error.code)
				show_output(i ? "output of the microVM:" : "output of the container:", &s[i].io.out);
	}
	print_table(s, both, equal);
	fflush(stdout);
	for (int i = 0; i < SHELLS; i++) {
		if (s[i].error.code)
			log_line(LOG_LEVEL_WARNING, "the %s did not run: %s", i ? "microVM" : "container",
					s[i].error.message);
		else if (s[i].report.error)
			log_line(LOG_LEVEL_WARNING, "%s: %s", shell_names[i], s[i].report.error);
		if (s[i].io.err.len)
			log_line(LOG_LEVEL_INFO, "standard error of the %s begins: %.*s", i ? "microVM" : "container",
					(int)strcspn(s[i].io.err.text, "\n"), s[i].io.err.text);
	}
}

/* 0: what ran agrees; 1: the shells differ; 125: neither ran. */
static int compare(struct launch_options *o, bool json, struct error *err)
{
	_cleanup_free_ char *name = xasprintf("compare-%d", (int)getpid());
	struct side s[SHELLS] = { 0 };
	bool both, equal;
	int r = 0;

	o->name = name; /* one after the other: the same name, so that even `hostname` prints the same */
	for (int i = 0; i < SHELLS; i++)
		run_side(o, shell_names[i], &s[i]);
	both = !s[0].error.code && !s[1].error.code;
	equal = both && same_output(s);
	if (s[0].error.code && s[1].error.code)
		r = !strcmp(s[0].error.message, s[1].error.message)
			? error_set(err, s[0].error.code, "%s", s[0].error.message)
			: error_set(err, s[0].error.code, "neither shell can run it: container: %.400s; vm: %.400s",
				s[0].error.message, s[1].error.message);
	else if (json)
		print_json(s, both, equal);
	else
		print_people(s, both, equal);
	if (r == 0 && both && (!equal || s[0].report.exit_code != s[1].report.exit_code))
		r = 1;
	for (int i = 0; i < SHELLS; i++) {
		record_release(&report_type, &s[i].report);
		strbuf_release(&s[i].io.out);
		strbuf_release(&s[i].io.err);
	}
	return r;
}

/* What only one run, or only many, can do is refused by name. */
static int check_options(const struct launch_options *o, const struct compare_runs *many, struct error *err)
{
	if (o->vm || o->backend || o->terminal || o->report || o->meta || o->audit || o->interactive || o->name)
		return error_set(err, EINVAL, "compare chooses both shells, their names and streams itself: no --vm, "
				"--backend, --name, -i, -t, --audit, --meta or --report (--json prints both reports)");
	if (many->runs < 2 && (many->backends || many->warmup != 1 || many->output.csv || many->output.markdown ||
			many->output.html))
		return error_set(err, EINVAL,
			"compare: --warmup, --backends, --csv, --md and --html need --runs of 2 or more");
	return 0;
}

int cmd_compare(int argc, char **argv, struct error *err)
{
	struct launch_options o = { 0 };
	struct compare_runs many = { .warmup = 1 };
	bool json = false;
	const struct option_row more[] = {
		{ 0, "json", OPTION_FLAG, &json, NULL, "print both reports (with --runs the result) as JSON", NULL },
		COMPARE_ROWS(many),
		{ .name = "vm" }, { .name = "backend" }, { .name = "name" }, { .name = "interactive" },
		{ .name = "tty" }, { .name = "report" }, { .name = "meta" }, { .name = "audit" }, { .name = "from" },
		{ 0 },
	};
	int r = launch_parse(&o, argc, argv,
		"compare [OPTIONS of launch] IMAGE [COMMAND [ARG…]]\n\n"
		"Runs the command first in a container, then in a microVM, without standard input. With --runs N: N "
		"times\n"
		"in turn, output thrown away, and says with intervals what differs (docs/benchmarks.md).\n"
		"Exit status: 0 the same status and output, 1 they differ (--runs: one failed), 125 neither could "
		"run",
		more, err);

	if (r > 0) {
		launch_options_release(&o);
		return 0;
	}
	if (r == 0)
		r = check_options(&o, &many, err);
	if (r == 0 && many.runs >= 2) {
		many.output.json = json ? "-" : NULL;
		r = compare_runs(&o, argv, &many, err);
	} else if (r == 0) {
		r = compare(&o, json, err);
	}
	launch_options_release(&o);
	return r;
}
