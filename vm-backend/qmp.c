/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor protocol, as far as saving and restoring need it: lines of JSON, answers in order, events in between.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/json.h"
#include "vm-backend/qmp.h"

enum { MAX_LINE = 64 * 1024 };

/* Reads more. -ETIMEDOUT, -EPIPE when QEMU is gone. */
static int fill(struct qmp *q, struct error *err)
{
	char buf[4096];
	uint64_t now = clock_now_ns();
	struct pollfd p = { q->fd, POLLIN, 0 };
	ssize_t n;

	if (q->in.len > MAX_LINE)
		return error_set(err, EPROTO, "qemu: an answer of more than %d bytes", MAX_LINE);
	if (now >= q->deadline_ns)
		return error_set(err, ETIMEDOUT, "qemu: no answer in time");
	if (poll(&p, 1, (int)((q->deadline_ns - now) / 1000000 + 1)) <= 0)
		return 0; /* EINTR, or the deadline: looked at again */
	n = recv(q->fd, buf, sizeof buf, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return error_set(err, EPIPE, "qemu: ended under a command");
	strbuf_add(&q->in, buf, (size_t)n);
	return 0;
}

/* The next line as JSON. */
static int next(struct qmp *q, struct json **ret, struct error *err)
{
	char *end;
	size_t len;
	int r;

	while (!(end = q->in.len ? memchr(q->in.text, '\n', q->in.len) : NULL)) {
		r = fill(q, err);
		if (r < 0)
			return r;
	}
	len = (size_t)(end - q->in.text);
	r = json_parse(q->in.text, len, "qemu's answer", ret, err);
	memmove(q->in.text, end + 1, q->in.len - len - 1);
	q->in.len -= len + 1;
	return r;
}

/* Under a number of its own: what is still to come of one that was given up has another. */
int qmp_send(struct qmp *q, const char *command, int fd, uint64_t *ret_id, struct error *err)
{
	uint64_t id = q->last_id ? q->last_id + 1 : clock_now_ns() & INT64_MAX;
	_cleanup_free_ char *line = xasprintf("{\"id\":%llu,%s\n", (unsigned long long)id, command + 1);
	int r = fd >= 0 ? fd_send(q->fd, line, strlen(line), &fd, 1) : fd_write_full(q->fd, line, strlen(line));

	*ret_id = q->last_id = id;
	return r < 0 ? error_set(err, -r, "qemu: takes no command: %s", strerror(-r)) : 0;
}

int qmp_answer(struct qmp *q, uint64_t id, struct json **ret, struct error *err)
{
	int r = 0;

	while (r == 0) {
		_cleanup_json_ struct json *answer = NULL;
		const struct json *error;
		const char *why;
		uint64_t of;

		r = next(q, &answer, err);
		if (r < 0 || !json_get(answer, "id") || !json_uint(json_get(answer, "id"), &of) || of != id)
			continue;
		error = json_get(answer, "error");
		why = json_string(error, "desc");
		if (error)
			return error_set(err, EIO, "qemu: %.200s", why ? why : "an error without a word");
		if (json_get(answer, "return")) {
			if (ret)
				*ret = steal_ptr(answer);
			return 0;
		}
	}
	return r;
}

int qmp_query(struct qmp *q, const char *command, int fd, struct json **ret, struct error *err)
{
	uint64_t id;
	int r = qmp_send(q, command, fd, &id, err);

	return r < 0 ? r : qmp_answer(q, id, ret, err);
}

int qmp_execute(struct qmp *q, const char *command, int fd, struct error *err)
{
	return qmp_query(q, command, fd, NULL, err);
}

void qmp_init(struct qmp *q, int fd, uint64_t timeout_ns)
{
	*q = (struct qmp){ .fd = fd, .deadline_ns = clock_now_ns() + timeout_ns };
}

int qmp_open(struct qmp *q, int fd, uint64_t timeout_ns, struct error *err)
{
	int r;

	qmp_init(q, fd, timeout_ns);
	r = qmp_execute(q, QMP_CAPABILITIES, -1, err); /* the greeting is no answer to it */
	return r == -EIO ? 0 : r; /* refused: a second time */
}

void qmp_close(struct qmp *q)
{
	strbuf_release(&q->in);
}

int qmp_await_migration(struct qmp *q, struct error *err)
{
	for (;;) {
		_cleanup_json_ struct json *event = NULL;
		const char *name, *status;
		int r = next(q, &event, err);

		if (r < 0)
			return r;
		name = json_string(event, "event");
		status = json_string(json_get(event, "data"), "status");
		if (!name || strcmp(name, "MIGRATION") || !status)
			continue;
		if (!strcmp(status, "completed"))
			return 0;
		if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
			return error_set(err, EIO, "qemu: moving the state has %s", status);
	}
}
