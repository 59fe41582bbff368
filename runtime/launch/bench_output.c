/* SPDX-License-Identifier: Apache-2.0 */
/* Running what was asked for and writing what was found, whatever ended it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/report.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/bench_output.h"

enum { EXIT_INTERRUPTED = 130, EXIT_CELL_FAILED = 1 };

int bench_parse_count(const char *text, void *target, struct error *err)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || value > STATS_MAX_SAMPLES)
		return error_set(err, EINVAL, "%s: expected a number, at most %d", text, STATS_MAX_SAMPLES);
	*(uint64_t *)target = value;
	return 0;
}

int bench_output_check(const struct bench_output *o, struct error *err)
{
	const struct { const char *option, *path; } all[] = {
		{ "--json", o->json }, { "--csv", o->csv }, { "--md", o->markdown }, { "--html", o->html },
	};
	int r = 0, standard = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(all); i++) {
		r = path_check_output(all[i].option, all[i].path, err);
		standard += all[i].path && !strcmp(all[i].path, "-");
	}
	return r == 0 && standard > 1 ? error_set(err, EINVAL, "only one of the results can go to standard output") : r;
}

static int put(const char *path, const struct strbuf *text, struct error *err)
{
	if (strcmp(path, "-"))
		return file_write_atomic(AT_FDCWD, path, text->text, text->len, 0644, err);
	return fd_write_full(STDOUT_FILENO, text->text, text->len) < 0 ? error_sys(err, "cannot write the result") : 0;
}

static void report_json(const struct bench_result *r, struct strbuf *to)
{
	to->text = bench_result_json(r, &to->len);
}

int bench_output_write(const struct bench_result *r, const struct bench_output *o, struct error *err)
{
	const struct { const char *path; void (*make)(const struct bench_result *, struct strbuf *);
	} rows[] = {
		{ o->json, report_json },
		{ o->csv, report_csv },
		{ o->markdown, report_markdown },
		{ o->html, report_html },
	};
	struct strbuf table = { 0 };
	bool standard = false;
	int e = 0;

	for (size_t i = 0; e == 0 && i < ARRAY_LEN(rows); i++) {
		_cleanup_strbuf_ struct strbuf text = { 0 };

		if (!rows[i].path)
			continue;
		standard |= !strcmp(rows[i].path, "-");
		rows[i].make(r, &text);
		e = put(rows[i].path, &text, err);
	}
	if (e == 0 && !standard) {
		report_text(r, &table);
		fputs(table.text, stdout);
	}
	strbuf_release(&table);
	return e;
}

static bool any_error(const struct bench_result *r)
{
	for (size_t i = 0; i < r->n_metrics; i++)
		for (size_t k = 0; k < r->n_columns; k++)
			if (r->metrics[i].cells[k].error && !r->metrics[i].cells[k].absent)
				return true;
	return false;
}

/* What starts `true` in each column, for whoever wants to hold another tool against it. */
static void add_commands(struct bench_context *c)
{
	for (size_t i = 0; i < c->n_columns; i++) {
		_cleanup_strv_ char **argv = bench_column_argv(&c->columns[i], NULL, c->columns[i].command);
		struct strbuf line = { 0 };

		strv_foreach(word, argv)
			strbuf_printf(&line, "%s%s", line.len ? " " : "", word);
		c->result->commands[i] = line.text;
	}
}

int bench_output_run(struct bench_context *c, const struct bench_suite *const *suites, const struct bench_output *o,
		struct error *err)
{
	int r = bench_stop_init(&c->stop, err), e;

	if (r < 0)
		return r;
	c->progress = isatty(STDERR_FILENO);
	add_commands(c);
	r = bench_run(c, suites);
	bench_stop_release(&c->stop);
	e = bench_output_write(c->result, o, err);
	if (e < 0)
		return e;
	if (r == -EINTR)
		log_line(LOG_LEVEL_WARNING, "interrupted: this is what was measured until then");
	return r == -EINTR ? EXIT_INTERRUPTED : any_error(c->result) ? EXIT_CELL_FAILED : 0;
}
