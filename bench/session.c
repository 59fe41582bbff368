/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper that serves: started once in a column, asked many times. An emulated machine takes seconds to boot, so a
 * boot for each sample would leave time for none. What it answers comes from inside the column and is read with care.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"

enum { READY_MS = 180000, CLOCK_MS = 30000, CLOCK_TRIES = 7, CLOSE_GRACE_MS = 5000 };

static int ask_clock(struct bench_context *c, struct session *s, uint64_t *ret_host, uint64_t *ret_guest,
		uint64_t *ret_uncertain, struct error *err);

static int dead(int r, struct error *err)
{
	return error_set(err, -r, "%s", r == -EINTR ? "interrupted" : r == -ETIMEDOUT ? "no answer in time"
			: "the program with the workloads ended");
}

int session_open(struct bench_context *c, const struct bench_column *column, char *const *options, struct session **ret,
		struct error *err)
{
	char *command[] = { column->helper, (char *)"serve", NULL };
	const struct child_options o = { .pipes = CHILD_IN | CHILD_OUT, .root = column->root };
	_cleanup_strv_ char **argv = bench_column_argv(column, options, command);
	struct session *s = xcalloc(1, sizeof *s);
	_cleanup_free_ char *line = NULL;
	int r = child_start(argv, &o, &s->child, err);

	if (r < 0) {
		free(s);
		return r;
	}
	r = child_line(&s->child, &c->stop, READY_MS, &s->more, &line);
	if (r == 0 && strcmp(line, "ready"))
		r = -EPROTO;
	r = r < 0 ? dead(r, err) : ask_clock(c, s, &s->host_ns, &s->guest_ns, &s->uncertain_ns, err);
	if (r < 0) {
		session_close(s);
		return error_prefix(err, "%s", column->name);
	}
	*ret = s;
	return 0;
}

int session_send(struct session *s, const char *request, struct error *err)
{
	_cleanup_free_ char *line = xasprintf("%s\n", request);
	int r = fd_write_full(s->child.in, line, strlen(line));

	return r < 0 ? dead(-EPIPE, err) : 0;
}

/* "ok BEGIN END VALUE…" or "err TEXT". */
static int parse_answer(const char *line, uint64_t *ret_times, double values[8], size_t *ret_n, struct error *err)
{
	const char *at = line + 2;
	char *end;

	if (!strncmp(line, "err ", 4))
		return error_set(err, EIO, "%.200s", line + 4);
	if (strncmp(line, "ok ", 3))
		return error_set(err, EPROTO, "an answer that is none");
	for (int i = 0; i < 2; i++, at = end) {
		ret_times[i] = strtoull(at, &end, 10);
		if (end == at)
			return error_set(err, EPROTO, "an answer without times");
	}
	for (*ret_n = 0; *ret_n < 8; (*ret_n)++, at = end) {
		values[*ret_n] = strtod(at, &end);
		if (end == at)
			break;
	}
	return 0;
}

static int answer(struct bench_context *c, struct session *s, uint64_t timeout_ms, uint64_t times[2], double values[8],
		size_t *ret_n, struct error *err)
{
	_cleanup_free_ char *line = NULL;
	int r = child_line(&s->child, &c->stop, timeout_ms, &s->more, &line);

	return r < 0 ? dead(r, err) : parse_answer(line, times, values, ret_n, err);
}

int session_answer(struct bench_context *c, struct session *s, uint64_t timeout_ms, double values[8], size_t *ret_n,
		struct error *err)
{
	uint64_t times[2];

	return answer(c, s, timeout_ms, times, values, ret_n, err);
}

int session_run(struct bench_context *c, struct session *s, const char *request, uint64_t timeout_ms, double values[8],
		size_t *ret_n, struct error *err)
{
	int r = session_send(s, request, err);

	return r < 0 ? r : session_answer(c, s, timeout_ms, values, ret_n, err);
}

/*
 * The quickest of some questions: its answer was given between sending and hearing, in the middle if nothing else is
 * known.
 */
static int ask_clock(struct bench_context *c, struct session *s, uint64_t *ret_host, uint64_t *ret_guest,
		uint64_t *ret_uncertain, struct error *err)
{
	*ret_uncertain = UINT64_MAX;
	for (int i = 0; i < CLOCK_TRIES; i++) {
		uint64_t begin = clock_now_ns(), took, times[2];
		double values[8];
		size_t n;
		int r = session_send(s, "clock", err);

		if (r == 0)
			r = answer(c, s, CLOCK_MS, times, values, &n, err);
		if (r < 0)
			return r;
		took = clock_now_ns() - begin;
		if (took / 2 >= *ret_uncertain)
			continue;
		*ret_uncertain = took / 2;
		*ret_host = begin + took / 2;
		*ret_guest = times[0];
	}
	return 0;
}

int session_drift(
	struct bench_context *c, struct session *s, double *ret_drift, double *ret_uncertain, struct error *err)
{
	uint64_t host, guest, uncertain;
	int r = ask_clock(c, s, &host, &guest, &uncertain, err);

	if (r < 0)
		return r;
	*ret_drift = (double)(int64_t)(guest - s->guest_ns) / (double)(host - s->host_ns) - 1;
	*ret_uncertain = (double)(uncertain + s->uncertain_ns) / (double)(host - s->host_ns);
	return 0;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	child_end(&s->child, CLOSE_GRACE_MS);
	strbuf_release(&s->more);
	free(s);
}
