/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_SVG_H
#define BIVALVE_BENCH_SVG_H

#include "bench/result.h"

/*
 * Plots as inline SVG, PLOT_WIDTH user units wide. Colours are classes (c0 … c11 by column) and currentColor, so that
 * the page's style decides for light and dark. Nothing is drawn, and false returned, where there is nothing to show.
 */
enum { PLOT_WIDTH = 760 };

/* Every sample of a metric, a line a column, with the median and its interval. */
bool svg_samples(struct strbuf *to, const struct bench_result *r, const struct bench_metric *m);
/* The share of samples below a value, a curve a column. */
bool svg_cdf(struct strbuf *to, const struct bench_result *r, const struct bench_metric *m);
/* Ratios to the first column with their intervals, a line for each metric and column of a suite. */
bool svg_ratios(struct strbuf *to, const struct bench_result *r, const char *suite);
/* Median milestones of a suite ("at …"), stacked: a bar a column, each as long as its own total. */
bool svg_milestones(struct strbuf *to, const struct bench_result *r, const char *suite);
/* Text for HTML and SVG: & < > " are escaped. */
void svg_text(struct strbuf *to, const char *text);

#endif
