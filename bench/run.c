/* SPDX-License-Identifier: Apache-2.0 */
/* The order of things: suites one after the other, rounds within a suite. See run.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"

/* A row more: also its workloads (bench/suite_workloads.c), docs/benchmarks.md. */
const struct bench_suite bench_suites[] = {
	{ "startup", "from launch to exit of a program that does nothing, with milestones", suite_startup, true },
	{ "parallel", "starts a second, 1, 10 and 50 at a time", suite_parallel, true },
	{ "teardown", "from the end of a workload to nothing left", suite_teardown, true },
	{ "memory", "what an idle instance takes of the host's memory", suite_memory, true },
	{ "density", "how many fit, until a fifth of the memory is left", suite_density, true },
	{ "cpu", "integers, floating point, SHA-256", suite_workloads, false },
	{ "mem", "memory bandwidth, latency, page faults", suite_workloads, false },
	{ "syscall", "system calls that do next to nothing", suite_workloads, false },
	{ "process", "fork, exec, threads, context switches", suite_workloads, false },
	{ "disk", "a file of the host's disk: sequential, random, cached, direct, fsync", suite_workloads, false },
	{ "meta", "creating, looking up and unlinking files", suite_workloads, false },
	{ "apps", "redis, sqlite, openssl, 7z and a compiler, as the host has them", suite_workloads, false },
	{ "net", "TCP over the own loopback, and from the host by a published port", suite_net, false },
	{ "jitter", "how late timers come, how long the processor is away", suite_workloads, false },
	{ "noisy", "a victim beside neighbours that take all processors", suite_noisy, false },
	{ "tightness", "how many containment probes each shell stops (from the source tree)", suite_tightness, true },
	{ "isolation", "system calls with seccomp, Landlock, audit on against off; run alone", suite_workloads, false },
	{ NULL, NULL, NULL, false },
};

