/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of an idle instance: by its processes (PSS: shared pages divided among those who share them) and by what is
 * missing on the host meanwhile (MemAvailable: also what the kernel holds for it; but everything else on the machine
 * is in that figure too).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { MAX_TREE = 256, DENSITY_QUICK = 4, DENSITY_FULL = 64 };

static const double mib = 1048576;

static pid_t parent_of(pid_t pid)
{
	char path[64];
	_cleanup_free_ char *text = NULL;
	const char *after;
	size_t len;
	int parent;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (file_read_at(AT_FDCWD, path, 4096, &text, &len, NULL) < 0)
		return -1;
	after = strrchr(text, ')'); /* the name may hold anything */
	return after && sscanf(after, ") %*c %d", &parent) == 1 ? parent : -1;
}

static uint64_t pss_of(pid_t pid)
{
	char path[64];
	_cleanup_free_ char *text = NULL;
	const char *at;
	size_t len;

	(void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	if (file_read_at(AT_FDCWD, path, 65536, &text, &len, NULL) < 0)
		return 0; /* it ended meanwhile */
	at = strstr(text, "\nPss:");
	return at ? strtoull(at + 5, NULL, 10) * 1024 : 0;
}

static bool is_in(const pid_t *tree, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (tree[i] == pid)
			return true;
	return false;
}

/* A process and all below it. Repeated until nothing is added: /proc is in no order of age. */
static size_t process_tree(pid_t root, pid_t tree[MAX_TREE])
{
	size_t n = 1, before;

	tree[0] = root;
	do {
		DIR *proc = opendir("/proc");

		before = n;
		for (struct dirent *e; proc && n < MAX_TREE && (e = readdir(proc));) {
			pid_t pid = (pid_t)atoi(e->d_name);

			if (pid > 0 && !is_in(tree, n, pid) && is_in(tree, n, parent_of(pid)))
				tree[n++] = pid;
		}
		if (proc)
			(void)closedir(proc);
	} while (n > before && n < MAX_TREE);
	return n;
}

static uint64_t tree_pss(pid_t root)
{
	pid_t tree[MAX_TREE];
	size_t n = process_tree(root, tree);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pss_of(tree[i]);
	return sum;
}

static int memory_sample(struct bench_context *c, size_t column, bool keep)
{
	const struct bench_column *k = &c->columns[column];
	struct bench_cell *pss = bench_cell(c, "memory", "processes (PSS)", "MiB", false, column), *host;
	uint64_t before = environment_available(), after;
	char *options[] = { (char *)"-i", NULL };
	struct session *s = NULL;
	struct error err = { 0 };
	int r;

	host = bench_cell(c, "memory", "missing on the host", "MiB", false, column);
	pss = bench_cell(c, "memory", "processes (PSS)", "MiB", false, column);
	if (k->error) {
		bench_cell_fail(pss, "%s", k->error);
		bench_cell_fail(host, "%s", k->error);
	}
	if (pss->error)
		return 0;
	r = session_open(c, k, options, &s, &err);
	if (r == -EINTR)
		return r;
	if (r < 0) {
		bench_cell_fail(pss, "%s", err.message);
		bench_cell_fail(host, "%s", err.message);
		return 0;
	}
	after = environment_available();
	if (keep) {
		bench_cell_add(pss, (double)tree_pss(s->child.pid) / mib);
		bench_cell_add(host, ((double)before - (double)after) / mib);
	}
	session_close(s);
	return 0;
}

static int memory_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < c->n_columns; k++)
		r = memory_sample(c, round->columns[k], round->keep);
	return r;
}

int suite_memory(struct bench_context *c, const struct bench_suite *suite)
{
	return bench_rounds(c, suite->name, bench_short_warmup(c), bench_runs(c, 6, 10), memory_round, NULL);
}

/* ---- density ---- */

static uint64_t memory_total(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Instances until MemAvailable would fall below the floor, or the limit. */
static int density_sample(struct bench_context *c, size_t column)
{
	const struct bench_column *k = &c->columns[column];
	uint64_t before = environment_available(), now = before, each = 0, floor = memory_total() / 5;
	size_t limit = c->quick ? DENSITY_QUICK : DENSITY_FULL, n = 0;
	struct session *all[DENSITY_FULL] = { NULL };
	char *options[] = { (char *)"-i", NULL };
	struct error err = { 0 };
	int r = k->error ? error_set(&err, EIO, "%s", k->error) : 0;

	while (r == 0 && n < limit && now > floor + each && !bench_stopped(&c->stop)) {
		r = session_open(c, k, options, &all[n], &err);
		n += r == 0;
		now = environment_available();
		each = n && before > now ? (before - now) / n : 0;
	}
	for (size_t i = 0; i < n; i++)
		session_close(all[i]);
	if (r == -EINTR || c->stop.stopped)
		return -EINTR;
	if (r < 0) {
		bench_cell_fail(bench_cell(c, "density", "instances at once", "", true, column), "%s", err.message);
		bench_cell_fail(bench_cell(c, "density", "missing on the host, each", "MiB", false, column), "%s",
			err.message);
		return 0;
	}
	if (n == limit)
		bench_result_note(
			c->result, "density, %s: ended at the limit of %zu instances, not by memory", k->name, limit);
	bench_cell_add(bench_cell(c, "density", "instances at once", "", true, column), (double)n);
	bench_cell_add(bench_cell(c, "density", "missing on the host, each", "MiB", false, column),
			n ? ((double)before - (double)now) / (double)n / mib : 0);
	return 0;
}

int suite_density(struct bench_context *c, const struct bench_suite *suite)
{
	int r = 0;

	for (size_t k = 0; r == 0 && k < c->n_columns; k++) {
		bench_progress(c, suite->name, k, c->n_columns);
		r = density_sample(c, k);
	}
	return r;
}
