/* SPDX-License-Identifier: Apache-2.0 */
/* The agent channel: frames in pieces, hostile frames, windows that hold, streams that arrive whole. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "tests/unit/tap.h"
#include "vm-backend/agent_stream.h"

struct pair {
	struct agent_channel a, b;
};

static void pair_open(struct pair *p)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		exit(99);
	agent_channel_init(&p->a, fds[0]);
	agent_channel_init(&p->b, fds[1]);
}

static void pair_close(struct pair *p)
{
	(void)close(p->a.fd); /* a socket */
	(void)close(p->b.fd);
	agent_channel_release(&p->a);
	agent_channel_release(&p->b);
}

static void open_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		exit(99);
}

static void test_frames(void)
{
	struct error err = { 0 };
	struct agent_frame f;
	struct pair p;
	uint8_t raw[20] = { 4, 0, 0, 0, AGENT_SIGNAL, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, AGENT_EOF, 1, 0, 0 };

	pair_open(&p);
	ok(agent_channel_fill(&p.b, &err) == 0 && agent_channel_next(&p.b, &f, &err) == 0,
			"an idle channel has no frame");
	ok(fd_write_full(p.a.fd, raw, 9) == 0 && agent_channel_fill(&p.b, &err) == 1 &&
			agent_channel_next(&p.b, &f, &err) == 0, "nor has one with a piece of a frame");
	ok(fd_write_full(p.a.fd, raw + 9, 11) == 0 && agent_channel_fill(&p.b, &err) == 1, "the rest comes");
	ok(agent_channel_next(&p.b, &f, &err) == 1 && f.kind == AGENT_SIGNAL && f.length == 4 && f.payload[0] == 15,
			"the frame is whole");
	ok(agent_channel_next(&p.b, &f, &err) == 1 && f.kind == AGENT_EOF && f.stream == 1 && f.length == 0,
			"and so is the next");
	ok(agent_channel_next(&p.b, &f, &err) == 0, "then there is none");
	(void)shutdown(p.a.fd, SHUT_RDWR);
	ok(agent_channel_fill(&p.b, &err) == -ECONNRESET, "the end is told: %s", err.message);
	pair_close(&p);
}

static void test_hostile_frames(void)
{
	static const struct {
		const char *what;
		struct agent_header h;
	} bad[] = {
		{ "a frame too long", { AGENT_MAX_PAYLOAD + 1, AGENT_DATA, 0, 0 } },
		{ "a frame of 4 GiB", { UINT32_MAX, AGENT_DATA, 0, 0 } },
		{ "kind 0", { 0, 0, 0, 0 } },
		{ "an unknown kind", { 0, AGENT_KIND_COUNT, 0, 0 } },
		{ "an unknown stream", { 0, AGENT_DATA, AGENT_STREAM_COUNT, 0 } },
		{ "an unknown session", { 0, AGENT_DATA, 0, AGENT_SESSIONS } },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = { 0 };
		struct agent_frame f;
		struct pair p;

		pair_open(&p);
		(void)fd_write_full(p.a.fd, &bad[i].h, sizeof bad[i].h); /* else the next fails */
		ok(agent_channel_fill(&p.b, &err) == 1 && agent_channel_next(&p.b, &f, &err) == -EPROTO, "%s: %s",
				bad[i].what, err.message);
		pair_close(&p);
	}
}

/* Moves all that can be moved from one channel to the other's sink and source. Returns a handler's error. */
static int deliver(struct agent_channel *to, struct agent_sink *sink, struct agent_source *source, struct error *err)
{
	struct agent_frame f;
	int r;

	while ((r = agent_channel_fill(to, err)) > 0)
		while ((r = agent_channel_next(to, &f, err)) > 0) {
			if (f.kind == AGENT_CREDIT)
				r = agent_source_credit(source, &f, err);
			else if (f.kind == AGENT_CLOSED)
				source->fd = -1;
			else
				r = agent_sink_receive(sink, to, &f, err);
			if (r < 0)
				return r;
		}
	return r;
}

/* Eight windows through source, channel and sink, with a slow reader: every byte arrives, in order, within limits. */
static void test_stream(void)
{
	enum { TOTAL = 8 * AGENT_WINDOW };
	struct error err = { 0 };
	struct agent_source source;
	struct agent_sink sink;
	struct pair p;
	int from[2], to[2], r = 0;
	size_t put = 0, got = 0;
	bool same = true, bounded = true;
	uint8_t buf[5000];

	pair_open(&p);
	open_pipe(from);
	open_pipe(to);
	agent_source_init(&source, 0, AGENT_STDIN, from[0]);
	agent_sink_init(&sink, 0, AGENT_STDIN, to[1]);
	for (unsigned round = 0; r == 0 && got < TOTAL && round < 100000; round++) {
		ssize_t n;

		for (size_t i = 0; i < sizeof buf; i++)
			buf[i] = (uint8_t)((put + i) * 7 / 3);
		n = put < TOTAL ? write(from[1], buf, TOTAL - put < sizeof buf ? TOTAL - put : sizeof buf) : 0;
		put += n > 0 ? (size_t)n : 0;
		if (put == TOTAL && from[1] >= 0) {
			(void)close(from[1]); /* the source sees the end */
			from[1] = -1;
		}
		if (agent_source_ready(&source, &p.a))
			(void)agent_source_pump(&source, &p.a); /* what it did is seen below */
		r = agent_channel_flush(&p.a, &err);
		r = r ? r : deliver(&p.b, &sink, &source, &err);
		r = r ? r : agent_sink_flush(&sink, &p.b, &err);
		r = r ? r : agent_channel_flush(&p.b, &err);
		r = r ? r : deliver(&p.a, &sink, &source, &err);
		bounded &= sink.len <= AGENT_WINDOW && source.credit <= AGENT_WINDOW;
		n = round % 3 ? 0 : read(to[0], buf, sizeof buf);
		for (ssize_t i = 0; i < n; i++)
			same &= buf[i] == (uint8_t)((got + (size_t)i) * 7 / 3);
		got += n > 0 ? (size_t)n : 0;
	}
	ok(r == 0, "a stream runs without error (%s)", err.message);
	ok(got == TOTAL && same, "%zu of %d bytes arrive as they were sent", got, TOTAL);
	ok(sink.ended && bounded, "the end is told, and no limit was passed");
	(void)close(from[0]);
	(void)close(to[0]);
	(void)close(to[1]);
	agent_sink_release(&sink);
	pair_close(&p);
}