const struct bench_suite *bench_suite_find(const char *name)
{
	for (const struct bench_suite *s = bench_suites; s->name; s++)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

/* splitmix64: orders need no better. */
uint64_t bench_random(struct bench_context *c, uint64_t below)
{
	uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

void bench_order(struct bench_context *c, uint64_t round, size_t *order, size_t n)
{
	if (round % 2 == 0)
		for (size_t i = 0; i < n; i++)
			order[i] = i;
	for (size_t i = 0; round % 2 == 0 && i < n; i++) { /* Fisher and Yates */
		size_t j = i + bench_random(c, n - i), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	for (size_t i = 0; round % 2 == 1 && i < n / 2; i++) {
		size_t swap = order[i];

		order[i] = order[n - 1 - i];
		order[n - 1 - i] = swap;
	}
}

uint64_t bench_runs(const struct bench_context *c, uint64_t quick, uint64_t full)
{
	return c->runs ? c->runs : c->quick ? quick : full;
}

uint64_t bench_warmup(const struct bench_context *c)
{
	return c->warmup != UINT64_MAX ? c->warmup : c->quick ? 1 : 2;
}

static void clear_progress(const struct bench_context *c)
{
	if (c->progress)
		fputs("\r\033[K", stderr);
}

void bench_progress(struct bench_context *c, const char *suite, uint64_t round, uint64_t rounds)
{
	double gone = (double)(clock_now_ns() - c->suite_begin_ns) / 1e9;

	if (!c->progress)
		return;
	clear_progress(c);
	fprintf(stderr, "suite %zu of %zu, %s: round %ju of %ju", c->suite_at + 1, c->n_suites, suite,
		(uintmax_t)round + 1, (uintmax_t)rounds);
	if (round > 0)
		fprintf(stderr, ", %.0f s left of this suite", gone / (double)round * (double)(rounds - round));
	(void)fflush(stderr); /* if it fails there is nobody to show it to */
}

uint64_t bench_short_warmup(const struct bench_context *c)
{
	return c->warmup != UINT64_MAX ? c->warmup : c->quick ? 0 : 1;
}

int bench_rounds(struct bench_context *c, const char *suite, uint64_t warmup, uint64_t runs,
		int (*one_round)(struct bench_context *c, const struct bench_round *round, void *state), void *state)
{
	struct bench_round round = { 0 };
	int r = 0;

	for (; r == 0 && round.number < warmup + runs; round.number++) {
		bench_progress(c, suite, round.number, warmup + runs);
		bench_order(c, round.number, round.columns, c->n_columns);
		round.keep = round.number >= warmup;
		r = one_round(c, &round, state);
		if (r == 0 && bench_stopped(&c->stop))
			r = -EINTR;
	}
	return r;
}

char **bench_column_argv(const struct bench_column *column, char *const *more_options, char *const *command)
{
	char **argv = NULL;

	strv_foreach(word, column->before)
		strv_push(&argv, xstrdup(word));
	if (column->image) {
		strv_foreach(word, more_options)
			strv_push(&argv, xstrdup(word));
		strv_push(&argv, xstrdup(column->image));
	}
	strv_foreach(word, command)
		strv_push(&argv, xstrdup(word));
	return argv;
}

struct bench_cell *bench_cell(
	struct bench_context *c, const char *suite, const char *name, const char *unit, bool higher, size_t column)
{
	return &bench_result_metric(c->result, suite, name, unit, higher)->cells[column];
}

/*
 * What the columns' sessions say of their clocks, once all is measured. A clock that is wrong makes figures of it
 * wrong.
 */
static void judge_clock(struct bench_context *c, size_t column)
{
	double drift, uncertain;
	struct error err = { 0 };
	char key[80];

	if (c->columns[column].kind == BENCH_NATIVE ||
		session_drift(c, c->sessions[column], &drift, &uncertain, &err) < 0)
		return;
	(void)snprintf(key, sizeof key, "clock of %.60s", c->columns[column].name);
	bench_result_fact(
		c->result, key, "%+.0f ppm against the host's, known to %.0f ppm", drift * 1e6, uncertain * 1e6);
	if ((drift < 0 ? -drift : drift) - uncertain < 0.01)
		return;
	bench_result_note(c->result,
		"%s: its clock runs %+.1f%% against the host's: figures measured by it are refused",
		c->columns[column].name, drift * 100);
	for (size_t i = 0; i < c->result->n_metrics; i++) {
		const struct bench_suite *s = bench_suite_find(c->result->metrics[i].suite);

		if (s && !s->starts)
			bench_cell_fail(&c->result->metrics[i].cells[column],
				"its clock runs %+.1f%% against the host's", drift * 100);
	}
}

static void close_sessions(struct bench_context *c)
{
	for (size_t i = 0; i < c->n_columns; i++) {
		if (c->sessions[i] && !c->stop.stopped)
			judge_clock(c, i);
		session_close(c->sessions[i]);
		c->sessions[i] = NULL;
	}
}

int bench_run(struct bench_context *c, const struct bench_suite *const *suites)
{
	uint64_t begin = clock_now_ns();
	time_t now = time(NULL);
	char text[40];
	int r = 0;

	(void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	c->result->created = xstrdup(text);
	for (size_t i = 0; i < c->n_columns; i++) {
		c->result->columns[i] = xstrdup(c->columns[i].name);
		c->result->n_columns = i + 1;
	}
	while (suites[c->n_suites])
		c->n_suites++;
	environment_begin(c->result);
	for (; r == 0 && suites[c->suite_at]; c->suite_at++) {
		c->suite_begin_ns = clock_now_ns();
		r = suites[c->suite_at]->run(c, suites[c->suite_at]);
	}
	close_sessions(c);
	clear_progress(c);
	environment_end(c->result);
	c->result->seconds = (double)(clock_now_ns() - begin) / 1e9;
	c->result->interrupted = r == -EINTR;
	return r;
}

void bench_context_release(struct bench_context *c)
{
	for (size_t i = 0; i < BENCH_MAX_COLUMNS; i++) {
		struct bench_column *k = &c->columns[i];

		free(k->name);
		strv_free(k->before);
		free(k->image);
		strv_free(k->session_options);
		strv_free(k->command);
		free(k->helper);
		free(k->data);
		free(k->layer);
		free(k->root);
		free(k->cwd);
		strv_free(k->env);
		free(k->error);
	}
	c->n_columns = 0;
}
