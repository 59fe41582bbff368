/* SPDX-License-Identifier: Apache-2.0 */
/* The table for a terminal, Markdown, CSV, and the difference of two results. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/report.h"
#include "runtime/base/alloc.h"

enum { BAR_CELLS = 24 };

const char *report_number(char buf[32], double value)
{
	int decimals = 3;

	if (value != 0)
		decimals = 3 - (int)floor(log10(fabs(value)));
	decimals = decimals < 0 ? 0 : decimals > 6 ? 6 : decimals;
	(void)snprintf(buf, 32, "%.*f", decimals, value);
	if (strchr(buf, '.')) { /* 2.500 says no more than 2.5 where samples are counts */
		size_t len = strlen(buf);

		while (buf[len - 1] == '0')
			buf[--len] = '\0';
		if (buf[len - 1] == '.')
			buf[len - 1] = '\0';
	}
	return buf;
}

const char *report_ratio(char buf[128], const struct bench_metric *m, size_t column)
{
	struct stats_comparison c;
	char ratio[32], low[32], high[32];
	const char *verdict;

	buf[0] = '\0';
	if (!bench_compare_cell(m, column, &c))
		return buf;
	verdict = c.verdict == STATS_SAME ? "too noisy to tell 1%" : bench_verdict_text(m, c.verdict);
	if (!c.ratio.known)
		(void)snprintf(buf, 128, "%s", verdict);
	else if (!c.ratio.interval.known)
		(void)snprintf(
			buf, 128, "×%s %s", report_number(ratio, c.ratio.ratio), verdict);
	else
		(void)snprintf(buf, 128, "×%s [%s, %s] %s", report_number(ratio, c.ratio.ratio),
			report_number(low, c.ratio.interval.low), report_number(high, c.ratio.interval.high), verdict);
	return buf;
}

static const char *interval_text(char buf[80], const struct stats_interval *i)
{
	char low[32], high[32];

	if (i->known)
		(void)snprintf(buf, 80, "[%s, %s]", report_number(low, i->low), report_number(high, i->high));
	else
		(void)snprintf(buf, 80, "[-]");
	return buf;
}

/* Eighths of a character cell, so that bars differ where figures do. */
static void put_bar(struct strbuf *to, double share)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	int n = (int)lround(share * BAR_CELLS * 8), cells = n / 8;

	if (n == 0) /* something is there */
		n = 1;
	for (int i = 0; i < cells; i++)
		strbuf_puts(to, "█");
	strbuf_puts(to, eighths[n % 8]);
	strbuf_printf(to, "%*s", BAR_CELLS - cells - (n % 8 != 0), "");
}

static double largest_median(const struct bench_result *r, const struct bench_metric *m)
{
	double largest = 0;

	for (size_t i = 0; i < r->n_columns; i++) {
		struct stats_summary s;

		if (!bench_cell_valid(&m->cells[i]))
			continue;
		stats_summarize(m->cells[i].samples, m->cells[i].n, &s);
		largest = fmax(largest, s.median);
	}
	return largest;
}

static int name_width(const struct bench_result *r)
{
	size_t width = 9;

	for (size_t i = 0; i < r->n_columns; i++)
		width = strlen(r->columns[i]) > width ? strlen(r->columns[i]) : width;
	return (int)width;
}

static void text_cell(const struct bench_result *r, const struct bench_metric *m, size_t column, double largest,
		struct strbuf *to)
{
	const struct bench_cell *c = &m->cells[column];
	char number[32], interval[80], ratio[128];
	struct stats_summary s;

	if (!c->error && c->n == 0)
		return; /* has no such thing: native has no agent */
	strbuf_printf(to, "    %-*s ", name_width(r), r->columns[column]);
	if (!bench_cell_valid(c)) {
		strbuf_printf(to, "%s%s\n", c->absent ? "- " : "error: ", c->error);
		return;
	}
	stats_summarize(c->samples, c->n, &s);
	put_bar(to, largest > 0 && s.median > 0 ? s.median / largest : 0);
	strbuf_printf(
		to, " %9s %-20s n %-3zu", report_number(number, s.median), interval_text(interval, &s.interval), s.n);
	if (s.outliers)
		strbuf_printf(to, " %zu out", s.outliers);
	else
		strbuf_puts(to, "      ");
	strbuf_printf(to, "  %s\n", report_ratio(ratio, m, column));
}

