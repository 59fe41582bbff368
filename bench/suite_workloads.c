/* SPDX-License-Identifier: Apache-2.0 */
/* The suites whose samples are workloads of the helper, in one session a column. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"

enum { MAX_VALUES = 3, MAX_WORKS = 16, WORK_GRACE_MS = 120000, MAX_NEIGHBOURS = 8 };

struct value {
	const char *name, *unit;
	bool higher;
};

struct work {
	const char *suite, *request;  /* "NAME" or "NAME %s", where the argument goes */
	const char *argument;         /* "data", "layer": the column's folder; else the words themselves */
	uint64_t ms_quick, ms_full;
	const char *needs;            /* a program of the host that is shown to all columns; NULL: none */
	struct value values[MAX_VALUES];
};

/*
 * The programs are the host's, seen at the same place in each column; what they write goes to the column's own
 * memory.
 */
static const char redis[] = "cd /tmp && rm -f r.sock && redis-server --port 0 --unixsocket /tmp/r.sock --save '' "
			    "--daemonize yes >/dev/null && i=0; while [ ! -S r.sock ]; do i=$((i+1)); [ $i -lt 100 ] "
			    "|| exit 1; sleep 0.05; done; "
			    "redis-benchmark -s /tmp/r.sock -q -n 5000 -c 10 -t set,get >/dev/null; r=$?; "
			    "redis-cli -s /tmp/r.sock shutdown nosave; exit $r";
static const char sqlite[] =
	"sqlite3 :memory: 'create table t(a integer primary key, b text); with recursive c(x) as "
	"(select 1 union all select x+1 from c where x<40000) insert into t select x, hex(x*7919) from c; create "
	"index i on t(b); "
	"select count(*), sum(length(b)) from t where b > 3;'";
static const char openssl[] =
	"head -c 33554432 /dev/zero | openssl enc -aes-128-cbc -nosalt -K 000102030405060708090a0b0c0d0e0f "
	"-iv 000102030405060708090a0b0c0d0e0f | openssl dgst -sha256 >/dev/null";
static const char sevenzip[] =
	"cd /tmp && rm -f b.7z && head -c 400000 /usr/bin/perl > b && 7z a -mmt1 b.7z b >/dev/null && "
	"7z t b.7z >/dev/null; r=$?; rm -f b b.7z; exit $r";
static const char compiler[] = "cd /tmp && { echo 'int main(void){int s=0;'; i=0; while [ $i -lt 400 ]; do "
			       "echo \"for(int i=0;i<$i;i++) s+=i^s;\"; i=$((i+1)); done; echo 'return s&1;}'; } > "
			       "c.c && gcc -O1 -c c.c -o c.o; r=$?; "
			       "rm -f c.c c.o; exit $r";

