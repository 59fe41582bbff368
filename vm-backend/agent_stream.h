/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_STREAM_H
#define BIVALVE_VM_AGENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "runtime/base/error.h"
#include "vm-backend/agent_protocol.h"

/*
 * What both ends of the agent channel share: frames over a byte stream, and the two ends of a flow-controlled stream.
 *
 *      local fd → agent_source → DATA …… DATA → agent_sink → local fd
 *                      ↑                            |
 *                      +--------- CREDIT -----------+   (after the bytes have left for the local fd)
 *
 * Nothing blocks. Nothing grows beyond a limit that is known here, whatever the other end sends.
 */
struct agent_channel {
	int fd;                  /* borrowed, non-blocking */
	uint8_t *in, *out;
	size_t in_start, in_end;
	size_t out_start, out_end, out_size;
	bool held;               /* nothing leaves for now */
};

struct agent_frame {
	uint8_t kind, stream;
	uint16_t session;
	uint32_t length;
	const uint8_t *payload;  /* in the channel; valid until the next agent_channel_fill */
};

void agent_channel_init(struct agent_channel *c, int fd);
void agent_channel_release(struct agent_channel *c);

/* Reads once. Returns 1: something came; 0: nothing there now; -ECONNRESET: the other end is gone; or -errno. */
int agent_channel_fill(struct agent_channel *c, struct error *err);
/* Takes the next whole frame. Returns 1; 0: more must come first; -EPROTO: the other end breaks the protocol. */
int agent_channel_next(struct agent_channel *c, struct agent_frame *ret, struct error *err);
/* Queues a frame. Returns 0, or -ENOBUFS when the other end has taken nothing for too long. */
int agent_channel_send(struct agent_channel *c, enum agent_kind kind, uint16_t session, uint8_t stream,
		const void *payload, size_t len, struct error *err);
/* The same, with the payload in two parts. */
int agent_channel_send2(struct agent_channel *c, enum agent_kind kind, uint16_t session, const void *head,
		size_t head_len, const void *text, size_t len, struct error *err);
/* START and the text in pieces. -E2BIG beyond AGENT_MAX_PLAN. */
int agent_channel_send_start(struct agent_channel *c, uint16_t session, unsigned flags, const char *text,
		size_t len, struct error *err);
/* Writes what is queued, as far as it goes. Returns 0, or -errno when the other end is gone. */
int agent_channel_flush(struct agent_channel *c, struct error *err);
static inline size_t agent_channel_pending(const struct agent_channel *c)
{
	return c->out_end - c->out_start;
}
/* Whether what somebody asks for, len bytes in a few frames, may be queued now: half the limit is for what must be. */
bool agent_channel_has_room(const struct agent_channel *c, size_t len);

/* Copies a payload that must have exactly this size. Returns 0 or -EPROTO. */
int agent_frame_get(const struct agent_frame *frame, void *ret, size_t size, struct error *err);

/* The sending end of a stream. */
struct agent_source {
	int fd;                  /* borrowed; -1: ended */
	uint16_t session;
	uint8_t stream;
	uint32_t credit;
};
void agent_source_init(struct agent_source *s, uint16_t session, enum agent_stream stream, int fd);
/* Whether reading makes sense now: not ended, credit left and the channel not clogged. */
bool agent_source_ready(const struct agent_source *s, const struct agent_channel *c);
/*
 * Reads once and queues DATA, or EOF at the end (or an error, such as a terminal's hang-up). Call it when the fd is
 * readable and the source is ready. Returns the bytes read; 0: ended, fd is -1 now; -EAGAIN: nothing there.
 */
ssize_t agent_source_pump(struct agent_source *s, struct agent_channel *c);
/* Takes a CREDIT frame. -EPROTO: more than was used. */
int agent_source_credit(struct agent_source *s, const struct agent_frame *frame, struct error *err);

/* The receiving end of a stream. */
struct agent_sink {
	int fd;                  /* borrowed; -1: closed, what comes is thrown away */
	uint16_t session;
	uint8_t stream;
	bool nonblocking;        /* the fd is; else it is written in pieces that poll(2) says will not block */
	size_t piece;            /* largest write; 0: any */
	bool ended;              /* EOF has come */
	uint32_t used;           /* received and not given back */
	uint32_t unreturned;     /* written, CREDIT not yet sent */
	uint8_t *queue;          /* AGENT_WINDOW bytes, made when first needed */
	size_t start, len;       /* a ring */
};
void agent_sink_init(struct agent_sink *s, uint16_t session, enum agent_stream stream, int fd);
void agent_sink_release(struct agent_sink *s);
/* Takes a DATA or EOF frame. -EPROTO: beyond the window, or after the end. */
int agent_sink_receive(struct agent_sink *s, struct agent_channel *c, const struct agent_frame *frame,
		struct error *err);
/*
 * Writes what is queued as far as it goes and gives credit back. When nobody reads the fd any more it becomes -1 and
 * CLOSED is sent. Returns 0, or -ENOBUFS as agent_channel_send.
 */
int agent_sink_flush(struct agent_sink *s, struct agent_channel *c, struct error *err);
/* Nobody wants it any more: as when nobody reads the fd. Idempotent. */
int agent_sink_close(struct agent_sink *s, struct agent_channel *c, struct error *err);
/* Nothing left to write: only then may the fd be closed after EOF. */
static inline bool agent_sink_empty(const struct agent_sink *s)
{
	return s->len == 0;
}

#endif
