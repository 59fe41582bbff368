/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_BENCH_OUTPUT_H
#define BIVALVE_LAUNCH_BENCH_OUTPUT_H

#include "bench/run.h"
#include "runtime/base/options.h"

/* Where results go: shared by `bench` and `compare`. "-" is standard output, instead of the table. */
struct bench_output {
	const char *json, *csv, *markdown, *html;
};
#define BENCH_OUTPUT_ROWS(o)                                                                                 \
	{ 0, "json", OPTION_STRING, &(o).json, "FILE", "the result with all samples; - is standard output", NULL }, \
	{ 0, "csv", OPTION_STRING, &(o).csv, "FILE", "a line for each sample", NULL },                       \
	{ 0, "md", OPTION_STRING, &(o).markdown, "FILE", "tables as Markdown", NULL },                       \
	{ 0, "html", OPTION_STRING, &(o).html, "FILE", "one page with plots, which asks for nothing else", NULL }

/* A number of samples, for options_parse(). */
int bench_parse_count(const char *text, void *target, struct error *err);
/* Whether the files can be written, before anything is measured. Returns 0 or -errno. */
int bench_output_check(const struct bench_output *o, struct error *err);
/*
 * Writes the result to wherever the options say; the table to standard output if nothing else goes there. 0 or
 * -errno.
 */
int bench_output_write(const struct bench_result *r, const struct bench_output *o, struct error *err);
/*
 * Runs the suites, signals held back meanwhile, and writes what they found, also of an interrupted run. The exit
 * status: 0, 1 when a cell is an error, 130 when it was interrupted; or -errno.
 */
int bench_output_run(struct bench_context *c, const struct bench_suite *const *suites, const struct bench_output *o,
		struct error *err);

#endif
