/* SPDX-License-Identifier: Apache-2.0 */
/* The model of a benchmark's result, and its JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/result.h"
#include "runtime/base/alloc.h"

enum { MAX_DOCUMENT = 64 << 20, MAX_METRICS = 10000 };

static char *format(const char *fmt, va_list args)
{
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		abort(); /* out of memory, or a bug in the format */
	return text;
}

static void release_metric(struct bench_metric *m)
{
	free(m->suite);
	free(m->name);
	free(m->unit);
	for (size_t i = 0; i < BENCH_MAX_COLUMNS; i++) {
		free(m->cells[i].samples);
		free(m->cells[i].error);
	}
}

void bench_result_release(struct bench_result *r)
{
	free(r->created);
	for (size_t i = 0; i < BENCH_MAX_COLUMNS; i++) {
		free(r->columns[i]);
		free(r->commands[i]);
	}
	for (size_t i = 0; i < r->n_facts; i++) {
		free(r->facts[i].key);
		free(r->facts[i].value);
	}
	free(r->facts);
	for (size_t i = 0; i < r->n_metrics; i++)
		release_metric(&r->metrics[i]);
	free(r->metrics);
	strv_free(r->notes);
	*r = (struct bench_result){ 0 };
}

struct bench_metric *bench_result_metric(struct bench_result *r, const char *suite, const char *name, const char *unit,
		bool higher_is_better)
{
	for (size_t i = 0; i < r->n_metrics; i++)
		if (!strcmp(r->metrics[i].suite, suite) && !strcmp(r->metrics[i].name, name))
			return &r->metrics[i];
	r->metrics = xreallocarray(r->metrics, r->n_metrics + 1, sizeof *r->metrics);
	r->metrics[r->n_metrics] =
		(struct bench_metric){ xstrdup(suite), xstrdup(name), xstrdup(unit), higher_is_better, { { 0 } } };
	return &r->metrics[r->n_metrics++];
}

static void set_fact(struct bench_result *r, const char *key, char *owned)
{
	for (size_t i = 0; i < r->n_facts; i++)
		if (!strcmp(r->facts[i].key, key)) {
			free(r->facts[i].value);
			r->facts[i].value = owned;
			return;
		}
	r->facts = xreallocarray(r->facts, r->n_facts + 1, sizeof *r->facts);
	r->facts[r->n_facts++] = (struct bench_fact){ xstrdup(key), owned };
}

void bench_result_fact(struct bench_result *r, const char *key, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_fact(r, key, format(fmt, args));
	va_end(args);
}

const char *bench_result_find_fact(const struct bench_result *r, const char *key)
{
	for (size_t i = 0; i < r->n_facts; i++)
		if (!strcmp(r->facts[i].key, key))
			return r->facts[i].value;
	return NULL;
}

void bench_result_note(struct bench_result *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	strv_push(&r->notes, format(fmt, args));
	va_end(args);
}

void bench_cell_add(struct bench_cell *c, double sample)
{
	if (c->n == c->size) {
		c->size = c->size ? 2 * c->size : 16;
		c->samples = xreallocarray(c->samples, c->size, sizeof *c->samples);
	}
	c->samples[c->n++] = sample;
}

void bench_cell_fail(struct bench_cell *c, const char *fmt, ...)
{
	va_list args;

	if (c->error)
		return;
	va_start(args, fmt);
	c->error = format(fmt, args);
	va_end(args);
	for (char *s = c->error; *s; s++)
		if (*s == '\n')
			*s = ' ';
}

int bench_cell_take(struct bench_cell *c, int r, bool keep, double sample, const struct error *err)
{
	if (r == -EINTR)
		return r;
	if (r < 0)
		bench_cell_fail(c, "%s", err->message);
	else if (keep)
		bench_cell_add(c, sample);
	return 0;
}

void bench_cell_absent(struct bench_cell *c, const char *why)
{
	bench_cell_fail(c, "%s", why);
	c->absent = true;
}

bool bench_cell_valid(const struct bench_cell *c)
{
	return !c->error && c->n > 0;
}

bool bench_compare_cell(const struct bench_metric *m, size_t column, struct stats_comparison *ret)
{
	const struct bench_cell *base = &m->cells[0], *c = &m->cells[column];

	if (column == 0 || !bench_cell_valid(base) || !bench_cell_valid(c))
		return false;
	*ret = stats_compare(base->samples, base->n, c->samples, c->n);
	return true;
}

const char *bench_verdict_text(const struct bench_metric *m, enum stats_verdict verdict)
{
	if (verdict == STATS_MORE)
		return m->higher_is_better ? "better" : "worse";
	if (verdict == STATS_LESS)
		return m->higher_is_better ? "worse" : "better";
	return stats_verdict_name(verdict);
}

