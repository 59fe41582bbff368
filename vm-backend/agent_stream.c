/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames, sources and sinks of the agent channel.
 *
 * Theory of operation. A channel has one buffer each way. The incoming one holds at least one whole frame, so that a
 * frame is handled in place, without a copy. A source reads from its fd straight into the outgoing one. A sink writes
 * a frame's bytes straight to its fd and keeps only what the fd did not take, in a ring of one window.
 *
 * Limits. Incoming: IN_BYTES. A sink: one window, since the sender has no more credit; more is a breach. Outgoing:
 * sources stop at OUT_HIGH; other frames are small and few, and beyond OUT_MAX the other end counts as stuck.
 *
 * Progress. Credit is returned when a quarter of the window has been consumed. A sender without credit has a whole
 * window out, so at least that quarter comes back as soon as the receiver's fd takes data: the two cannot wait for
 * each other.
 *
 * Not defended against: a peer that reads nothing at all. Its stream stands still, as a full pipe does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "vm-backend/agent_stream.h"

enum {
	FRAME_MAX = sizeof(struct agent_header) + AGENT_MAX_PAYLOAD,
	IN_BYTES = 4 * FRAME_MAX,
	OUT_HIGH = 2 * FRAME_MAX,
	OUT_MAX = 4 * 1024 * 1024,
	RETURN_AT = AGENT_WINDOW / 4,
};

void agent_channel_init(struct agent_channel *c, int fd)
{
	*c = (struct agent_channel){ .fd = fd, .in = xcalloc(1, IN_BYTES) };
}

void agent_channel_release(struct agent_channel *c)
{
	free(c->in);
	free(c->out);
	*c = (struct agent_channel){ .fd = -1 };
}

int agent_channel_fill(struct agent_channel *c, struct error *err)
{
	ssize_t n;

	if (c->in_start == c->in_end) {
		c->in_start = c->in_end = 0;
	} else if (IN_BYTES - c->in_start < FRAME_MAX) {
		memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
		c->in_end -= c->in_start;
		c->in_start = 0;
	}
	if (c->in_end == IN_BYTES)
		return 0;
	do
		n = read(c->fd, c->in + c->in_end, IN_BYTES - c->in_end);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return error_sys(err, "agent channel");
	if (n == 0)
		return error_set(err, ECONNRESET, "agent channel: the other end is gone");
	c->in_end += (size_t)n;
	return 1;
}

int agent_channel_next(struct agent_channel *c, struct agent_frame *ret, struct error *err)
{
	struct agent_header h;

	if (c->in_end - c->in_start < sizeof h)
		return 0;
	memcpy(&h, c->in + c->in_start, sizeof h);
	if (h.length > AGENT_MAX_PAYLOAD || h.kind == 0 || h.kind >= AGENT_KIND_COUNT ||
			h.stream >= AGENT_STREAM_COUNT || h.session >= AGENT_SESSIONS)
		return error_set(err, EPROTO, "agent channel: bad frame: kind %u, stream %u, session %u, %u bytes",
				h.kind, h.stream, h.session, h.length);
	if (c->in_end - c->in_start < sizeof h + h.length)
		return 0;
	*ret = (struct agent_frame){ h.kind, h.stream, h.session, h.length, c->in + c->in_start + sizeof h };
	c->in_start += sizeof h + h.length;
	return 1;
}

/* Room for one frame of at most len bytes behind what is queued; NULL beyond the limit. */
static uint8_t *reserve(struct agent_channel *c, size_t len)
{
	size_t pending = agent_channel_pending(c), need = pending + sizeof(struct agent_header) + len;

	if (need > OUT_MAX)
		return NULL;
	if (c->out_start && c->out_start + need > c->out_size) {
		memmove(c->out, c->out + c->out_start, pending);
		c->out_start = 0;
		c->out_end = pending;
	}
	if (need > c->out_size) {
		c->out_size = need < 2 * OUT_HIGH ? 2 * OUT_HIGH : OUT_MAX;
		c->out = xreallocarray(c->out, c->out_size, 1);
	}
	return c->out + c->out_end;
}

static void commit(struct agent_channel *c, enum agent_kind kind, uint16_t session, uint8_t stream, size_t len)
{
	struct agent_header h = { .length = (uint32_t)len, .kind = (uint8_t)kind, .stream = stream,
		.session = session };

	memcpy(c->out + c->out_end, &h, sizeof h);
	c->out_end += sizeof h + len;
}