/* A row more: the helper's workload, docs/benchmarks.md. */
static const struct work works[] = {
	{ "cpu", "integer", NULL, 60, 200, NULL, { { "integer", "ns a step", false } } },
	{ "cpu", "float", NULL, 60, 200, NULL, { { "floating point", "ns a step", false } } },
	{ "cpu", "sha256", NULL, 60, 200, NULL, { { "sha256", "MiB/s", true } } },
	{ "mem", "triad", NULL, 60, 200, NULL, { { "triad", "MiB/s", true } } },
	{ "mem", "chase", NULL, 60, 200, NULL, { { "pointer chase", "ns a load", false } } },
	{ "mem", "map-touch-unmap", NULL, 40, 200, NULL, { { "map, touch, unmap", "ns a page", false } } },
	{ "syscall", "getppid", NULL, 30, 100, NULL, { { "getppid", "ns", false } } },
	{ "syscall", "read-write", NULL, 30, 100, NULL, { { "read and write", "ns a pair", false } } },
	{ "syscall", "open-close", NULL, 30, 100, NULL, { { "open and close", "ns a pair", false } } },
	{ "syscall", "stat", NULL, 30, 100, NULL, { { "stat", "ns", false } } },
	{ "process", "fork-exit", NULL, 40, 200, NULL, { { "fork and exit", "us", false } } },
	{ "process", "fork-exec", NULL, 40, 200, NULL, { { "fork and exec", "us", false } } },
	{ "process", "thread", NULL, 40, 200, NULL, { { "thread", "us", false } } },
	{ "process", "context-switch", NULL, 40, 200, NULL, { { "context switch", "us", false } } },
	{ "disk", "seq-read", "data", 40, 300, NULL, { { "sequential read", "MiB/s", true } } },
	{ "disk", "seq-write", "data", 40, 300, NULL, { { "sequential write", "MiB/s", true } } },
	{ "disk", "seq-read-direct", "data", 40, 300, NULL, { { "sequential read, direct", "MiB/s", true } } },
	{ "disk", "seq-write-direct", "data", 40, 300, NULL, { { "sequential write, direct", "MiB/s", true } } },
	{ "disk", "random-read", "data", 40, 300, NULL, { { "random read", "us", false } } },
	{ "disk", "random-write", "data", 40, 300, NULL, { { "random write", "us", false } } },
	{ "disk", "random-read-direct", "data", 40, 300, NULL, { { "random read, direct", "us", false } } },
	{ "disk", "random-write-direct", "data", 40, 300, NULL, { { "random write, direct", "us", false } } },
	{ "disk", "fsync", "data", 40, 300, NULL, { { "write and fsync", "us", false } } },
	{ "meta", "names", "data", 40, 200, NULL, { { "create", "us", false }, { "stat", "us", false },
		{ "unlink", "us", false } } },
	{ "meta", "names", "layer", 40, 200, NULL, { { "create, own layer", "us", false },
		{ "stat, own layer", "us", false }, { "unlink, own layer", "us", false } } },
	{ "apps", "command", redis, 1, 1, "redis-server", { { "redis, 5000 sets and gets", "s", false } } },
	{ "apps", "command", sqlite, 1, 1, "sqlite3", { { "sqlite, 40000 rows and an index", "s", false } } },
	{ "apps", "command", openssl, 1, 1, "openssl", { { "openssl, 32 MiB by AES and SHA-256", "s", false } } },
	{ "apps", "command", sevenzip, 1, 1, "7z", { { "7z, 400 kB", "s", false } } },
	{ "apps", "command", compiler, 1, 1, "gcc", { { "gcc -O1, 400 loops", "s", false } } },
	{ "jitter", "wake", NULL, 200, 2000, NULL, { { "timer late, median", "us", false },
		{ "timer late, 99th percentile", "us", false }, { "timer late, most", "us", false } } },
	{ "jitter", "gap", NULL, 200, 1000, NULL, { { "longest gap", "us", false } } },
	{ "isolation", "getppid", NULL, 30, 100, NULL, { { "getppid", "ns", false } } },
	{ "isolation", "read-write", NULL, 30, 100, NULL, { { "read and write", "ns a pair", false } } },
	{ "isolation", "open-close", NULL, 30, 100, NULL, { { "open and close", "ns a pair", false } } },
	{ "isolation", "stat", NULL, 30, 100, NULL, { { "stat", "ns", false } } },
	{ "isolation", "fork-exec", NULL, 40, 200, NULL, { { "fork and exec", "us", false } } },
	{ NULL, NULL, NULL, 0, 0, NULL, { { NULL, NULL, false } } },
};

static struct bench_cell *cell_of(struct bench_context *c, const struct work *w, size_t value, size_t column)
{
	return bench_cell(c, w->suite, w->values[value].name, w->values[value].unit, w->values[value].higher, column);
}

static void fail_work(struct bench_context *c, const struct work *w, size_t column, const char *why)
{
	for (size_t i = 0; i < MAX_VALUES && w->values[i].name; i++)
		bench_cell_fail(cell_of(c, w, i, column), "%s", why);
}

static const char *argument_of(const struct work *w, const struct bench_column *column)
{
	if (!w->argument)
		return "";
	return !strcmp(w->argument, "data")    ? column->data
	       : !strcmp(w->argument, "layer") ? column->layer
					       : w->argument;
}