static void put_interval(struct json_writer *w, const char *key, const struct stats_interval *i)
{
	if (!i->known) {
		json_put_null(w, key);
		return;
	}
	json_begin_array(w, key);
	json_put_double(w, NULL, i->low);
	json_put_double(w, NULL, i->high);
	json_end(w);
}

static void put_summary(struct json_writer *w, const struct bench_cell *c)
{
	struct stats_summary s;

	stats_summarize(c->samples, c->n, &s);
	json_begin_object(w, "summary");
	json_put_double(w, "median", s.median);
	put_interval(w, "median_interval", &s.interval);
	json_put_double(w, "min", s.min);
	json_put_double(w, "p90", s.p90);
	json_put_double(w, "p99", s.p99);
	json_put_double(w, "max", s.max);
	json_put_double(w, "mean", s.mean);
	json_put_double(w, "mad", s.mad);
	json_put_uint(w, "outliers", s.outliers);
	json_end(w);
}

static void put_comparison(struct json_writer *w, const struct bench_metric *m, const struct stats_comparison *c)
{
	json_begin_object(w, "against_first");
	if (c->ratio.known)
		json_put_double(w, "ratio", c->ratio.ratio);
	else
		json_put_null(w, "ratio");
	put_interval(w, "ratio_interval", &c->ratio.interval);
	json_put_double(w, "u", c->test.u);
	json_put_double(w, "p", c->test.p);
	json_put_bool(w, "exact", c->test.exact);
	json_put_string(w, "verdict", bench_verdict_text(m, c->verdict));
	json_end(w);
}

static void put_cell(struct json_writer *w, const struct bench_result *r, const struct bench_metric *m, size_t column)
{
	const struct bench_cell *c = &m->cells[column];
	struct stats_comparison comparison;

	json_begin_object(w, NULL);
	json_put_string(w, "column", r->columns[column]);
	json_put_string(w, "error", c->absent ? NULL : c->error);
	if (c->absent)
		json_put_string(w, "absent", c->error);
	json_begin_array(w, "samples");
	for (size_t i = 0; i < c->n; i++)
		json_put_double(w, NULL, c->samples[i]);
	json_end(w);
	if (bench_cell_valid(c))
		put_summary(w, c);
	if (bench_compare_cell(m, column, &comparison))
		put_comparison(w, m, &comparison);
	json_end(w);
}

static void put_metrics(struct json_writer *w, const struct bench_result *r)
{
	json_begin_array(w, "metrics");
	for (size_t i = 0; i < r->n_metrics; i++) {
		const struct bench_metric *m = &r->metrics[i];

		json_begin_object(w, NULL);
		json_put_string(w, "suite", m->suite);
		json_put_string(w, "name", m->name);
		json_put_string(w, "unit", m->unit);
		json_put_string(w, "better", m->higher_is_better ? "higher" : "lower");
		json_begin_array(w, "cells");
		for (size_t c = 0; c < r->n_columns; c++)
			put_cell(w, r, m, c);
		json_end(w);
		json_end(w);
	}
	json_end(w);
}

char *bench_result_json(const struct bench_result *r, size_t *ret_len)
{
	struct json_writer *w = json_writer_new(false);

	json_begin_object(w, NULL);
	json_put_int(w, "version", BENCH_VERSION);
	json_put_string(w, "kind", "bivalve-bench");
	json_put_string(w, "created", r->created);
	json_put_double(w, "seconds", r->seconds);
	json_put_bool(w, "interrupted", r->interrupted);
	json_begin_object(w, "environment");
	for (size_t i = 0; i < r->n_facts; i++)
		json_put_string(w, r->facts[i].key, r->facts[i].value);
	json_end(w);
	json_begin_array(w, "columns");
	for (size_t i = 0; i < r->n_columns; i++) {
		json_begin_object(w, NULL);
		json_put_string(w, "name", r->columns[i]);
		json_put_string(w, "command", r->commands[i]);
		json_end(w);
	}
	json_end(w);
	put_metrics(w, r);
	json_begin_array(w, "notes");
	strv_foreach(note, r->notes)
		json_put_string(w, NULL, note);
	json_end(w);
	json_end(w);
	return json_writer_finish(w, ret_len);
}

static int refuse(const struct json *j, const char *expected, struct error *err)
{
	char path[256];

	return error_set(err, EINVAL, "line %u: %s: expected %s: no result of `bivalve bench`", j->line,
			json_path(j, path, sizeof path)[0] ? path : "the document", expected);
}

