/* SPDX-License-Identifier: Apache-2.0 */
/* Plots. Coordinates are user units; every plot has its labels left of LEFT and its axis below. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/report.h"
#include "bench/svg.h"
#include "runtime/base/alloc.h"

enum { LABEL = 37, LEFT = 270, RIGHT = 20, ROW = 20, AXIS = 34, CDF_HEIGHT = 200, CDF_TOP = 10, MAX_TICKS = 9,
	MAX_STONES = 16 };

struct scale {
	double low, high;
	bool logarithmic;
};

void svg_text(struct strbuf *to, const char *text)
{
	for (; text && *text; text++) {
		switch (*text) {
		case '&': strbuf_puts(to, "&amp;"); break;
		case '<': strbuf_puts(to, "&lt;"); break;
		case '>': strbuf_puts(to, "&gt;"); break;
		case '"': strbuf_puts(to, "&quot;"); break;
		default: strbuf_add(to, text, 1);
		}
	}
}

static double place(const struct scale *s, double value)
{
	double share = s->logarithmic ? (log(value) - log(s->low)) / (log(s->high) - log(s->low))
		: (value - s->low) / (s->high - s->low);

	return LEFT + fmin(1, fmax(0, share)) * (PLOT_WIDTH - LEFT - RIGHT);
}

/*
 * A scale that holds low to high with some air; logarithmic where the values are positive and differ by more than
 * five times.
 */
static struct scale make_scale(double low, double high)
{
	struct scale s = { low, high, low > 0 && high / low > 5 };
	double air = s.logarithmic ? 0 : (high - low) * 0.05;

	if (s.logarithmic)
		return (struct scale){ low / 1.15, high * 1.15, true };
	if (air == 0)
		air = fabs(high) * 0.05 + 1e-9;
	return (struct scale){ low >= 0 && low < air ? 0 : low - air, high + air, false };
}

static double linear_step(const struct scale *s)
{
	double raw = (s->high - s->low) / 6, power = pow(10, floor(log10(raw)));

	return raw / power < 1.5 ? power : raw / power < 3.5 ? 2 * power : raw / power < 7.5 ? 5 * power : 10 * power;
}

static void tick(struct strbuf *to, const struct scale *s, double value, double top, double bottom)
{
	char number[32];
	double x = place(s, value);

	strbuf_printf(to,
		"<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
		"<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
		x, top, x, bottom, x, bottom + 13, report_number(number, value));
}

static void log_ticks(struct strbuf *to, const struct scale *s, double top, double bottom)
{
	static const double steps[3][4] = { { 1, 2, 5, 0 }, { 1, 3, 0, 0 }, { 1, 0, 0, 0 } };
	double decades = log10(s->high / s->low);
	const double *step = steps[decades < 2.5 ? 0 : decades < 4.5 ? 1 : 2];
	int every = decades > MAX_TICKS ? 3 : 1;

	for (int e = (int)floor(log10(s->low)); e <= (int)ceil(log10(s->high)); e++)
		for (int i = 0; step[i] > 0; i++) {
			double value = step[i] * pow(10, e);

			if (e % every == 0 && value >= s->low && value <= s->high)
				tick(to, s, value, top, bottom);
		}
}

