/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page: tables and plots in one file. It has no script, names no other file, and its own policy forbids what it
 * does not need, so that it can be kept, mailed and opened anywhere, for years.
 */
#include <string.h>

#include "bench/report.h"
#include "bench/svg.h"
#include "runtime/base/alloc.h"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
	"img-src data:\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\n"
	"<title>bivalve bench</title>\n<style>\n"
	":root{color-scheme:light "
	"dark;--fg:#1c1e21;--bg:#ffffff;--soft:#5f6670;--line:#d9dde3;--bad:#b3261e;--good:#1b6e35;"
	"--k0:#4a5568;--k1:#1769c2;--k2:#c2571a;--k3:#2b8a3e;--k4:#8e3fb0;--k5:#b08900;"
	"--p0:#9ec5ea;--p1:#5b9bd5;--p2:#f2b38a;--p3:#d98a4e;--p4:#a8d5a2;--p5:#cfa9dd}\n"
	"@media(prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#15171a;--soft:#9aa3ad;--line:#363b42;--bad:#"
	"ff8a80;"
	"--good:#7fd694;--k0:#aab4c2;--k1:#6db3ff;--k2:#ff9e64;--k3:#7ddc8d;--k4:#d7a1f0;--k5:#e8c75a;"
	"--p0:#2c567f;--p1:#3f7cb5;--p2:#8a5230;--p3:#b36c3a;--p4:#3f7440;--p5:#75508a}}\n"
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:60rem;margin:1.5rem "
	"auto;"
	"padding:0 1rem}\n"
	"h2{margin-top:2.2rem;border-bottom:1px solid var(--line)}h3{margin:1.4rem 0 .3rem;font-size:1rem}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\n"
	"td:first-child{white-space:nowrap}\n"
	"td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}\n"
	"small,.tick{color:var(--soft);fill:var(--soft)}.worse{color:var(--bad)}.better{color:var(--good)}"
	".error{color:var(--bad)}.unsure{color:var(--soft)}\n"
	"svg{display:block;width:100%;height:auto;margin:.3rem 0}text{font:12px "
	"system-ui,sans-serif;fill:var(--fg)}\n"
	"text.tick{font-size:11px;fill:var(--soft)}.grid{stroke:var(--line)}.one{stroke:var(--soft);stroke-width:1.5}"
	"\n"
	".dot{fill-opacity:.45}.out{fill-opacity:0!important;stroke-opacity:.8}.interval{stroke-width:3}"
	".median{stroke:var(--fg);stroke-width:1.6}.curve{fill:none!important;stroke-width:1.8}\n"
	".open{fill:var(--bg)!important;stroke-width:2}.part{stroke:var(--bg);stroke-width:.5}\n"
	".c0,.c6{fill:var(--k0);stroke:var(--k0)}.c1,.c7{fill:var(--k1);stroke:var(--k1)}.c2,.c8{fill:var(--k2);"
	"stroke:var(--k2)}"
	".c3,.c9{fill:var(--k3);stroke:var(--k3)}.c4,.c10{fill:var(--k4);stroke:var(--k4)}.c5,.c11{fill:var(--k5);"
	"stroke:var(--k5)}\n"
	".p0{fill:var(--p0)}.p1{fill:var(--p1)}.p2{fill:var(--p2)}.p3{fill:var(--p3)}.p4{fill:var(--p4)}.p5{fill:var("
	"--p5)}\n"
	"</style></head><body>\n";

static const char legend[] = "<p><small>Dots are samples, hollow ones flagged as outliers (and kept); the thick line "
			     "is the 95% interval of the median, the "
			     "upright one the median. In plots of ratios a filled mark is a difference that is "
			     "shown, a hollow one is not. ";

static const char *verdict_class(const struct bench_metric *m, enum stats_verdict verdict)
{
	return verdict == STATS_LESS || verdict == STATS_MORE ? bench_verdict_text(m, verdict)
		: verdict == STATS_WITHIN ? "within" : "unsure";
}

static void table_cell(struct strbuf *to, const struct bench_metric *m, size_t column)
{
	const struct bench_cell *c = &m->cells[column];
	char number[32], low[32], high[32], ratio[128];
	struct stats_comparison comparison;
	struct stats_summary s;

	strbuf_puts(to, "<td>");
	if (c->error) {
		strbuf_printf(to, "<span class=\"%s\">", c->absent ? "unsure" : "error");
		svg_text(to, c->error);
		strbuf_puts(to, "</span></td>");
		return;
	}
	if (c->n == 0) {
		strbuf_puts(to, "-</td>");
		return;
	}
	stats_summarize(c->samples, c->n, &s);
	strbuf_printf(to, "<b>%s</b>", report_number(number, s.median));
	if (s.interval.known)
		strbuf_printf(to, " <small>[%s, %s]</small>", report_number(low, s.interval.low),
			report_number(high, s.interval.high));
	strbuf_printf(to, " <small>n %zu%s</small>", s.n, s.outliers ? "*" : "");
	if (bench_compare_cell(m, column, &comparison))
		strbuf_printf(to, "<br><span class=\"%s\">%s</span>", verdict_class(m, comparison.verdict),
			report_ratio(ratio, m, column));
	strbuf_puts(to, "</td>");
}