static void test_windows(void)
{
	static uint8_t data[AGENT_MAX_PAYLOAD];
	struct agent_frame frame = { AGENT_DATA, AGENT_STDOUT, 0, sizeof data, data };
	struct agent_frame end = { AGENT_EOF, AGENT_STDOUT, 0, 0, data };
	uint32_t one = 1, all = AGENT_WINDOW;
	struct agent_frame credit = { AGENT_CREDIT, AGENT_STDOUT, 0, sizeof one, (const uint8_t *)&one };
	struct agent_source source;
	struct agent_sink sink;
	struct error err = { 0 };
	struct pair p;
	int full[2], r = 0;
	unsigned taken = 0;

	pair_open(&p);
	open_pipe(full);
	agent_sink_init(&sink, 0, AGENT_STDOUT, full[1]);
	(void)fcntl(full[1], F_SETPIPE_SZ, 65536); /* it is so by default */
	while (taken < 100 && (r = agent_sink_receive(&sink, &p.a, &frame, &err)) == 0)
		taken++;
	ok(r == -EPROTO && taken == AGENT_WINDOW / AGENT_MAX_PAYLOAD, "a window is the most that a sink takes: %s",
			err.message);
	ok(agent_sink_receive(&sink, &p.a, &end, &err) == 0 && agent_sink_receive(&sink, &p.a, &frame, &err) == -EPROTO,
			"nothing after the end: %s", err.message);
	agent_sink_release(&sink);

	agent_source_init(&source, 0, AGENT_STDOUT, -1);
	ok(agent_source_credit(&source, &credit, &err) == -EPROTO, "no credit for what was not sent: %s", err.message);
	source.credit = 0;
	credit.payload = (const uint8_t *)&all;
	ok(agent_source_credit(&source, &credit, &err) == 0 && source.credit == AGENT_WINDOW,
			"all of it at once is right");
	credit.length = 3;
	ok(agent_source_credit(&source, &credit, &err) == -EPROTO, "credit has a size: %s", err.message);
	(void)close(full[0]);
	(void)close(full[1]);
	pair_close(&p);
}

static void test_closed(void)
{
	static uint8_t data[AGENT_MAX_PAYLOAD];
	struct agent_frame frame = { AGENT_DATA, AGENT_STDOUT, 0, sizeof data, data }, got;
	struct agent_sink sink;
	struct error err = { 0 };
	struct pair p;
	int pipe_fds[2], r = 0, closed = 0;
	uint32_t given = 0;

	pair_open(&p);
	open_pipe(pipe_fds);
	agent_sink_init(&sink, 0, AGENT_STDOUT, pipe_fds[1]);
	(void)close(pipe_fds[0]); /* nobody reads */
	for (int i = 0; i < 64 && r == 0; i++) {
		r = agent_sink_receive(&sink, &p.a, &frame, &err);
		(void)agent_channel_flush(&p.a, &err); /* what arrives is seen below */
		while (agent_channel_fill(&p.b, &err) > 0)
			while (agent_channel_next(&p.b, &got, &err) > 0) {
				given += got.kind == AGENT_CREDIT ? AGENT_WINDOW / 4 : 0;
				closed += got.kind == AGENT_CLOSED && got.stream == AGENT_STDOUT;
			}
	}
	ok(r == 0 && sink.fd == -1, "data for a reader that left is taken");
	ok(closed == 1, "CLOSED is said once");
	ok(given == 64u * AGENT_MAX_PAYLOAD, "and credit given back for all of it");
	(void)close(pipe_fds[1]);
	agent_sink_release(&sink);
	pair_close(&p);
}

static void test_stuck(void)
{
	static uint8_t data[AGENT_MAX_PAYLOAD];
	struct error err = { 0 };
	struct pair p;
	int r = 0;

	pair_open(&p);
	for (int i = 0; i < 1000 && r == 0; i++) {
		r = agent_channel_send(&p.a, AGENT_DATA, 0, 0, data, sizeof data, &err);
		if (r == 0)
			r = agent_channel_flush(&p.a, &err);
	}
	ok(r == -ENOBUFS, "a peer that reads nothing is given up in the end: %s", err.message);
	pair_close(&p);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	test_frames();
	test_hostile_frames();
	test_stream();
	test_windows();
	test_closed();
	test_stuck();
	return tap_done();
}