/* One sample. Keeps it unless it warms up. -EINTR: stopped. */
static int sample(struct bench_context *c, const struct work *w, size_t column, bool keep)
{
	struct bench_column *k = &c->columns[column];
	uint64_t ms = c->quick ? w->ms_quick : w->ms_full;
	_cleanup_free_ char *request = xasprintf("run %s %ju %s", w->request, (uintmax_t)ms, argument_of(w, k));
	struct error err = { 0 };
	double values[8];
	size_t n;
	int r;

	if (!c->sessions[column] || cell_of(c, w, 0, column)->error)
		return 0;
	r = session_run(c, c->sessions[column], request, ms + WORK_GRACE_MS, values, &n, &err);
	if (r == -EINTR)
		return r;
	if (r < 0) {
		fail_work(c, w, column, err.message);
		if (r != -EIO) { /* the session itself is gone: so are all that would follow */
			session_close(c->sessions[column]);
			c->sessions[column] = NULL;
			k->error = xstrdup(err.message);
		}
		return 0;
	}
	for (size_t i = 0; keep && i < MAX_VALUES && w->values[i].name; i++) {
		if (i < n)
			bench_cell_add(cell_of(c, w, i, column), values[i]);
		else
			bench_cell_fail(cell_of(c, w, i, column), "the workload gave no such value");
	}
	return 0;
}

static bool on_path(const char *program)
{
	static const char *const folders[] = { "/usr/local/bin", "/usr/bin", "/usr/sbin" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", folders[i], program);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static int open_session(struct bench_context *c, size_t column)
{
	char *input[] = { (char *)"-i", NULL };
	struct bench_column *k = &c->columns[column];
	_cleanup_strv_ char **options = strv_dup(input);
	struct error err = { 0 };
	int r;

	if (c->sessions[column] || k->error)
		return 0;
	strv_foreach(word, k->session_options)
		strv_push(&options, xstrdup(word));
	r = session_open(c, k, options, &c->sessions[column], &err);
	if (r < 0 && r != -EINTR)
		k->error = xstrdup(err.message);
	return r == -EINTR ? r : 0;
}

/* The works of the suite, all their cells made in order; what cannot be measured is told. Their number. */
static size_t gather(struct bench_context *c, const char *suite, const struct work *ret[MAX_WORKS])
{
	size_t n = 0;

	for (const struct work *w = works; w->suite; w++) {
		if (strcmp(w->suite, suite))
			continue;
		for (size_t i = 0; i < MAX_VALUES && w->values[i].name; i++)
			(void)cell_of(c, w, i, 0);
		for (size_t column = 0; column < c->n_columns; column++) {
			if (c->columns[column].error)
				fail_work(c, w, column, c->columns[column].error);
			else if (w->needs && !on_path(w->needs)) {
				_cleanup_free_ char *why = xasprintf("%s is not installed", w->needs);

				fail_work(c, w, column, why);
			}
		}
		ret[n++] = w;
	}
	return n;
}

struct works {
	const struct work *list[MAX_WORKS];
	size_t n;
};

static int one_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	const struct works *all = state;
	size_t order[MAX_WORKS];

	bench_order(c, 0, order, all->n);
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < c->n_columns; k++) {
			int r = sample(c, all->list[order[i]], round->columns[k], round->keep);

			if (r == 0 && bench_stopped(&c->stop))
				r = -EINTR;
			if (r < 0)
				return r;
		}
	return 0;
}

/* Where a sample takes seconds there are fewer. */
static uint64_t runs_of(const struct bench_context *c, const char *suite)
{
	static const struct { const char *suite; uint64_t quick, full; } slow[] = {
		{ "disk", 6, 12 }, { "apps", 6, 8 }, { "jitter", 8, 12 },
	};

	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		if (!strcmp(slow[i].suite, suite))
			return bench_runs(c, slow[i].quick, slow[i].full);
	return bench_runs(c, 10, 30);
}