static void axis(struct strbuf *to, const struct scale *s, double top, double bottom, const char *label)
{
	double step = linear_step(s);

	if (s->logarithmic)
		log_ticks(to, s, top, bottom);
	for (double v = ceil(s->low / step) * step; !s->logarithmic && v <= s->high; v += step)
		tick(to, s, fabs(v) < step / 1e6 ? 0 : v, top, bottom);
	strbuf_printf(
		to, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", PLOT_WIDTH - RIGHT, bottom + 27);
	svg_text(to, label);
	strbuf_printf(to, "%s</text>\n", s->logarithmic ? ", logarithmic" : "");
}

static void begin(struct strbuf *to, const char *kind, double height, const char *title)
{
	strbuf_printf(to, "<svg data-plot=\"%s\" role=\"img\" viewBox=\"0 0 %d %.0f\" aria-label=\"", kind,
		PLOT_WIDTH, height);
	svg_text(to, title);
	strbuf_puts(to, "\">\n");
}

static void row_label(struct strbuf *to, double y, const char *text)
{
	strbuf_printf(to, "<text class=\"label\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 10, y + 4);
	svg_text(to, text);
	strbuf_puts(to, "</text>\n");
}

static bool sample_range(const struct bench_result *r, const struct bench_metric *m, double *ret_low, double *ret_high)
{
	*ret_low = INFINITY;
	*ret_high = -INFINITY;
	for (size_t k = 0; k < r->n_columns; k++)
		for (size_t i = 0; bench_cell_valid(&m->cells[k]) && i < m->cells[k].n; i++) {
			*ret_low = fmin(*ret_low, m->cells[k].samples[i]);
			*ret_high = fmax(*ret_high, m->cells[k].samples[i]);
		}
	return isfinite(*ret_low) && isfinite(*ret_high);
}

static void sample_row(struct strbuf *to, const struct scale *s, const struct bench_cell *c, size_t column, double y)
{
	struct stats_summary sum;

	stats_summarize(c->samples, c->n, &sum);
	for (size_t i = 0; i < c->n; i++)
		strbuf_printf(to, "<circle class=\"c%zu%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.2\"/>", column,
			stats_is_outlier(&sum, c->samples[i]) ? " out" : " dot", place(s, c->samples[i]),
			y + (double)(i % 5) - 2);
	if (sum.interval.known)
		strbuf_printf(to, "<line class=\"interval c%zu\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
			column, place(s, sum.interval.low), y, place(s, sum.interval.high), y);
	strbuf_printf(to, "<line class=\"median\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
		place(s, sum.median), y - 6, place(s, sum.median), y + 6);
}

bool svg_samples(struct strbuf *to, const struct bench_result *r, const struct bench_metric *m)
{
	double low, high, y = ROW / 2.0, bottom;
	size_t rows = 0;
	struct scale s;

	if (!sample_range(r, m, &low, &high))
		return false;
	for (size_t k = 0; k < r->n_columns; k++)
		rows += bench_cell_valid(&m->cells[k]);
	s = make_scale(low, high);
	bottom = (double)(rows * ROW);
	begin(to, "samples", bottom + AXIS, m->name);
	axis(to, &s, 0, bottom, m->unit);
	for (size_t k = 0; k < r->n_columns; k++) {
		if (!bench_cell_valid(&m->cells[k]))
			continue;
		row_label(to, y, r->columns[k]);
		sample_row(to, &s, &m->cells[k], k, y);
		y += ROW;
	}
	strbuf_puts(to, "</svg>\n");
	return true;
}

/* Where a share of the samples (0 to 1) is. */
static double share_y(double share)
{
	return CDF_HEIGHT - share * (CDF_HEIGHT - CDF_TOP);
}

static void cdf_curve(struct strbuf *to, const struct scale *s, const struct bench_cell *c, size_t column)
{
	_cleanup_free_ double *sorted = xmemdup(c->samples, c->n * sizeof *sorted);

	stats_sort(sorted, c->n);
	strbuf_printf(to, "<path class=\"curve c%zu\" d=\"M%.1f %.1f", column, place(s, sorted[0]), share_y(0));
	for (size_t i = 0; i < c->n; i++)
		strbuf_printf(to, "H%.1fV%.1f", place(s, sorted[i]), share_y((double)(i + 1) / (double)c->n));
	strbuf_printf(to, "H%d\"/>\n", PLOT_WIDTH - RIGHT);
}

bool svg_cdf(struct strbuf *to, const struct bench_result *r, const struct bench_metric *m)
{
	double low, high, y = 14;
	struct scale s;

	if (!sample_range(r, m, &low, &high))
		return false;
	s = make_scale(low, high);
	begin(to, "cdf", CDF_HEIGHT + AXIS, "cumulative distribution");
	axis(to, &s, 0, CDF_HEIGHT, m->unit);
	for (int i = 0; i <= 4; i++) {
		double line = share_y(i / 4.0);

		strbuf_printf(to, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
			"<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d%%</text>\n", LEFT, line,
			PLOT_WIDTH - RIGHT, line, LEFT - 6, line + 4, i * 25);
	}
	for (size_t k = 0; k < r->n_columns; k++) {
		if (!bench_cell_valid(&m->cells[k]))
			continue;
		cdf_curve(to, &s, &m->cells[k], k);
		strbuf_printf(to, "<rect class=\"c%zu\" x=\"4\" y=\"%.1f\" width=\"10\" height=\"10\"/>"
			"<text class=\"label\" x=\"20\" y=\"%.1f\">", k, y - 9, y);
		svg_text(to, r->columns[k]);
		strbuf_puts(to, "</text>\n");
		y += 18;
	}
	strbuf_puts(to, "</svg>\n");
	return true;
}

static void ratio_row(
	struct strbuf *to, const struct scale *s, const struct stats_comparison *c, size_t column, double y)
{
	if (c->ratio.interval.known)
		strbuf_printf(to, "<line class=\"interval c%zu\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
			column, place(s, c->ratio.interval.low), y, place(s, c->ratio.interval.high), y);
	strbuf_printf(to, "<circle class=\"c%zu %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", column,
		c->verdict == STATS_LESS || c->verdict == STATS_MORE ? "mark" : "open", place(s, c->ratio.ratio), y);
}

/* Name and column; of a name that is too long the beginning. The caller frees it. */
static char *ratio_label(const char *name, const char *column)
{
	int room = LABEL - 2 - (int)strlen(column);

	if (room >= (int)strlen(name))
		return xasprintf("%s, %s", name, column);
	return xasprintf("%.*s…, %.19s", room > 8 ? room - 1 : 16, name, column);
}

/* Calls itself twice: to find range and rows (to NULL), and to draw. */
static size_t each_ratio(struct strbuf *to, const struct bench_result *r, const char *suite, struct scale *s)
{
	size_t rows = 0;

	for (size_t i = 0; i < r->n_metrics; i++) {
		const struct bench_metric *m = &r->metrics[i];
		struct stats_comparison c;

		for (size_t k = 1; !strcmp(m->suite, suite) && k < r->n_columns; k++) {
			double y = (double)(rows * ROW) + ROW / 2.0;
			_cleanup_free_ char *label = NULL;

			if (!bench_compare_cell(m, k, &c) || !c.ratio.known)
				continue;
			rows++;
			if (!to) {
				s->low = fmin(s->low, c.ratio.interval.known ? c.ratio.interval.low : c.ratio.ratio);
				s->high = fmax(s->high, c.ratio.interval.known ? c.ratio.interval.high : c.ratio.ratio);
				continue;
			}
			label = ratio_label(m->name, r->columns[k]);
			row_label(to, y, label);
			ratio_row(to, s, &c, k, y);
		}
	}
	return rows;
}

bool svg_ratios(struct strbuf *to, const struct bench_result *r, const char *suite)
{
	struct scale s = { 1, 1, true };
	size_t rows = each_ratio(NULL, r, suite, &s);
	double bottom = (double)(rows * ROW);
	_cleanup_free_ char *label = xasprintf("ratio to %s", r->columns[0]);

	if (rows == 0)
		return false;
	s = (struct scale){ s.low / 1.15, s.high * 1.15, true };
	begin(to, "ratios", bottom + AXIS, label);
	axis(to, &s, 0, bottom, label);
	strbuf_printf(to, "<line class=\"one\" x1=\"%.1f\" y1=\"0\" x2=\"%.1f\" y2=\"%.1f\"/>\n", place(&s, 1),
		place(&s, 1), bottom);
	(void)each_ratio(to, r, suite, &s);
	strbuf_puts(to, "</svg>\n");
	return true;
}

struct stone {
	const char *name;
	double at;
	size_t colour;      /* of the milestone, the same in every bar */
};

static size_t gather_stones(
	const struct bench_result *r, const char *suite, size_t column, struct stone stones[MAX_STONES])
{
	size_t n = 0, colour = 0;

	for (size_t i = 0; i < r->n_metrics && n < MAX_STONES; i++) {
		const struct bench_metric *m = &r->metrics[i];
		struct stats_summary s;
		size_t at = n;

		if (strcmp(m->suite, suite) || strncmp(m->name, "at ", 3))
			continue;
		colour++;
		if (!bench_cell_valid(&m->cells[column]))
			continue;
		stats_summarize(m->cells[column].samples, m->cells[column].n, &s);
		for (; at > 0 && stones[at - 1].at > s.median; at--)
			stones[at] = stones[at - 1];
		stones[at] = (struct stone){ m->name + 3, s.median, colour };
		n++;
	}
	return n;
}

/*
 * The bar and, beneath, the name and time of each part that is wide enough; all of them are in the title of the part.
 */
static void stone_bar(struct strbuf *to, const struct stone *stones, size_t n, double y)
{
	struct scale s = { 0, stones[n - 1].at, false };
	double before = 0, free_from = 0;
	char number[32];

	for (size_t i = 0; i < n; i++) {
		double x = place(&s, before), end = place(&s, stones[i].at);
		double wide = 6.2 * (double)(strlen(stones[i].name) + strlen(report_number(number, stones[i].at)) + 1);

		strbuf_printf(to,
			"<rect class=\"part p%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"16\"><title>%s at "
			"%s ms"
			"</title></rect>",
			stones[i].colour % 6, x, y, fmax(0.3, end - x), stones[i].name, number);
		if (end - wide >= free_from && end - wide >= LEFT - 60) {
			strbuf_printf(to,
				"<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s %s</text>", end,
				y + 28, stones[i].name, number);
			free_from = end + 4;
		}
		before = stones[i].at;
	}
	strbuf_puts(to, "\n");
}

bool svg_milestones(struct strbuf *to, const struct bench_result *r, const char *suite)
{
	struct stone stones[MAX_STONES];
	double y = 4;
	size_t bars = 0;

	for (size_t k = 0; k < r->n_columns; k++)
		bars += gather_stones(r, suite, k, stones) > 0;
	if (bars == 0)
		return false;
	begin(to, "milestones", (double)(bars * 40) + 6, "milestones");
	for (size_t k = 0; k < r->n_columns; k++) {
		size_t n = gather_stones(r, suite, k, stones);

		if (n == 0)
			continue;
		row_label(to, y + 8, r->columns[k]);
		stone_bar(to, stones, n, y);
		y += 40;
	}
	strbuf_puts(to, "</svg>\n");
	return true;
}