void report_text(const struct bench_result *r, struct strbuf *to)
{
	_cleanup_strv_ char **noise = report_noise(r);
	const char *suite = "";

	for (size_t i = 0; i < r->n_metrics; i++) {
		const struct bench_metric *m = &r->metrics[i];
		double largest = largest_median(r, m);

		if (strcmp(suite, m->suite))
			strbuf_printf(to, "%s\n", m->suite);
		suite = m->suite;
		strbuf_printf(to, "  %s%s%s%s\n", m->name, *m->unit ? ", " : "", m->unit,
				m->higher_is_better ? " (more is better)" : "");
		for (size_t column = 0; column < r->n_columns; column++)
			text_cell(r, m, column, largest, to);
	}
	strbuf_printf(to,
		"\nMedian [95%% interval], samples, those flagged as outliers (kept), ratio to %s [95%% interval].\n"
		"%s%s\n",
		r->columns[0], report_verdicts, r->interrupted ? "\nInterrupted: the samples so far." : "");
	strv_foreach(note, noise)
		strbuf_printf(to, "note: %s\n", note);
	strv_foreach(note, r->notes)
		strbuf_printf(to, "note: %s\n", note);
}

/* A cell of a Markdown table: no '|' and no end of line. */
static void put_plain(struct strbuf *to, const char *text)
{
	for (; text && *text; text++)
		strbuf_printf(to, *text == '|' ? "\\|" : *text == '\n' ? " " : "%c", *text);
}

static void markdown_cell(const struct bench_metric *m, size_t column, struct strbuf *to)
{
	const struct bench_cell *c = &m->cells[column];
	char number[32], interval[80], ratio[128];
	struct stats_summary s;

	strbuf_puts(to, " | ");
	if (c->error) {
		strbuf_puts(to, c->absent ? "- " : "error: ");
		put_plain(to, c->error);
	} else if (c->n == 0) {
		strbuf_puts(to, "-");
	} else {
		stats_summarize(c->samples, c->n, &s);
		strbuf_printf(to, "%s %s", report_number(number, s.median), interval_text(interval, &s.interval));
		if (*report_ratio(ratio, m, column))
			strbuf_printf(to, " %s", ratio);
	}
}

void report_markdown(const struct bench_result *r, struct strbuf *to)
{
	_cleanup_strv_ char **noise = report_noise(r);
	const char *suite = "";

	strbuf_printf(to, "# bivalve bench, %s\n", r->created ? r->created : "");
	for (size_t i = 0; i < r->n_metrics; i++) {
		const struct bench_metric *m = &r->metrics[i];

		if (strcmp(suite, m->suite)) {
			strbuf_printf(to, "\n## %s\n\n| | unit", m->suite);
			for (size_t k = 0; k < r->n_columns; k++)
				strbuf_printf(to, " | %s", r->columns[k]);
			strbuf_puts(to, " |\n| --- | ---");
			for (size_t k = 0; k < r->n_columns; k++)
				strbuf_puts(to, " | ---");
			strbuf_puts(to, " |\n");
		}
		suite = m->suite;
		strbuf_printf(to, "| %s%s | %s", m->name, m->higher_is_better ? " (more is better)" : "", m->unit);
		for (size_t k = 0; k < r->n_columns; k++)
			markdown_cell(m, k, to);
		strbuf_puts(to, " |\n");
	}
	strbuf_printf(to, "\nMedian [95%% interval], ×ratio to %s [95%% interval]. %s\n\n", r->columns[0],
		report_verdicts);
	strv_foreach(note, noise)
		strbuf_printf(to, "- note: %s\n", note);
	strv_foreach(note, r->notes)
		strbuf_printf(to, "- note: %s\n", note);
	for (size_t i = 0; i < r->n_facts; i++) {
		strbuf_printf(to, "- %s: ", r->facts[i].key);
		put_plain(to, r->facts[i].value);
		strbuf_puts(to, "\n");
	}
}

/* RFC 4180: in quotes, quotes doubled. */
static void put_quoted(struct strbuf *to, const char *text)
{
	strbuf_puts(to, "\"");
	for (; text && *text; text++)
		strbuf_printf(to, *text == '"' ? "\"\"" : "%c", *text);
	strbuf_puts(to, "\"");
}

