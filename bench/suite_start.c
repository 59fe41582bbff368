/* SPDX-License-Identifier: Apache-2.0 */
/* The suites that start an instance for each sample: start-up, many at once, teardown. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"

/*
 * A start that is interrupted may end by itself first: a launcher that SIGTERM meets before it watches for it leaves
 * its folder to the next launch.
 */
enum { INTERRUPT_GRACE_MS = 2000, START_MS = 180000,
	 MAX_LEVEL = 50, MAX_EMULATED = 8, MACHINE_MIB = 300, REPORT_MAX = 1 << 20 };

static const uint64_t mib = 1 << 20;

/* 0: it ended with status 0. Else err says how it ended. */
static int check_status(int status, bool any, struct error *err)
{
	if (status == 0 || (any && WIFEXITED(status) && WEXITSTATUS(status) < 124))
		return 0;
	if (WIFSIGNALED(status))
		return error_set(err, EIO, "ended by signal %d", WTERMSIG(status));
	return error_set(err, EIO, "exit status %d%s", WEXITSTATUS(status),
			WEXITSTATUS(status) == 125 ? ": it could not be run" : "");
}

static void keep_milestones(struct bench_context *c, const char *suite, size_t column, const struct strbuf *report)
{
	_cleanup_json_ struct json *j = NULL;

	if (report->len == 0 || json_parse(report->text, report->len, "report", &j, NULL) < 0)
		return;
	json_foreach(m, json_get(j, "milestones")) {
		const char *name = json_string(m, "name");
		const struct json *at = json_get(m, "at_us");
		char label[80];
		uint64_t us;

		if (!name || !at || !json_uint(at, &us))
			continue;
		(void)snprintf(label, sizeof label, "at %.60s", name);
		bench_cell_add(bench_cell(c, suite, label, "ms", false, column), (double)us / 1e3);
	}
	if (json_string(j, "engine") && !bench_result_find_fact(c->result, "engine"))
		bench_result_fact(c->result, "engine", "%s: %s", json_string(j, "engine"),
			json_string(j, "engine_reason") ? json_string(j, "engine_reason") : "");
}

/* One start, to its end. -EINTR: stopped. */
static int start_once(struct bench_context *c, const char *suite, size_t column, bool keep)
{
	const struct bench_column *k = &c->columns[column];
	bool piped = k->report && !strcmp(k->report, "-");
	char *with_report[] = { (char *)"--report", (char *)(uintptr_t)k->report, NULL };
	const struct child_options o = {
		.pipes = piped ? CHILD_OUT : 0, .root = k->root, .cwd = k->cwd, .env = k->env
	};
	_cleanup_strv_ char **argv = bench_column_argv(k, k->report ? with_report : NULL, k->command);
	_cleanup_strbuf_ struct strbuf report = { 0 };
	struct bench_cell *cell = bench_cell(c, suite, "wall", "ms", false, column);
	struct child child = { .pidfd = -1, .in = -1, .out = -1 };
	struct error err = { 0 };
	uint64_t end = 0;
	int status = 0, r;

	if (k->error)
		bench_cell_fail(cell, "%s", k->error);
	if (cell->error)
		return 0;
	r = child_start(argv, &o, &child, &err);
	if (r == 0) {
		r = child_wait(&child, &c->stop, START_MS, &report, &status, &end);
		if (r == -ETIMEDOUT)
			(void)error_set(&err, ETIMEDOUT, "it did not end within %d s", START_MS / 1000);
		else if (r == 0)
			r = check_status(status, c->any_status, &err);
	}
	child_end(&child, r == -EINTR ? INTERRUPT_GRACE_MS : 0);
	if (r == -EINTR)
		return r;
	if (r < 0) {
		bench_cell_fail(cell, "%s", err.message);
	} else if (keep) {
		bench_cell_add(cell, (double)(end - child.begin_ns) / 1e6);
		if (k->report && !piped)
			(void)file_read_at(AT_FDCWD, k->report, REPORT_MAX, &report.text, &report.len, NULL);
		keep_milestones(c, suite, column, &report);
	}
	return 0;
}

static bool is_slow(const struct bench_column *column)
{
	return column->kind == BENCH_VM || column->machine;
}

static int startup_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	/* A machine takes as long as hundreds of containers: in a quick run the quick ones get more samples. */
	uint64_t times = c->quick && !c->runs ? 5 : 1;
	int r = 0;

	for (size_t k = 0; r == 0 && k < c->n_columns; k++) {
		size_t column = round->columns[k];

		for (uint64_t i = 0; r == 0 && i < (is_slow(&c->columns[column]) ? 1 : times); i++)
			r = start_once(c, "startup", column, round->keep);
	}
	return r;
}

int suite_startup(struct bench_context *c, const struct bench_suite *suite)
{
	return bench_rounds(c, suite->name, bench_warmup(c), bench_runs(c, 8, 100), startup_round, NULL);
}

/* ---- parallel ---- */

/* What the launchers of a burst had to say, which share the file; the first line, for the error. */
static void add_first_line(int errors, struct error *err)
{
	char text[300];
	ssize_t n = pread(errors, text, sizeof text - 1, 0);

	if (n <= 0)
		return;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	(void)error_prefix(err, "%s", text);
}

/* Starts total instances, at most level at a time; *ret: starts a second. */
static int burst(struct bench_context *c, const struct bench_column *k, size_t level, size_t total, double *ret,
		struct error *err)
{
	_cleanup_close_ int errors = memfd_create("errors", MFD_CLOEXEC);
	const struct child_options o = { .errors = errors };
	_cleanup_strv_ char **argv = bench_column_argv(k, NULL, k->command);
	struct child running[MAX_LEVEL] = { 0 };
	uint64_t begin = clock_now_ns(), end;
	size_t started = 0, n = 0;
	int r = errors < 0 ? error_sys(err, "memfd_create") : 0, status = 0;

