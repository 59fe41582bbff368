/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve bench`: what each shell costs, side by side, with statistics that hold; `bench diff` for two results. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/report.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/bench_columns.h"
#include "runtime/launch/bench_output.h"
#include "runtime/launch/bench_peers.h"
#include "runtime/launch/commands.h"

enum { MAX_SUITES = 20, EXIT_WORSE = 1 };

static const char *const usual_suites[] = { "startup", "memory", "cpu", "mem", "syscall", "process", NULL };

struct bench_options {
	struct column_options columns;
	struct bench_output output;
	const char *dir, *probes;
	bool quick, list, peers;
	uint64_t runs, warmup, seed;
	const struct bench_suite *suites[MAX_SUITES + 1];
	size_t n_suites;
};

static int add_suite(struct bench_options *o, const char *name, struct error *err)
{
	const struct bench_suite *s = bench_suite_find(name);

	if (!s)
		return error_set(err, EINVAL, "bench: no suite %s: see `bivalve bench --list`", name);
	for (size_t i = 0; i < o->n_suites; i++)
		if (o->suites[i] == s)
			return 0;
	o->suites[o->n_suites++] = s;
	o->columns.needs_data |= !strcmp(name, "disk") || !strcmp(name, "meta");
	o->columns.needs_usr |= !strcmp(name, "apps");
	return 0;
}

static bool is_isolation(const struct bench_suite *s)
{
	return !strcmp(s->name, "isolation");
}

static int add_word(struct bench_options *o, const char *word, struct error *err)
{
	int r = 0;

	if (!strcmp(word, "peers")) {
		o->peers = true;
		return add_suite(o, "startup", err);
	}
	if (strcmp(word, "all"))
		return add_suite(o, word, err);
	for (const struct bench_suite *s = bench_suites; r == 0 && s->name; s++)
		r = is_isolation(s) ? 0 : add_suite(o, s->name, err);
	return r;
}

static void print_usage(const struct option_row *rows)
{
	printf("Usage: bivalve bench [OPTIONS] [SUITE…]\n"
	       "       bivalve bench peers [OPTIONS]      startup beside crun, runc, bwrap and QEMU, where installed\n"
	       "       bivalve bench diff [--fail-if '>5%%'] A.json B.json\n"
	       "       bivalve bench show [--md FILE] [--csv FILE] [--html FILE] A.json\n\n"
	       "Measures the same program natively, in a container and in a microVM, in turn, and says what differs.\n"
	       "Without a suite: startup memory cpu mem syscall process. `all`: all but isolation\n");
	for (const struct bench_suite *s = bench_suites; s->name; s++)
		printf("  %-10s %s\n", s->name, s->summary);
	printf("\nExit status: 0; 1 a cell is an error; 130 interrupted, the samples so far are reported; 125 "
	       "nothing ran.\n"
	       "\nOptions:\n");
	options_print(rows, stdout);
}

/* Options and suites in any order. 1: help was printed. */
static int parse(struct bench_options *o, int argc, char **argv, struct error *err)
{
	const struct option_row rows[] = {
		{ 0, "quick", OPTION_FLAG, &o->quick, NULL, "fewer and shorter samples: minutes, not an hour", NULL },
		{ 0, "runs", OPTION_PARSED, &o->runs, "N", "samples of each column, for every suite",
			bench_parse_count },
		{ 0, "warmup", OPTION_PARSED, &o->warmup, "N", "rounds before the first that counts",
			bench_parse_count },
		{ 0, "backends", OPTION_STRING, &o->columns.backends, "LIST",
			"native,container,vm,vm-warm; the first is what the others are compared with", NULL },
		{ 0, "engine", OPTION_STRING, &o->columns.engine, "NAME", "auto, kvm or qemu: what runs the microVM",
			NULL },
		{ 0, "kernel", OPTION_STRING, &o->columns.kernel, "NAME", "guest kernel (the preferred one)", NULL },
		{ 0, "policy", OPTION_STRING, &o->columns.policy, "P", "a policy by name or file (default)", NULL },
		{ 0, "dir", OPTION_STRING, &o->dir, "DIR", "where disk and meta make their files (/var/tmp)", NULL },
		{ 0, "probes", OPTION_STRING, &o->probes, "FILE", "what tightness runs (tests/containment/run)", NULL },
		{ 0, "seed", OPTION_PARSED, &o->seed, "N", "of the random order (the time)", bench_parse_count },
		BENCH_OUTPUT_ROWS(o->output),
		{ 0, "list", OPTION_FLAG, &o->list, NULL, "print the suites and do nothing", NULL },
		{ 0 },
	};

	for (int at = 1; at < argc;) {
		bool help;
		int first, r = options_parse(rows, argc - at + 1, argv + at - 1, &first, &help, err);

		if (r < 0)
			return r;
		if (help) {
			print_usage(rows);
			return 1;
		}
		at += first - 1;
		if (at < argc)
			r = add_word(o, argv[at++], err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; o->n_suites == 0 && !o->list && usual_suites[i]; i++)
		(void)add_suite(o, usual_suites[i], err); /* they exist */
	if (o->peers && (o->n_suites > 1 || o->columns.backends || o->columns.engine || o->columns.policy))
		return error_set(err, EINVAL, "bench peers is start-up by columns of its own: it takes no other suite, "
				"--backends, --engine or --policy");
	for (size_t i = 0; o->n_suites > 1 && i < o->n_suites; i++)
		if (is_isolation(o->suites[i]))
			return error_set(
				err, EINVAL, "bench isolation has columns of its own (a wall each): run it alone");
	if (!o->columns.backends && o->n_suites == 1 && is_isolation(o->suites[0]))
		o->columns.backends = "container,vm";
	if (!o->columns.backends)
		o->columns.backends = bench_have_templates() ? "native,container,vm,vm-warm" : "native,container,vm";
	return bench_output_check(&o->output, err);
}

static int list_suites(void)
{
	for (const struct bench_suite *s = bench_suites; s->name; s++)
		printf("%-10s %s\n", s->name, s->summary);
	return 0;
}

/* The folder of disk and meta, removed with all in it by remove_data(). */
static int make_data(const struct bench_options *o, char **ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/bivalve-bench.XXXXXX", o->dir ? o->dir : "/var/tmp");

	if (!mkdtemp(path))
		return error_sys(err, "--dir: cannot make a folder in %s", o->dir ? o->dir : "/var/tmp");
	(void)chmod(path, 01777); /* ours; the workload may be of another user */
	*ret = steal_ptr(path);
	return 0;
}

static void remove_data(char **path)
{
	struct error err = { 0 };

	if (*path && path_remove_tree(AT_FDCWD, *path, &err) < 0)
		log_line(LOG_LEVEL_WARNING, "%s", err.message);
	free(*path);
}

static int run(struct bench_options *o, struct bench_context *c, struct error *err)
{
	_cleanup_free_ char *helper = bench_helper_path(), *image = NULL, *dir = path_program_dir();
	_cleanup_free_ char *probes = xasprintf("%s/../tests/containment/run", dir ? dir : ".");
	_cleanup_(remove_data) char *data = NULL;
	int r = make_data(o, &data, err);

	if (r == 0)
		r = bench_make_image(helper, &image, err);
	o->columns.data = data;
	if (r == 0 && o->peers)
		r = bench_make_peers(c, helper, image, data, err);
	else if (r == 0)
		r = is_isolation(o->suites[0]) ? bench_make_walls(c, &o->columns, image, err)
			: bench_make_columns(c, &o->columns, helper, image, err);
	if (r < 0)
		return r;
	c->helper = helper;
	c->probes = o->probes ? o->probes : probes;
	c->quick = o->quick;
	c->runs = o->runs;
	c->warmup = o->warmup;
	c->random = o->seed ? o->seed : clock_wall_ns();
	bench_result_fact(c->result, "seed", "%ju", (uintmax_t)c->random);
	return bench_output_run(c, o->suites, &o->output, err);
}

static int bench_diff(int argc, char **argv, struct error *err)
{
	struct bench_result a = { 0 }, b = { 0 };
	_cleanup_strbuf_ struct strbuf text = { 0 };
	const char *fail_if = NULL;
	double limit = 0;
	char *end = NULL;
	bool help;
	int at, r;
	const struct option_row rows[] = {
		{ 0, "fail-if", OPTION_STRING, &fail_if, "'>N%'", "exit status 1 if anything got worse by more", NULL },
		{ 0 },
	};

	r = options_parse(rows, argc, argv, &at, &help, err);
	if (r == 0 && help) {
		printf("Usage: bivalve bench diff [--fail-if '>5%%'] A.json B.json\n\n"
		       "Compares two results, metric by metric and column by column, B to A. Lines with ! got worse by "
		       "more than N%%.\n"
		       "Exit status: 0; 1 with --fail-if, when there is such a line; 125 a file is no such result.\n\n"
		       "Options:\n");
		options_print(rows, stdout);
		return 0;
	}
	if (r == 0 && fail_if) {
		limit = fail_if[0] == '>' ? strtod(fail_if + 1, &end) / 100 : -1;
		if (limit < 0 || end == fail_if + 1 || strcmp(end, "%") != 0)
			return error_set(
				err, EINVAL, "--fail-if %s: expected '>' and a percentage, such as '>5%%'", fail_if);
	}
	if (r == 0 && argc - at != 2)
		return error_set(err, EINVAL, "bench diff needs two results, A.json and B.json");
	if (r == 0)
		r = bench_result_read(argv[at], &a, err);
	if (r == 0)
		r = bench_result_read(argv[at + 1], &b, err);
	if (r == 0) {
		size_t worse = report_diff(&a, &b, limit, &text);

		fputs(text.text ? text.text : "", stdout);
		r = fail_if && worse ? EXIT_WORSE : 0;
		if (fail_if)
			printf("%zu worse by more than %s\n", worse, fail_if + 1);
	}
	bench_result_release(&a);
	bench_result_release(&b);
	return r;
}

/* A result of before, in any of the forms. */
static int bench_show(int argc, char **argv, struct error *err)
{
	struct bench_output output = { 0 };
	struct bench_result result = { 0 };
	const struct option_row rows[] = { BENCH_OUTPUT_ROWS(output), { 0 } };
	bool help;
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r == 0 && help) {
		printf("Usage: bivalve bench show [OPTIONS] A.json\n\n"
		       "Shows a result of before as a table, or in the forms that are asked for.\n\nOptions:\n");
		options_print(rows, stdout);
		return 0;
	}
	if (r == 0 && argc - at != 1)
		return error_set(err, EINVAL, "bench show needs one result, A.json, after its options");
	if (r == 0)
		r = bench_output_check(&output, err);
	if (r == 0)
		r = bench_result_read(argv[at], &result, err);
	if (r == 0)
		r = bench_output_write(&result, &output, err);
	bench_result_release(&result);
	return r;
}

int cmd_bench(int argc, char **argv, struct error *err)
{
	struct bench_options o = { .warmup = UINT64_MAX };
	struct bench_result result = { 0 };
	struct bench_context c = { .result = &result };
	int r;

	if (argc > 1 && !strcmp(argv[1], "diff"))
		return bench_diff(argc - 1, argv + 1, err);
	if (argc > 1 && !strcmp(argv[1], "show"))
		return bench_show(argc - 1, argv + 1, err);
	r = parse(&o, argc, argv, err);
	if (r == 0)
		r = o.list ? list_suites() : run(&o, &c, err);
	else if (r > 0)
		r = 0;
	bench_context_release(&c);
	bench_result_release(&result);
	return r;
}
