/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bivalve-bench serve: reads requests, a line each, and answers each with a line:
 *
 *   run NAME MS [ARGUMENT…]   → ok BEGIN_NS END_NS VALUE…   or   err TEXT
 *   clock                     → ok NOW_NS NOW_NS
 *
 * The times are CLOCK_MONOTONIC of the kernel that it runs on, so that the runner can hold a guest's clock against
 * its own. End of file ends it. `bivalve-bench true` does nothing, which is what starting is measured with.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/helper/helper.h"

enum { BATCH_NS = 250000, MIN_BATCHES = 3, MAX_BATCHES = 4096 };

static const struct workload *const tables[] = {
	cpu_workloads, memory_workloads, syscall_workloads, process_workloads, disk_workloads, net_workloads,
	other_workloads, NULL,
};

uint64_t helper_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* always there */
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int outcome_fail(struct outcome *o, const char *what)
{
	(void)snprintf(o->error, sizeof o->error, "%s: %s", what, strerror(errno));
	return -1;
}

int outcome_value(struct outcome *o, double value)
{
	o->values[o->n++] = value;
	return 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double helper_median(double *values, size_t n)
{
	qsort(values, n, sizeof *values, compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/*
 * How many operations take so long that reading the clock around them does not count: three times in a row, for once it
 * may have been another process that took the time. -1: batch failed.
 */
static int size_batch(int (*batch)(void *state, uint64_t n), void *state, uint64_t *ret_n)
{
	uint64_t n = 1;

	for (int long_enough = 0; long_enough < 3;) {
		uint64_t begin = helper_now_ns();

		if (batch(state, n) < 0)
			return -1;
		if (helper_now_ns() - begin >= BATCH_NS) {
			long_enough++;
			continue;
		}
		n *= 2;
		long_enough = 0;
	}
	*ret_n = n;
	return 0;
}

int helper_measure(uint64_t ms, int (*batch)(void *state, uint64_t n), void *state, double *ret_ns)
{
	uint64_t n, begin, took, done = 0;

	if (size_batch(batch, state, &n) < 0)
		return -1;
	begin = helper_now_ns();
	do {
		if (batch(state, n) < 0)
			return -1;
		done += n;
		took = helper_now_ns() - begin;
	} while (took < ms * 1000000);
	*ret_ns = (double)took / (double)done;
	return 0;
}

int helper_measure_usual(uint64_t ms, int (*batch)(void *state, uint64_t n), void *state, double *ret_ns)
{
	static double batches[MAX_BATCHES];
	uint64_t n, end = helper_now_ns() + ms * 1000000;
	size_t done = 0;

	if (size_batch(batch, state, &n) < 0)
		return -1;
	do {
		uint64_t begin = helper_now_ns();

		if (batch(state, n) < 0)
			return -1;
		batches[done++] = (double)(helper_now_ns() - begin) / (double)n;
	} while (done < MAX_BATCHES && (done < MIN_BATCHES || helper_now_ns() < end));
	*ret_ns = helper_median(batches, done);
	return 0;
}

static const struct workload *find(const char *name)
{
	for (size_t t = 0; tables[t]; t++)
		for (const struct workload *w = tables[t]; w->name; w++)
			if (!strcmp(w->name, name))
				return w;
	return NULL;
}

static void answer_run(char *text)
{
	struct outcome o = { 0 };
	char *save = NULL, *name = strtok_r(text, " ", &save), *ms = strtok_r(NULL, " ", &save);
	const struct workload *w = name ? find(name) : NULL;
	uint64_t begin = helper_now_ns();

	if (!w || !ms) {
		printf("err no workload %s\n", name ? name : "named");
		return;
	}
	if (w->run(strtoull(ms, NULL, 10), save ? save : "", &o) < 0) {
		printf("err %s\n", o.error);
		return;
	}
	printf("ok %" PRIu64 " %" PRIu64, begin, helper_now_ns());
	for (size_t i = 0; i < o.n; i++)
		printf(" %.9g", o.values[i]);
	printf("\n");
}

static void answer(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (!strcmp(line, "clock")) {
		uint64_t now = helper_now_ns();

		printf("ok %" PRIu64 " %" PRIu64 "\n", now, now);
	} else if (!strncmp(line, "run ", 4)) {
		answer_run(line + 4);
	} else {
		printf("err unknown request\n");
	}
	fflush(stdout);
}

static int serve(void)
{
	static char line[4096];

	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin))
		answer(line);
	return 0;
}

static int list(void)
{
	for (size_t t = 0; tables[t]; t++)
		for (const struct workload *w = tables[t]; w->name; w++)
			printf("%-18s %s\n", w->name, w->values);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "true"))
		return 0;
	(void)signal(SIGPIPE, SIG_IGN); /* a workload whose pipe broke tells by its error */
	if (argc > 1 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc > 1 && !strcmp(argv[1], "list"))
		return list();
	fprintf(stderr,
		"Usage: bivalve-bench serve|list|true\n\n"
		"The workloads of `bivalve bench`. serve: requests on standard input, `run NAME MS [ARGUMENT]`.\n");
	return 2;
}
