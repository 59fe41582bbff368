/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_REPORT_H
#define BIVALVE_BENCH_REPORT_H

#include "bench/result.h"

/* A result as people read it. All of them compute what they show from the samples; none changes the result. */
void report_text(const struct bench_result *r, struct strbuf *to);     /* for a terminal: a bar each */
void report_markdown(const struct bench_result *r, struct strbuf *to);
void report_csv(const struct bench_result *r, struct strbuf *to);      /* long: a line a sample */
/* One page that holds all it needs: no script, no request to anywhere. */
void report_html(const struct bench_result *r, struct strbuf *to);

/* Four significant digits, never an exponent below 1e9. */
const char *report_number(char buf[32], double value);
/* "×1.36 [1.31, 1.41] worse", for a cell that is not the first; "" where there is nothing to compare. */
const char *report_ratio(char buf[128], const struct bench_metric *m, size_t column);
/*
 * What the verdicts mean, and, a sentence for each suite, how many of its ratios are too noisy to tell 1%, why, and
 * what would help. The caller frees the list.
 */
extern const char report_verdicts[];
char **report_noise(const struct bench_result *r);

/*
 * Two results, metric by metric, columns by name: what changed from a to b. limit: a fraction (0.05); a metric that
 * got worse by more, as a difference that is shown (stats_compare), counts. Returns how many did; the text says
 * which.
 */
size_t report_diff(const struct bench_result *a, const struct bench_result *b, double limit, struct strbuf *to);

#endif
