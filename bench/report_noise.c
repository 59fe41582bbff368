/* SPDX-License-Identifier: Apache-2.0 */
/* What could not be told, why, and what to do about it. */
#include <stdio.h>
#include <string.h>

#include "bench/report.h"
#include "runtime/base/alloc.h"

const char report_verdicts[] =
	"within 1%: the ratio's interval lies inside 0.99 to 1.01. better, worse: a difference is shown.\n"
	"too noisy to tell 1%: none is shown, one over 5% is ruled out. too noisy: not even that. "
	"too few: under 6 samples.";

struct noise {
	size_t ratios, unsure;  /* of the suite */
	double reach;           /* of the widest interval of these, and whose it is */
	size_t runs;            /* that this one needs; 0: more than can be asked for */
	const char *metric, *column;
};

static void note_cell(struct noise *noise, const struct bench_result *r, const struct bench_metric *m, size_t column)
{
	struct stats_comparison c;
	size_t n = m->cells[0].n < m->cells[column].n ? m->cells[0].n : m->cells[column].n;

	if (!bench_compare_cell(m, column, &c) || c.verdict == STATS_TOO_FEW)
		return;
	noise->ratios++;
	if (c.verdict != STATS_SAME && c.verdict != STATS_TOO_NOISY)
		return;
	if (noise->unsure++ && stats_reach(&c.ratio) <= noise->reach)
		return;
	noise->reach = stats_reach(&c.ratio);
	noise->runs = stats_runs_for_1_percent(&c.ratio, n);
	noise->metric = m->name;
	noise->column = r->columns[column];
}

static char *sentence(const char *suite, const struct noise *n)
{
	_cleanup_free_ char *more = n->runs ? xasprintf("about --runs %zu would tell, or a quieter machine", n->runs)
		: xstrdup("no more runs help, a quieter machine does");

	if (!(n->reach < 100)) /* some value is 0, so that there is no ratio */
		return xasprintf("%s: %zu of %zu comparisons are too noisy to tell", suite, n->unsure, n->ratios);
	return xasprintf("%s: %zu of %zu ratios are too noisy to tell 1%%; the widest interval (%s, %s) reaches "
		"%.1f%%: %s", suite, n->unsure, n->ratios, n->metric, n->column, n->reach * 100, more);
}

char **report_noise(const struct bench_result *r)
{
	char **all = NULL;

	for (size_t i = 0; i < r->n_metrics;) {
		const char *suite = r->metrics[i].suite;
		struct noise noise = { 0 };

		for (; i < r->n_metrics && !strcmp(r->metrics[i].suite, suite); i++)
			for (size_t k = 1; k < r->n_columns; k++)
				note_cell(&noise, r, &r->metrics[i], k);
		if (noise.unsure)
			strv_push(&all, sentence(suite, &noise));
	}
	return all;
}