bool agent_channel_has_room(const struct agent_channel *c, size_t len)
{
	return len <= OUT_MAX / 2 && agent_channel_pending(c) <= OUT_MAX / 2 - len;
}

int agent_channel_send(struct agent_channel *c, enum agent_kind kind, uint16_t session, uint8_t stream,
		const void *payload, size_t len, struct error *err)
{
	uint8_t *room = reserve(c, len);

	if (!room)
		return error_set(err, ENOBUFS, "agent channel: the other end takes nothing any more");
	if (len)
		memcpy(room + sizeof(struct agent_header), payload, len);
	commit(c, kind, session, stream, len);
	return 0;
}

int agent_channel_send2(struct agent_channel *c, enum agent_kind kind, uint16_t session, const void *head,
		size_t head_len, const void *text, size_t len, struct error *err)
{
	uint8_t *room = head_len + len > AGENT_MAX_PAYLOAD ? NULL : reserve(c, head_len + len);

	if (!room)
		return error_set(err, ENOBUFS, "agent channel: the other end takes nothing any more");
	memcpy(room + sizeof(struct agent_header), head, head_len);
	if (len)
		memcpy(room + sizeof(struct agent_header) + head_len, text, len);
	commit(c, kind, session, 0, head_len + len);
	return 0;
}

int agent_channel_send_start(struct agent_channel *c, uint16_t session, unsigned flags, const char *text,
		size_t len, struct error *err)
{
	struct agent_start start = { .wall_ns = clock_wall_ns(), .plan_bytes = (uint32_t)len, .flags = flags };
	int r;

	if (len == 0 || len > AGENT_MAX_PLAN)
		return error_set(err, E2BIG, "agent channel: a plan of %zu bytes; at most %d", len, AGENT_MAX_PLAN);
	r = agent_channel_send(c, AGENT_START, session, 0, &start, sizeof start, err);
	for (size_t at = 0; at < len && r == 0; at += AGENT_MAX_PAYLOAD)
		r = agent_channel_send(c, AGENT_PLAN, session, 0, text + at,
				len - at < AGENT_MAX_PAYLOAD ? len - at : AGENT_MAX_PAYLOAD, err);
	return r;
}

int agent_channel_flush(struct agent_channel *c, struct error *err)
{
	while (c->out_start < c->out_end && !c->held) {
		ssize_t n = write(c->fd, c->out + c->out_start, c->out_end - c->out_start);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || (n < 0 && errno == EAGAIN))
			return 0;
		if (n < 0)
			return error_sys(err, "agent channel");
		c->out_start += (size_t)n;
	}
	c->out_start = c->out_end = 0;
	return 0;
}

int agent_frame_get(const struct agent_frame *frame, void *ret, size_t size, struct error *err)
{
	if (frame->length != size)
		return error_set(err, EPROTO, "agent channel: frame of kind %u has %u bytes, not %zu", frame->kind,
				frame->length, size);
	memcpy(ret, frame->payload, size);
	return 0;
}

void agent_source_init(struct agent_source *s, uint16_t session, enum agent_stream stream, int fd)
{
	*s = (struct agent_source){ .fd = fd, .session = session, .stream = (uint8_t)stream, .credit = AGENT_WINDOW };
}

bool agent_source_ready(const struct agent_source *s, const struct agent_channel *c)
{
	return s->fd >= 0 && s->credit > 0 && agent_channel_pending(c) < OUT_HIGH;
}

ssize_t agent_source_pump(struct agent_source *s, struct agent_channel *c)
{
	size_t want = s->credit < AGENT_MAX_PAYLOAD ? s->credit : AGENT_MAX_PAYLOAD;
	uint8_t *room = reserve(c, want);
	ssize_t n;

	if (!room)
		return -EAGAIN;
	do
		n = read(s->fd, room + sizeof(struct agent_header), want);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n <= 0) {
		s->fd = -1;
		commit(c, AGENT_EOF, s->session, s->stream, 0);
		return 0;
	}
	s->credit -= (uint32_t)n;
	commit(c, AGENT_DATA, s->session, s->stream, (size_t)n);
	return n;
}

