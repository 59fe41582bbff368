/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the price buys: the containment probes of the source tree (tests/containment), under the policies that they
 * have a record for. A count, not a timing: once is enough, and no verdict is given on one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"

enum { PROBES_MS = 900000 };

static const struct score {
	const char *key, *name;
	bool higher;
} scores[] = {
	{ "blocked", "probes blocked", true },
	{ "allowed", "allowed, inside alone", false },
	{ "host", "reached the host", false },
	{ "not-run", "not run", false },
};

static struct bench_cell *cell_of(struct bench_context *c, const char *policy, size_t score, size_t column)
{
	char name[80];

	(void)snprintf(name, sizeof name, "%s: %s", policy, scores[score].name);
	return bench_cell(c, "tightness", name, "probes", scores[score].higher, column);
}

/* Runs the probes and parses what they say. */
static int run_probes(
	struct bench_context *c, const char *shell, const char *policy, struct json **ret, struct error *err)
{
	char *argv[] = { (char *)(uintptr_t)c->probes, (char *)"tightness", (char *)"--shell", (char *)(uintptr_t)shell,
		(char *)"--policy", (char *)(uintptr_t)policy, NULL };
	const struct child_options o = { .pipes = CHILD_OUT };
	struct child child = { .pidfd = -1, .in = -1, .out = -1 };
	_cleanup_strbuf_ struct strbuf out = { 0 };
	uint64_t end;
	int status = 0, r;

	if (access(c->probes, X_OK) < 0)
		return error_sys(err, "%s: the probes are in the source tree", c->probes);
	r = child_start(argv, &o, &child, err);
	if (r == 0) {
		r = child_wait(&child, &c->stop, PROBES_MS, &out, &status, &end);
		if (r < 0 && r != -EINTR)
			(void)error_set(err, -r, "the probes did not end");
		else if (r == 0 && status)
			r = error_set(err, EIO, "the probes ended with %s %d",
				WIFEXITED(status) ? "exit status" : "signal",
				WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	}
	child_end(&child, 0);
	return r < 0 ? r : json_parse(out.text ? out.text : "", out.len, "probes", ret, err);
}

static int score_column(struct bench_context *c, size_t column, const char *policy)
{
	const char *shell = c->columns[column].kind == BENCH_CONTAINER ? "container" : "vm";
	_cleanup_json_ struct json *j = NULL;
	const struct json *found = NULL;
	struct error err = { 0 };
	int r;

	if (c->columns[column].error)
		r = error_set(&err, EIO, "%s", c->columns[column].error);
	else
		r = run_probes(c, shell, policy, &j, &err);
	if (r == -EINTR)
		return r;
	found = r == 0 ? json_get(json_get(j, shell), policy) : NULL;
	for (size_t i = 0; i < ARRAY_LEN(scores); i++) {
		const struct json *count = found ? json_get(found, scores[i].key) : NULL;
		uint64_t number;

		if (r < 0)
			bench_cell_fail(cell_of(c, policy, i, column), "%s", err.message);
		else if (!count || !json_uint(count, &number))
			bench_cell_fail(cell_of(c, policy, i, column), "the probes gave no such count");
		else
			bench_cell_add(cell_of(c, policy, i, column), (double)number);
	}
	return 0;
}

int suite_tightness(struct bench_context *c, const struct bench_suite *suite)
{
	static const char *const policies[] = { "strict", "default" };
	int r = 0;

	for (size_t p = 0; p < ARRAY_LEN(policies); p++)
		for (size_t k = 0; r == 0 && k < c->n_columns; k++) {
			bench_progress(c, suite->name, p * c->n_columns + k, ARRAY_LEN(policies) * c->n_columns);
			if (c->columns[k].kind == BENCH_CONTAINER || c->columns[k].kind == BENCH_VM)
				r = score_column(c, k, policies[p]);
			if (r == 0 && bench_stopped(&c->stop))
				r = -EINTR;
		}
	return r;
}