static int read_sample(const struct json *j, struct bench_cell *c, struct error *err)
{
	if (j->type == JSON_INT)
		bench_cell_add(c, (double)j->integer);
	else if (j->type == JSON_DOUBLE)
		bench_cell_add(c, j->number);
	else
		return refuse(j, "a number", err);
	return 0;
}

static int read_cells(const struct json *j, const struct bench_result *r, struct bench_metric *m, struct error *err)
{
	const struct json *cells = json_get(j, "cells");
	size_t column = 0;

	if (!cells || cells->type != JSON_ARRAY || cells->n_items != r->n_columns)
		return refuse(cells ? cells : j, "cells, one for each column", err);
	json_foreach(cell, cells) {
		const struct json *samples = json_get(cell, "samples");

		m->cells[column].absent = json_string(cell, "absent") != NULL;
		m->cells[column].error =
			xstrdup(json_string(cell, m->cells[column].absent ? "absent" : "error"));
		if (!samples || samples->type != JSON_ARRAY || samples->n_items > STATS_MAX_SAMPLES)
			return refuse(samples ? samples : cell, "an array of at most 2000 samples", err);
		json_foreach(sample, samples) {
			int e = read_sample(sample, &m->cells[column], err);

			if (e < 0)
				return e;
		}
		column++;
	}
	return 0;
}

static int read_metrics(const struct json *metrics, struct bench_result *r, struct error *err)
{
	json_foreach(j, metrics) {
		const char *suite = json_string(j, "suite"), *name = json_string(j, "name");
		const char *unit = json_string(j, "unit"), *better = json_string(j, "better");
		int e;

		if (!suite || !name || !unit || !better)
			return refuse(j, "suite, name, unit and better", err);
		e = read_cells(j, r, bench_result_metric(r, suite, name, unit, !strcmp(better, "higher")), err);
		if (e < 0)
			return e;
	}
	return 0;
}

static int read_columns(const struct json *columns, struct bench_result *r, struct error *err)
{
	if (!columns || columns->type != JSON_ARRAY || columns->n_items == 0 || columns->n_items > BENCH_MAX_COLUMNS)
		return error_set(err, EINVAL, "columns: expected an array of 1 to %d: no result of `bivalve bench`",
				BENCH_MAX_COLUMNS);
	json_foreach(j, columns) {
		const char *name = json_string(j, "name");

		if (!name)
			return refuse(j, "a column with a name", err);
		r->columns[r->n_columns] = xstrdup(name);
		r->commands[r->n_columns++] = xstrdup(json_string(j, "command"));
	}
	return 0;
}

static int read_document(const struct json *j, struct bench_result *r, struct error *err)
{
	const struct json *version = json_get(j, "version"), *metrics = json_get(j, "metrics");
	const struct json *interrupted = json_get(j, "interrupted"), *seconds = json_get(j, "seconds");
	const char *kind = json_string(j, "kind");
	uint64_t number;
	int e;

	if (!kind || strcmp(kind, "bivalve-bench"))
		return refuse(j, "\"kind\": \"bivalve-bench\"", err);
	if (!version || !json_uint(version, &number) || number != BENCH_VERSION)
		return refuse(version ? version : j, "version 1", err);
	if (!metrics || metrics->type != JSON_ARRAY || metrics->n_items > MAX_METRICS)
		return refuse(metrics ? metrics : j, "an array of metrics", err);
	e = read_columns(json_get(j, "columns"), r, err);
	if (e == 0)
		e = read_metrics(metrics, r, err);
	r->created = xstrdup(json_string(j, "created"));
	r->interrupted = interrupted && interrupted->type == JSON_BOOL && interrupted->boolean;
	if (seconds)
		r->seconds = seconds->type == JSON_DOUBLE ? seconds->number
			: seconds->type == JSON_INT ? (double)seconds->integer : 0;
	json_foreach(fact, json_get(j, "environment"))
		if (fact->key && fact->type == JSON_STRING)
			bench_result_fact(r, fact->key, "%s", fact->string);
	json_foreach(note, json_get(j, "notes"))
		if (note->type == JSON_STRING)
			bench_result_note(r, "%s", note->string);
	return e;
}

int bench_result_read(const char *path, struct bench_result *ret, struct error *err)
{
	_cleanup_json_ struct json *j = NULL;
	struct bench_result r = { 0 };
	int e = json_parse_file(AT_FDCWD, path, MAX_DOCUMENT, &j, err);

	if (e < 0)
		return e;
	e = read_document(j, &r, err);
	if (e < 0) {
		bench_result_release(&r);
		return error_prefix(err, "%s", path);
	}
	*ret = r;
	return 0;
}
