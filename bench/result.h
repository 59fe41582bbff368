/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_RESULT_H
#define BIVALVE_BENCH_RESULT_H

#include "bench/stats.h"
#include "runtime/base/json.h"
#include "runtime/base/strbuf.h"

/*
 * What a run of benchmarks found: samples, by metric and column. Everything else (medians, intervals, verdicts,
 * pages) is made of these. A zeroed one is empty.
 */
enum { BENCH_MAX_COLUMNS = 12, BENCH_VERSION = 1 };

struct bench_cell {
	double *samples;        /* in the order in which they were taken */
	size_t n, size;
	char *error;            /* why this cell is no figure; NULL: it is one, or, without samples, does not apply */
	bool absent;            /* error says why the column has no such thing: nothing failed */
};

struct bench_metric {
	char *suite, *name, *unit;
	bool higher_is_better;
	struct bench_cell cells[BENCH_MAX_COLUMNS];
};

struct bench_fact {             /* of the environment */
	char *key, *value;
};

struct bench_result {
	char *created;          /* UTC, ISO 8601 */
	double seconds;         /* how long it took */
	bool interrupted;
	char *columns[BENCH_MAX_COLUMNS];   /* names; the first is what the others are compared with */
	char *commands[BENCH_MAX_COLUMNS];  /* what starts `true` in it, as a line for a shell */
	size_t n_columns;
	struct bench_fact *facts;
	size_t n_facts;
	struct bench_metric *metrics;
	size_t n_metrics;
	char **notes;           /* what a reader must know */
};

void bench_result_release(struct bench_result *r);
/* Finds the metric, or adds it. Valid until the next is added. */
struct bench_metric *bench_result_metric(struct bench_result *r, const char *suite, const char *name, const char *unit,
		bool higher_is_better);
void bench_result_fact(struct bench_result *r, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *bench_result_find_fact(const struct bench_result *r, const char *key); /* NULL: none */
void bench_result_note(struct bench_result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bench_cell_add(struct bench_cell *c, double sample);
/*
 * A sample as its maker gave it: r 0 and a value, kept only if keep (a warm-up is not), or r negative with err, which
 * is the cell's error then. Returns 0, or -EINTR, which is not the cell's fault and goes on to who stops the run.
 */
int bench_cell_take(struct bench_cell *c, int r, bool keep, double sample, const struct error *err);
/* The first error stays; the samples stay too, but are no figure. */
void bench_cell_fail(struct bench_cell *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The column has no such thing, and here is why. */
void bench_cell_absent(struct bench_cell *c, const char *why);
/* Whether the cell is a figure. */
bool bench_cell_valid(const struct bench_cell *c);

/* Against the first column. False: one of the two is no figure, or it is that column itself. */
bool bench_compare_cell(const struct bench_metric *m, size_t column, struct stats_comparison *ret);
/* "better", "worse", "within 1%", "within 5%", "too noisy", "too few". */
const char *bench_verdict_text(const struct bench_metric *m, enum stats_verdict verdict);

/* The document of docs/benchmarks.md, with raw samples. The caller frees it. */
char *bench_result_json(const struct bench_result *r, size_t *ret_len);
/* Reads one back; what is of another version or not such a document is refused. Returns 0 or -errno. */
int bench_result_read(const char *path, struct bench_result *ret, struct error *err);

#endif
