/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever bytes a guest writes to the agent channel, the host's end survives and stays within its limits; and so does
 * the guest's own end when it gets the same. The first
 * byte chooses how the stream is cut into reads, the second whether the rest is the stream itself or a recipe for
 * frames that are nearly right (few random streams would get past the first header).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/guest/guest_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Long streams in at most so many pieces: it is their cuts that differ, and each costs four system calls. */
enum { MAX_PIECES = 512 };

static void feed(struct agent_host *h, int guest, const uint8_t *data, size_t size, size_t piece)
{
	struct pollfd fds[AGENT_HOST_WATCHES];
	struct error err;
	uint8_t sink[4096];

	if (piece < size / MAX_PIECES)
		piece = size / MAX_PIECES;
	while (size && !h->workload.over && !h->lost) {
		size_t n = piece < size ? piece : size;

		if (fd_write_full(guest, data, n) < 0)
			return;
		data += n;
		size -= n;
		agent_host_watch(h, fds);
		if (poll(fds, AGENT_HOST_WATCHES, 0) < 0 || agent_host_step(h, fds, &err) < 0)
			return;
		if (agent_channel_pending(&h->channel) > (8u << 20) || h->workload.output.len > AGENT_WINDOW ||
				h->workload.errors.len > AGENT_WINDOW)
			abort();
		if (h->workload.isolated && !h->workload.running && agent_host_go(h, &err) < 0)
			return;
		while (recv(guest, sink, sizeof sink, MSG_DONTWAIT) > 0)
			;
	}
}

/* What a guest's PID 1 does with the frames of a session that runs. */
static void take(struct guest_session *s, struct agent_channel *c, const struct agent_frame *f)
{
	static int (*const handlers[AGENT_KIND_COUNT])(struct guest_session *, const struct agent_frame *,
			struct error *) = {
		[AGENT_PLAN] = guest_session_text,
		[AGENT_CREDIT] = guest_session_credit,
		[AGENT_CLOSED] = guest_session_closed,
		[AGENT_RESIZE] = guest_session_resize,
		[AGENT_SIGNAL] = guest_session_signal,
	};
	struct error err;

	if (handlers[f->kind])
		(void)handlers[f->kind](s, f, &err); /* refused or taken: it has to survive both */
	else if (f->kind == AGENT_DATA || f->kind == AGENT_EOF)
		(void)guest_session_data(s, c, f, &err); /* likewise */
}

/* The same bytes as a host that was taken over would send them. */
static void feed_guest(const uint8_t *data, size_t size)
{
	struct spawn_result none = { .pidfd = -1, .console_fd = -1, .scratch_fd = -1 };
	struct pollfd fds[GUEST_SESSION_WATCHES];
	struct guest_session *s = guest_session_new(0);
	int sockets[2], theirs[3] = { -1, -1, -1 };
	struct agent_channel c;
	struct agent_frame f;
	struct error err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0 ||
			guest_session_open(s, false, theirs, &err) < 0)
		abort();
	guest_session_begin(s, &none, -1);
	agent_channel_init(&c, sockets[0]);
	while (size) {
		ssize_t n = write(sockets[1], data, size < 30000 ? size : 30000);

		if (n <= 0 || agent_channel_fill(&c, &err) < 0)
			break;
		data += n;
		size -= (size_t)n;
		while (agent_channel_next(&c, &f, &err) > 0)
			take(s, &c, &f);
		guest_session_watch(s, &c, fds);
		if (poll(fds, GUEST_SESSION_WATCHES, 0) >= 0 && guest_session_step(s, &c, fds, &err) < 0)
			break;
		if (s->input.len > AGENT_WINDOW || agent_channel_pending(&c) > (8u << 20))
			abort();
	}
	for (int i = 0; i < 3; i++)
		close_cleanup(&theirs[i]);
	guest_session_free(s);
	agent_channel_release(&c);
	(void)close(sockets[0]); /* sockets */
	(void)close(sockets[1]);
}

/* The recipe over again: doubled, for byte by byte would be most of the time. */
static void fill(uint8_t *to, size_t len, const uint8_t *from, size_t size)
{
	size_t done = len < size ? len : size;

	memcpy(to, from, done);
	while (done < len) {
		size_t n = done < len - done ? done : len - done;

		memcpy(to + done, to, n);
		done += n;
	}
}

/* Four bytes of recipe give one frame: its kind, its stream and its length; the payload is the recipe over again. */
static const uint8_t *cook(const uint8_t *recipe, size_t size, size_t *ret_len)
{
	enum { MAX_STREAM = AGENT_WINDOW + (256 << 10) }; /* a window can overflow */
	static uint8_t stream[MAX_STREAM]; /* one of its own for each input would be most of the time */
	size_t len = 0;

	for (size_t at = 0; at + 4 <= size; at += 4) {
		static const uint32_t exact[] = { 0, 4, 8, 16, 48 };
		const uint8_t *r = recipe + at;
		uint32_t n = r[2] < 128 ? exact[r[2] % 5] : (uint32_t)(r[2] - 128) * 520 + r[3];
		struct agent_header h = { n, (uint8_t)(r[0] % (AGENT_KIND_COUNT + 1)), r[1] & 3,
			(uint16_t)(r[1] >= 0xfe ? AGENT_SESSIONS : r[1] >> 2 & 1) };

		if (len + sizeof h + n > MAX_STREAM)
			break;
		memcpy(stream + len, &h, sizeof h);
		fill(stream + len + sizeof h, n, recipe, size);
		if (h.kind == AGENT_REPLY && n >= 4)
			memcpy(stream + len + sizeof h, &(uint32_t){ 1 }, 4); /* the question's id */
		len += sizeof h + n;
	}
	*ret_len = len;
	return stream;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *argv[] = { (char *)(uintptr_t)"true", NULL };
	static const struct plan plan = { .process.argv = argv };
	int sockets[2], out[2], stdio[3];
	struct agent_host h;
	struct error err;
	size_t len;

	if (size < 3)
		return 0;
	(void)signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0 || pipe2(out, O_CLOEXEC) < 0)
		abort();
	stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	stdio[1] = out[1]; /* nobody reads it: it fills */
	stdio[2] = fcntl(stdio[0], F_DUPFD_CLOEXEC, 3);
	if (agent_host_init(&h, sockets[0], stdio, false, -1, &err) < 0 || agent_host_start(&h, &plan, false, &err) < 0)
		abort();
	/* A process beside the workload and a question are there to be answered. */
	if (agent_host_exec(&h, "{}", 2, (int[3]){ -1, -1, -1 }, false, &err) != 1 ||
			agent_host_ask(&h, AGENT_STATS, NULL, 0, &err) != 1)
		abort();
	if (data[1] & 1) {
		feed(&h, sockets[1], data + 2, size - 2, (size_t)data[0] * 64 + 1);
	} else {
		const uint8_t *cooked = cook(data + 2, size - 2, &len);

		feed(&h, sockets[1], cooked, len, (size_t)data[0] * 256 + 1);
		feed_guest(cooked, len);
	}
	agent_host_release(&h);
	(void)close(sockets[0]); /* sockets and a pipe */
	(void)close(sockets[1]);
	(void)close(out[0]);
	return 0;
}