static void csv_line(const struct bench_result *r, const struct bench_metric *m, size_t column, struct strbuf *to)
{
	put_quoted(to, m->suite);
	strbuf_puts(to, ",");
	put_quoted(to, m->name);
	strbuf_puts(to, ",");
	put_quoted(to, m->unit);
	strbuf_puts(to, ",");
	put_quoted(to, r->columns[column]);
}

void report_csv(const struct bench_result *r, struct strbuf *to)
{
	strbuf_puts(to, "suite,name,unit,column,sample,value,outlier,error\n");
	for (size_t i = 0; i < r->n_metrics; i++)
		for (size_t k = 0; k < r->n_columns; k++) {
			const struct bench_metric *m = &r->metrics[i];
			const struct bench_cell *c = &m->cells[k];
			struct stats_summary s = { 0 };

			if (c->error && !c->absent) {
				csv_line(r, m, k, to);
				strbuf_puts(to, ",,,,");
				put_quoted(to, c->error);
				strbuf_puts(to, "\n");
				continue;
			}
			if (c->n)
				stats_summarize(c->samples, c->n, &s);
			for (size_t j = 0; j < c->n; j++) {
				csv_line(r, m, k, to);
				strbuf_printf(to, ",%zu,%.10g,%d,\n", j, c->samples[j],
					stats_is_outlier(&s, c->samples[j]));
			}
		}
}

static const struct bench_metric *find_metric(const struct bench_result *r, const struct bench_metric *like)
{
	for (size_t i = 0; i < r->n_metrics; i++)
		if (!strcmp(r->metrics[i].suite, like->suite) && !strcmp(r->metrics[i].name, like->name))
			return &r->metrics[i];
	return NULL;
}

static bool find_column(const struct bench_result *r, const char *name, size_t *ret)
{
	for (size_t i = 0; i < r->n_columns; i++)
		if (!strcmp(r->columns[i], name)) {
			*ret = i;
			return true;
		}
	return false;
}

/* One line. True: it got worse by more than the limit, or is no figure any more. */
static bool diff_cell(const char *column, const struct bench_metric *metric, const struct bench_cell *a,
		const struct bench_cell *b, double limit, struct strbuf *to)
{
	char before[32], after[32], ratio[32];
	struct stats_comparison c;
	struct stats_summary x, y;
	double loss;
	bool bad;

	if (!bench_cell_valid(a) || !bench_cell_valid(b)) {
		bad = bench_cell_valid(a);
		if ((a->error && !a->absent) || (b->error && !b->absent))
			strbuf_printf(to, "  %-10s %-28s %-12s %s\n", metric->suite, metric->name, column,
				bad ? b->error ? b->error : "no samples any more"
				: bench_cell_valid(b) ? "works now" : "an error in both");
		return bad && b->error;
	}
	stats_summarize(a->samples, a->n, &x);
	stats_summarize(b->samples, b->n, &y);
	c = stats_compare(a->samples, a->n, b->samples, b->n);
	loss = !c.ratio.known ? 0 : metric->higher_is_better ? 1 / c.ratio.ratio - 1 : c.ratio.ratio - 1;
	bad = !strcmp(bench_verdict_text(metric, c.verdict), "worse") && loss > limit;
	strbuf_printf(to, "%s %-10s %-28s %-12s %9s → %-9s %s%s %s\n", bad ? "!" : " ", metric->suite, metric->name,
		column, report_number(before, x.median), report_number(after, y.median), c.ratio.known ? "×" : "",
		c.ratio.known ? report_number(ratio, c.ratio.ratio) : "", bench_verdict_text(metric, c.verdict));
	return bad;
}

size_t report_diff(const struct bench_result *a, const struct bench_result *b, double limit, struct strbuf *to)
{
	size_t bad = 0, shared = 0;

	for (size_t i = 0; i < a->n_metrics; i++) {
		const struct bench_metric *m = &a->metrics[i], *other = find_metric(b, m);

		for (size_t k = 0, there; other && k < a->n_columns; k++)
			if (find_column(b, a->columns[k], &there)) {
				bad += diff_cell(a->columns[k], m, &m->cells[k], &other->cells[there], limit, to);
				shared++;
			}
	}
	if (shared == 0)
		strbuf_puts(to, "the two results have no metric of one column in common\n");
	return bad;
}