int suite_workloads(struct bench_context *c, const struct bench_suite *suite)
{
	struct works all;
	int r = 0;

	for (size_t k = 0; k < c->n_columns && r == 0; k++)
		r = open_session(c, k);
	if (r < 0)
		return r;
	all.n = gather(c, suite->name, all.list);
	return bench_rounds(c, suite->name, bench_warmup(c), runs_of(c, suite->name), one_round, &all);
}

/* ---- noisy: the same workload alone, and beside as many neighbours of its kind as there are processors ---- */

struct neighbours {
	struct session *sessions[MAX_NEIGHBOURS];
	size_t n;
};

static int open_neighbours(struct bench_context *c, size_t column, struct neighbours *ret, struct error *err)
{
	char *options[] = { (char *)"-i", NULL };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r = 0;

	while (r == 0 && (long)ret->n < cpus && ret->n < MAX_NEIGHBOURS) {
		r = session_open(c, &c->columns[column], options, &ret->sessions[ret->n], err);
		ret->n += r == 0;
	}
	return r;
}

static void close_neighbours(struct neighbours *all)
{
	for (size_t i = 0; i < all->n; i++)
		session_close(all->sessions[i]);
	all->n = 0;
}

/* The victim's figure while the neighbours work; they are heard to the end, so that the next is really alone. */
static int beside(struct bench_context *c, struct session *victim, struct neighbours *all, const char *request,
	double *ret, struct error *err)
{
	double values[8];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < all->n; i++)
		r = session_send(all->sessions[i], "run hog 300", err);
	if (r == 0)
		r = session_run(c, victim, request, WORK_GRACE_MS, values, &n, err);
	*ret = values[0];
	if (r == 0 && n == 0)
		r = error_set(err, EPROTO, "the workload gave no value");
	for (size_t i = 0; r == 0 && i < all->n; i++)
		r = session_answer(c, all->sessions[i], WORK_GRACE_MS, values, &n, err);
	return r;
}

static int noisy_sample(struct bench_context *c, size_t column, struct neighbours *all, bool keep)
{
	static const struct { const char *request, *alone, *beside, *unit; } rows[] = {
		{ "run integer-wall 150", "integer, alone", "integer, beside neighbours", "ns a step" },
		{ "run wake 150", "timer late, alone", "timer late, beside neighbours", "us" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench_cell *cells[2] = { NULL };
		struct error err = { 0 };

		for (int with = 0; with < 2; with++) {
			struct neighbours none = { .n = 0 };
			double value;
			int r;

			cells[with] = bench_cell(
				c, "noisy", with ? rows[i].beside : rows[i].alone, rows[i].unit, false, column);
			if (!c->sessions[column]) {
				bench_cell_fail(cells[with], "%s", c->columns[column].error);
				continue;
			}
			r = beside(c, c->sessions[column], with ? all : &none, rows[i].request, &value, &err);
			if (r == -EINTR)
				return r;
			if (r < 0)
				bench_cell_fail(cells[with], "%s", err.message);
			else if (keep)
				bench_cell_add(cells[with], value);
		}
	}
	return 0;
}

static int noisy_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	struct neighbours *all = state;
	int r = 0;

	for (size_t k = 0; r == 0 && k < c->n_columns; k++)
		r = noisy_sample(c, round->columns[k], &all[round->columns[k]], round->keep);
	return r;
}

int suite_noisy(struct bench_context *c, const struct bench_suite *suite)
{
	struct neighbours all[BENCH_MAX_COLUMNS] = { 0 };
	struct error err = { 0 };
	int r = 0;

	for (size_t k = 0; k < c->n_columns && r == 0; k++) {
		r = open_session(c, k);
		if (r == 0 && c->sessions[k] && (r = open_neighbours(c, k, &all[k], &err)) < 0 && r != -EINTR) {
			c->columns[k].error = xstrdup(err.message);
			session_close(c->sessions[k]);
			c->sessions[k] = NULL;
			r = 0;
		}
	}
	if (r == 0)
		r = bench_rounds(c, suite->name, bench_warmup(c), bench_runs(c, 6, 20), noisy_round, all);
	for (size_t k = 0; k < c->n_columns; k++)
		close_neighbours(&all[k]);
	return r;
}