int agent_source_credit(struct agent_source *s, const struct agent_frame *frame, struct error *err)
{
	uint32_t given = 0;
	int r = agent_frame_get(frame, &given, sizeof given, err);

	if (r < 0)
		return r;
	if (given > AGENT_WINDOW - s->credit)
		return error_set(err, EPROTO, "agent channel: stream %u: credit for more than was sent", s->stream);
	s->credit += given;
	return 0;
}

void agent_sink_init(struct agent_sink *s, uint16_t session, enum agent_stream stream, int fd)
{
	*s = (struct agent_sink){ .fd = fd, .session = session, .stream = (uint8_t)stream, .nonblocking = true };
}

void agent_sink_release(struct agent_sink *s)
{
	free(s->queue);
	*s = (struct agent_sink){ .fd = -1 };
}

/* Returns what the fd took, -EAGAIN, or -errno when it is of no use any more. */
static ssize_t sink_write(const struct agent_sink *s, const void *data, size_t len)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	ssize_t n;

	if (!s->nonblocking && poll(&p, 1, 0) == 0)
		return -EAGAIN;
	if (s->piece && len > s->piece)
		len = s->piece;
	do
		n = write(s->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Counts bytes as consumed and tells the sender once they are worth a frame. */
static int sink_consumed(struct agent_sink *s, struct agent_channel *c, size_t n, struct error *err)
{
	uint32_t given;

	s->unreturned += (uint32_t)n;
	if (s->unreturned < RETURN_AT || s->ended)
		return 0;
	given = s->unreturned;
	s->used -= given;
	s->unreturned = 0;
	return agent_channel_send(c, AGENT_CREDIT, s->session, s->stream, &given, sizeof given, err);
}

/* Nobody reads the fd: what was and will be received is thrown away, with credit. */
int agent_sink_close(struct agent_sink *s, struct agent_channel *c, struct error *err)
{
	size_t lost = s->len;
	int r = 0;

	if (s->fd < 0)
		return 0;
	s->fd = -1;
	s->start = s->len = 0;
	if (!s->ended)
		r = agent_channel_send(c, AGENT_CLOSED, s->session, s->stream, NULL, 0, err);
	return r < 0 ? r : sink_consumed(s, c, lost, err);
}

static void sink_enqueue(struct agent_sink *s, const uint8_t *data, size_t len)
{
	size_t end = (s->start + s->len) % AGENT_WINDOW;
	size_t first = len < AGENT_WINDOW - end ? len : AGENT_WINDOW - end;

	if (!s->queue)
		s->queue = xcalloc(1, AGENT_WINDOW);
	memcpy(s->queue + end, data, first);
	memcpy(s->queue, data + first, len - first);
	s->len += len;
}

int agent_sink_receive(struct agent_sink *s, struct agent_channel *c, const struct agent_frame *frame,
		struct error *err)
{
	size_t done = 0;

	if (s->ended || frame->length > AGENT_WINDOW - s->used)
		return error_set(err, EPROTO, "agent channel: stream %u: data %s", s->stream,
				s->ended ? "after its end" : "beyond the window");
	if (frame->kind == AGENT_EOF) {
		s->ended = true;
		return 0;
	}
	s->used += frame->length;
	while (s->fd >= 0 && s->len == 0 && done < frame->length) {
		ssize_t n = sink_write(s, frame->payload + done, frame->length - done);
		int r = 0;

		if (n == -EAGAIN)
			break;
		if (n < 0)
			r = agent_sink_close(s, c, err);
		else
			done += (size_t)n;
		if (r < 0)
			return r;
	}
	if (s->fd < 0)
		return sink_consumed(s, c, frame->length, err);
	if (done < frame->length)
		sink_enqueue(s, frame->payload + done, frame->length - done);
	return sink_consumed(s, c, done, err);
}

int agent_sink_flush(struct agent_sink *s, struct agent_channel *c, struct error *err)
{
	size_t done = 0;

	while (s->fd >= 0 && s->len) {
		size_t run = s->len < AGENT_WINDOW - s->start ? s->len : AGENT_WINDOW - s->start;
		ssize_t n = sink_write(s, s->queue + s->start, run);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return agent_sink_close(s, c, err);
		s->start = (s->start + (size_t)n) % AGENT_WINDOW;
		s->len -= (size_t)n;
		done += (size_t)n;
	}
	return sink_consumed(s, c, done, err);
}
