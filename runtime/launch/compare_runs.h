/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_COMPARE_RUNS_H
#define BIVALVE_LAUNCH_COMPARE_RUNS_H

#include "runtime/launch/bench_output.h"
#include "runtime/launch/prepare.h"

/* `compare` with more than one run: the user's command as a benchmark, by the runner of `bench`. */
struct compare_runs {
	uint64_t runs, warmup;   /* runs 0: the one-run display */
	const char *backends;
	struct bench_output output;
};
#define COMPARE_ROWS(c)                                                                                       \
	{ 0, "runs", OPTION_PARSED, &(c).runs, "N", "N runs in turn, with statistics", bench_parse_count },   \
	{ 0, "warmup", OPTION_PARSED, &(c).warmup, "N", "rounds before them (1)", bench_parse_count },        \
	{ 0, "backends", OPTION_STRING, &(c).backends, "LIST", "with --runs: native, container, vm, vm-warm", NULL }, \
	{ 0, "csv", OPTION_STRING, &(c).output.csv, "FILE", "with --runs: a line for each sample", NULL },    \
	{ 0, "md", OPTION_STRING, &(c).output.markdown, "FILE", "with --runs: tables as Markdown", NULL },    \
	{ 0, "html", OPTION_STRING, &(c).output.html, "FILE", "with --runs: a page with plots", NULL }

/*
 * argv is the command line that launch_parse() read o from. Output of the command is thrown away, its exit status is
 * its own affair. Native is the image's root file system by chroot, its writes to a tmpfs; only root can. Returns the
 * exit status or -errno.
 */
int compare_runs(struct launch_options *o, char **argv, struct compare_runs *c, struct error *err);

#endif