static void suite_table(struct strbuf *to, const struct bench_result *r, const char *suite)
{
	strbuf_puts(to, "<div class=\"scroll\"><table><tr><th></th>");
	for (size_t k = 0; k < r->n_columns; k++) {
		strbuf_puts(to, "<th>");
		svg_text(to, r->columns[k]);
		strbuf_puts(to, "</th>");
	}
	strbuf_puts(to, "</tr>\n");
	for (size_t i = 0; i < r->n_metrics; i++) {
		const struct bench_metric *m = &r->metrics[i];

		if (strcmp(m->suite, suite))
			continue;
		strbuf_puts(to, "<tr><td>");
		svg_text(to, m->name);
		strbuf_puts(to, "<br><small>");
		svg_text(to, m->unit);
		strbuf_printf(to, "%s</small></td>", m->higher_is_better ? ", more is better" : "");
		for (size_t k = 0; k < r->n_columns; k++)
			table_cell(to, m, k);
		strbuf_puts(to, "</tr>\n");
	}
	strbuf_puts(to, "</table></div>\n");
}

static void plot_title(struct strbuf *to, const char *title, const char *unit)
{
	strbuf_puts(to, "<h3>");
	svg_text(to, title);
	if (*unit) {
		strbuf_puts(to, " <small>");
		svg_text(to, unit);
		strbuf_puts(to, "</small>");
	}
	strbuf_puts(to, "</h3>\n");
}

/* A plot with its title, or neither. */
static void titled(struct strbuf *to, const char *title, const char *unit, const struct strbuf *plot, bool drawn)
{
	if (!drawn)
		return;
	plot_title(to, title, unit);
	strbuf_add(to, plot->text, plot->len);
}

static void suite_plots(struct strbuf *to, const struct bench_result *r, const char *suite)
{
	_cleanup_strbuf_ struct strbuf ratios = { 0 }, stones = { 0 };

	titled(to, "Ratios", "", &ratios, svg_ratios(&ratios, r, suite));
	titled(to, "Milestones", "medians, ms, each column on its own scale", &stones,
		svg_milestones(&stones, r, suite));
	for (size_t i = 0; i < r->n_metrics; i++) {
		const struct bench_metric *m = &r->metrics[i];
		_cleanup_strbuf_ struct strbuf cdf = { 0 }, samples = { 0 };

		if (strcmp(m->suite, suite) || !strncmp(m->name, "at ", 3))
			continue;
		if (!strcmp(m->name, "wall"))
			titled(to, "Distribution", "the share of starts that took no longer", &cdf,
				svg_cdf(&cdf, r, m));
		titled(to, m->name, m->unit, &samples, svg_samples(&samples, r, m));
	}
}

static void environment(struct strbuf *to, const struct bench_result *r)
{
	strbuf_puts(to, "<h2>Environment</h2><div class=\"scroll\"><table>\n");
	for (size_t i = 0; i < r->n_facts; i++) {
		strbuf_puts(to, "<tr><td>");
		svg_text(to, r->facts[i].key);
		strbuf_puts(to, "</td><td>");
		svg_text(to, r->facts[i].value);
		strbuf_puts(to, "</td></tr>\n");
	}
	for (size_t k = 0; k < r->n_columns; k++) {
		strbuf_puts(to, "<tr><td>starts ");
		svg_text(to, r->columns[k]);
		strbuf_puts(to, "</td><td><code>");
		svg_text(to, r->commands[k]);
		strbuf_puts(to, "</code></td></tr>\n");
	}
	strbuf_puts(to, "</table></div>\n");
}

void report_html(const struct bench_result *r, struct strbuf *to)
{
	_cleanup_strv_ char **noise = report_noise(r);
	const char *suite = "";

	strbuf_puts(to, head);
	strbuf_printf(to, "<h1>bivalve bench</h1>\n<p>%s, %.0f s%s. Ratios are to <b>", r->created ? r->created : "",
		r->seconds, r->interrupted ? ", <b>interrupted</b>: the samples so far" : "");
	svg_text(to, r->columns[0]);
	strbuf_puts(to, "</b>.</p>\n");
	strv_foreach(note, r->notes) {
		strbuf_puts(to, "<p class=\"error\">");
		svg_text(to, note);
		strbuf_puts(to, "</p>\n");
	}
	strv_foreach(note, noise) {
		strbuf_puts(to, "<p class=\"unsure\">");
		svg_text(to, note);
		strbuf_puts(to, "</p>\n");
	}
	strbuf_printf(to, "%s%s</small></p>\n", legend, report_verdicts);
	for (size_t i = 0; i < r->n_metrics; i++) {
		if (!strcmp(r->metrics[i].suite, suite))
			continue;
		suite = r->metrics[i].suite;
		strbuf_puts(to, "<h2>");
		svg_text(to, suite);
		strbuf_puts(to, "</h2>\n");
		suite_table(to, r, suite);
		suite_plots(to, r, suite);
	}
	environment(to, r);
	strbuf_puts(to, "</body></html>\n");
}
