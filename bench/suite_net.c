/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: each column's own loopback, and the way in from the host by a published port. Both ends are the helper:
 * a server in the column, a client beside it or on the host. Nothing leaves the machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

enum { GUEST_PORT = 7000, GRACE_MS = 60000 };

static const struct row {
	const char *request, *name, *unit;
	bool higher, from_host;
} rows[] = {
	{ "net-latency", "round trip, own loopback", "us", false, false },
	{ "net-download", "stream, own loopback", "MiB/s", true, false },
	{ "net-latency", "round trip, from the host", "us", false, true },
	{ "net-upload", "stream, host to instance", "MiB/s", true, true },
	{ "net-download", "stream, instance to host", "MiB/s", true, true },
};

struct net {
	struct session *host;                         /* the client of all columns */
	struct session *inside[BENCH_MAX_COLUMNS];
	char *inside_at[BENCH_MAX_COLUMNS], *host_at[BENCH_MAX_COLUMNS]; /* the server, seen from both */
};

static struct bench_cell *cell_of(struct bench_context *c, size_t row, size_t column)
{
	return bench_cell(c, "net", rows[row].name, rows[row].unit, rows[row].higher, column);
}

/* A port of the host that was free a moment ago. */
static int free_port(struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof at;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
			getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return error_sys(err, "no free port of the loopback address");
	return ntohs(at.sin_port);
}

static int run_one(struct bench_context *c, struct session *s, const char *request, uint64_t ms, const char *at,
		double *ret, struct error *err)
{
	_cleanup_free_ char *line = xasprintf("run %s %ju %s", request, (uintmax_t)ms, at);
	double values[8];
	size_t n = 0;
	int r = session_run(c, s, line, ms + GRACE_MS, values, &n, err);

	if (r == 0 && n == 0)
		return error_set(err, EIO, "the workload gave no value");
	*ret = r == 0 ? values[0] : 0;
	return r;
}

static int open_column(struct bench_context *c, struct net *net, size_t column, struct error *err)
{
	const struct bench_column *k = &c->columns[column];
	bool native = k->kind == BENCH_NATIVE;
	int port = free_port(err), r;
	_cleanup_free_ char *publish = xasprintf("127.0.0.1:%d:%d", port, GUEST_PORT), *listen_at = NULL;
	char *options[] = { (char *)"-i", (char *)"--net", (char *)"user", (char *)"-p", publish, NULL };
	double one;

	if (port < 0)
		return port;
	net->host_at[column] = xasprintf("127.0.0.1:%d", port);
	net->inside_at[column] = xasprintf("127.0.0.1:%d", native ? port : GUEST_PORT);
	listen_at = native ? xstrdup(net->host_at[column]) : xasprintf("0.0.0.0:%d", GUEST_PORT);
	r = session_open(c, k, options, &net->inside[column], err);
	return r < 0 ? r : run_one(c, net->inside[column], "net-serve", 0, listen_at, &one, err);
}

static int open_all(struct bench_context *c, struct net *net, struct error *err)
{
	struct bench_column host = { .name = (char *)"the host", .helper = c->helper };
	int r = session_open(c, &host, NULL, &net->host, err);

	for (size_t row = 0; row < ARRAY_LEN(rows); row++)
		(void)cell_of(c, row, 0); /* in this order they are shown */
	for (size_t k = 0; r == 0 && k < c->n_columns; k++) {
		struct error why = { 0 };

		for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
			if (c->columns[k].kind == BENCH_VM_WARM)
				bench_cell_absent(cell_of(c, row, k), "a VM with a network card starts cold");
			else if (c->columns[k].error)
				bench_cell_fail(cell_of(c, row, k), "%s", c->columns[k].error);
		}
		if (c->columns[k].kind == BENCH_VM_WARM || c->columns[k].error)
			continue;
		r = open_column(c, net, k, &why);
		for (size_t row = 0; r < 0 && r != -EINTR && row < ARRAY_LEN(rows); row++)
			bench_cell_fail(cell_of(c, row, k), "%s", why.message);
		r = r == -EINTR ? r : 0;
	}
	return r;
}

static void close_all(struct bench_context *c, struct net *net)
{
	for (size_t k = 0; k < c->n_columns; k++) {
		session_close(net->inside[k]);
		free(net->inside_at[k]);
		free(net->host_at[k]);
	}
	session_close(net->host);
}

/* One sample; a session that died is an error in all that would follow. -EINTR: stopped. */
static int sample(struct bench_context *c, struct net *net, size_t row, size_t column, bool keep)
{
	struct bench_cell *cell = cell_of(c, row, column);
	struct session *s = rows[row].from_host ? net->host : net->inside[column];
	const char *at = rows[row].from_host ? net->host_at[column] : net->inside_at[column];
	struct error err = { 0 };
	double value = 0;
	int r;

	if (cell->error || !net->inside[column])
		return 0;
	r = run_one(c, s, rows[row].request, c->quick ? 60 : 200, at, &value, &err);
	return bench_cell_take(cell, r, keep, value, &err);
}

static int net_round(struct bench_context *c, const struct bench_round *round, void *state)
{
	size_t order[ARRAY_LEN(rows)];
	int r = 0;

	bench_order(c, 0, order, ARRAY_LEN(rows));
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows) * c->n_columns; i++) {
		r = sample(c, state, order[i / c->n_columns], round->columns[i % c->n_columns], round->keep);
		if (r == 0 && bench_stopped(&c->stop))
			r = -EINTR;
	}
	return r;
}

int suite_net(struct bench_context *c, const struct bench_suite *suite)
{
	struct net net = { 0 };
	struct error err = { 0 };
	int r = open_all(c, &net, &err);

	for (size_t i = 0; r < 0 && r != -EINTR && i < ARRAY_LEN(rows) * c->n_columns; i++)
		bench_cell_fail(cell_of(c, i % ARRAY_LEN(rows), i / ARRAY_LEN(rows)), "%s", err.message);
	if (r == 0)
		r = bench_rounds(c, suite->name, bench_warmup(c), bench_runs(c, 10, 20), net_round, &net);
	close_all(c, &net);
	return r == -EINTR ? r : 0;
}