	while (r == 0 && (started < total || n > 0)) {
		while (r == 0 && started < total && n < level) {
			r = child_start(argv, &o, &running[n], err);
			n += r == 0;
			started++;
		}
		if (r < 0 || n == 0)
			break;
		r = child_wait(&running[0], &c->stop, START_MS, NULL, &status, &end); /* the oldest */
		if (r == -ETIMEDOUT)
			(void)error_set(err, ETIMEDOUT, "one did not end within %d s", START_MS / 1000);
		if (r == 0) {
			r = check_status(status, c->any_status, err);
			if (r < 0)
				add_first_line(errors, err);
		}
		child_end(&running[0], r == -EINTR ? INTERRUPT_GRACE_MS : 0);
		memmove(running, running + 1, --n * sizeof *running);
	}
	*ret = (double)total / ((double)(clock_now_ns() - begin) / 1e9);
	for (size_t i = 0; i < n; i++)
		child_end(&running[i], r == -EINTR ? INTERRUPT_GRACE_MS : 0);
	return r;
}

/* As far as a start before has told. */
static bool emulated(const struct bench_context *c)
{
	const char *engine = bench_result_find_fact(c->result, "engine");

	return engine && strstr(engine, "emulation");
}

static int parallel_sample(struct bench_context *c, size_t column, size_t level, bool keep)
{
	const struct bench_column *k = &c->columns[column];
	size_t total = level == 1 ? 4 : level;
	uint64_t available = environment_available(), wanted = level * MACHINE_MIB * mib;
	struct bench_cell *cell;
	struct error err = { 0 };
	char name[40];
	double value = 0;
	int r;

	(void)snprintf(name, sizeof name, "%zu at a time", level);
	cell = bench_cell(c, "parallel", name, "starts/s", true, column);
	if (k->error)
		bench_cell_fail(cell, "%s", k->error);
	if (bench_is_vm(k->kind) && available && wanted > available)
		bench_cell_fail(cell, "%zu machines may need %ju MiB of memory, %ju MiB are free", level,
				(uintmax_t)(wanted / mib), (uintmax_t)(available / mib));
	if (bench_is_vm(k->kind) && emulated(c) && (long)level > MAX_EMULATED * sysconf(_SC_NPROCESSORS_ONLN))
		bench_cell_absent(cell, "too many emulated machines for these processors");
	if (cell->error)
		return 0;
	r = burst(c, k, level, total, &value, &err);
	return bench_cell_take(cell, r, keep, value, &err);
}

static int parallel_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	static const size_t levels[] = { 1, 10, 50 };
	size_t n = c->quick ? 2 : ARRAY_LEN(levels);
	int r = 0;

	for (size_t i = 0; r == 0 && i < n * c->n_columns; i++)
		r = parallel_sample(c, round->columns[i % c->n_columns], levels[i / c->n_columns], round->keep);
	return r;
}

int suite_parallel(struct bench_context *c, const struct bench_suite *suite)
{
	uint64_t warmup = c->warmup != UINT64_MAX ? c->warmup : 0;

	return bench_rounds(c, suite->name, warmup, bench_runs(c, 6, 6), parallel_round, NULL);
}

/* ---- teardown ---- */

/*
 * A workload that waits for its standard input: it either sees the end of that and exits, or its launcher is sent
 * SIGTERM. From there until the launcher is gone, and with it all that belongs to the instance.
 */
static int end_once(
	struct bench_context *c, const struct bench_column *k, bool by_signal, double *ret_ms, struct error *err)
{
	char *options[] = { (char *)"-i", NULL };
	struct session *s = NULL;
	uint64_t begin, end = 0;
	int status, r = session_open(c, k, options, &s, err);

	if (r < 0)
		return r;
	begin = clock_now_ns();
	if (by_signal) {
		(void)pidfd_kill(s->child.pidfd, SIGTERM); /* it runs: it has just answered */
	} else {
		close_cleanup(&s->child.in);
		s->child.in = -1;
	}
	r = child_wait(&s->child, &c->stop, START_MS, NULL, &status, &end);
	if (r == -ETIMEDOUT)
		(void)error_set(err, ETIMEDOUT, "it did not end within %d s", START_MS / 1000);
	*ret_ms = (double)(end - begin) / 1e6;
	session_close(s);
	return r;
}

static int teardown_sample(struct bench_context *c, size_t column, bool by_signal, bool keep)
{
	const struct bench_column *k = &c->columns[column];
	struct bench_cell *cell =
		bench_cell(c, "teardown", by_signal ? "SIGTERM to gone" : "exit to gone", "ms", false, column);
	struct error err = { 0 };
	double ms = 0;
	int r;

	if (k->error)
		bench_cell_fail(cell, "%s", k->error);
	if (cell->error)
		return 0;
	r = end_once(c, k, by_signal, &ms, &err);
	return bench_cell_take(cell, bench_stopped(&c->stop) ? -EINTR : r, keep, ms, &err);
}

static int teardown_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < 2 * c->n_columns; i++)
		r = teardown_sample(c, round->columns[i / 2], i % 2 == 1, round->keep);
	return r;
}

int suite_teardown(struct bench_context *c, const struct bench_suite *suite)
{
	return bench_rounds(c, suite->name, bench_short_warmup(c), bench_runs(c, 6, 20), teardown_round, NULL);
}
