/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_RUN_H
#define BIVALVE_BENCH_RUN_H

#include "bench/child.h"
#include "bench/result.h"

/*
 * Running suites. A column is a way to run a program; the runner knows no more of it than its command lines. Each
 * round takes one sample of each column, in random order, and the next round in the reverse of it (ABBA), so that
 * whatever drifts meanwhile meets all columns alike. Workloads come in random order too.
 */
enum bench_kind { BENCH_NATIVE, BENCH_CONTAINER, BENCH_VM, BENCH_VM_WARM, BENCH_PEER };
static inline bool bench_is_vm(enum bench_kind kind)
{
	return kind == BENCH_VM || kind == BENCH_VM_WARM;
}


struct bench_column {
	char *name;
	enum bench_kind kind;
	char **before;           /* program and options; NULL: what is run stands alone */
	char *image;             /* stands between options and command; NULL: none */
	char **session_options;  /* more options where a session of workloads is started: volumes */
	char **command;          /* what starting is measured with */
	char *helper;            /* bivalve-bench, as this column sees it */
	char *data, *layer;      /* folders in it: one of the host's disk, and one in memory that takes its writes */
	char *root, *cwd;        /* native runs of an image: its root directory */
	char **env;
	bool machine;            /* a peer that boots a kernel: as slow as a VM of ours */
	char *error;             /* why it cannot be used at all */
	const char *report;      /* where its report goes: "-", or a file; NULL: nowhere */
};

struct session;
struct bench_context {
	struct bench_result *result;
	struct bench_column columns[BENCH_MAX_COLUMNS];
	size_t n_columns;
	struct session *sessions[BENCH_MAX_COLUMNS]; /* of the suites of workloads: opened once, for all of them */
	struct bench_stop stop;
	bool quick, progress;
	bool any_status; /* starting: whatever exit status the program has is right, but for those of launchers */
	uint64_t runs, warmup;   /* runs 0: what the suite thinks right; warmup UINT64_MAX: the same */
	char *helper;            /* bivalve-bench on the host; borrowed */
	const char *probes;      /* the program of tests/containment that scores the shells */
	uint64_t random;         /* state of the generator of orders */
	size_t suite_at, n_suites;
	uint64_t suite_begin_ns;
};

struct bench_suite {
	const char *name, *summary;
	int (*run)(struct bench_context *c, const struct bench_suite *suite); /* 0, or -EINTR: it was stopped */
	bool starts;             /* starts an instance for each sample: not for what only has workloads */
};
extern const struct bench_suite bench_suites[]; /* ends with name NULL */
const struct bench_suite *bench_suite_find(const char *name);

/*
 * Runs suites (NULL-terminated), filling the result; sessions are closed at the end. Returns 0, or -EINTR: stopped.
 */
int bench_run(struct bench_context *c, const struct bench_suite *const *suites);
void bench_context_release(struct bench_context *c);

/* For the suites. */
uint64_t bench_random(struct bench_context *c, uint64_t below);
/*
 * The order of round's columns or workloads: a permutation of 0 to n - 1 in order[], the reverse of the last in odd
 * rounds.
 */
void bench_order(struct bench_context *c, uint64_t round, size_t *order, size_t n);
uint64_t bench_runs(const struct bench_context *c, uint64_t quick, uint64_t full);
uint64_t bench_warmup(const struct bench_context *c);
/*
 * The rounds of a suite: each calls one_round with the columns in their order for it. Shows how far it is. Returns 0,
 * -EINTR when it was stopped, or what one_round returned.
 */
struct bench_round {
	size_t columns[BENCH_MAX_COLUMNS];
	uint64_t number;
	bool keep;               /* false: it warms up */
};
int bench_rounds(struct bench_context *c, const char *suite, uint64_t warmup, uint64_t runs,
		int (*one_round)(struct bench_context *c, const struct bench_round *round, void *state), void *state);
/* Where a round starts machines: none in a quick run, unless the user says how many. */
uint64_t bench_short_warmup(const struct bench_context *c);
/* Shows how far the suite is, on a terminal only. round counts the warm-up too. */
void bench_progress(struct bench_context *c, const char *suite, uint64_t round, uint64_t rounds);
/* The words that run command in the column. The caller frees them. */
char **bench_column_argv(const struct bench_column *column, char *const *more_options, char *const *command);
struct bench_cell *bench_cell(
	struct bench_context *c, const char *suite, const char *name, const char *unit, bool higher, size_t column);

/* bench/session.c: one helper that serves, in a column. */
struct session {
	struct child child;
	struct strbuf more;
	uint64_t host_ns, guest_ns, uncertain_ns; /* one moment by both clocks, at its beginning */
};
int session_open(struct bench_context *c, const struct bench_column *column, char *const *options, struct session **ret,
		struct error *err);
/*
 * One request. Values at most HELPER's eight. -EINTR: stopped; -EIO: the workload failed, err says how; else it is
 * dead.
 */
int session_run(struct bench_context *c, struct session *s, const char *request, uint64_t timeout_ms, double values[8],
		size_t *ret_n, struct error *err);
/* Sends without waiting, and gets the answer later. */
int session_send(struct session *s, const char *request, struct error *err);
int session_answer(struct bench_context *c, struct session *s, uint64_t timeout_ms, double values[8], size_t *ret_n,
		struct error *err);
/*
 * By how much its clock runs faster than ours since it was opened, as a fraction, and how exactly that is known.
 * Returns 0 or as session_run().
 */
int session_drift(
	struct bench_context *c, struct session *s, double *ret_drift, double *ret_uncertain, struct error *err);
void session_close(struct session *s);

/* bench/environment.c: what the figures depend on. */
void environment_begin(struct bench_result *r);
void environment_end(struct bench_result *r); /* what changed: steal, load; notes where that matters */
/* /proc/meminfo's MemAvailable in bytes; 0: unknown. */
uint64_t environment_available(void);

/* The suites' files. */
int suite_startup(struct bench_context *c, const struct bench_suite *suite);
int suite_parallel(struct bench_context *c, const struct bench_suite *suite);
int suite_teardown(struct bench_context *c, const struct bench_suite *suite);
int suite_memory(struct bench_context *c, const struct bench_suite *suite);
int suite_density(struct bench_context *c, const struct bench_suite *suite);
int suite_workloads(struct bench_context *c, const struct bench_suite *suite);
int suite_tightness(struct bench_context *c, const struct bench_suite *suite);
int suite_net(struct bench_context *c, const struct bench_suite *suite);
int suite_noisy(struct bench_context *c, const struct bench_suite *suite);

#endif
