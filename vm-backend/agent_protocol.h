/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_PROTOCOL_H
#define BIVALVE_VM_AGENT_PROTOCOL_H

#include <stdint.h>

/*
 * The agent channel: one framed, flow-controlled protocol over a byte stream (a virtio console port). Little-endian.
 *
 *      0        4      5        6         8
 *      | length | kind | stream | session | payload[length] …
 *
 * Both sides treat the other as hostile: a frame longer than AGENT_MAX_PAYLOAD, an unknown kind, a stream that the
 * session does not have, or data beyond the granted credit ends the connection. Each DATA direction of a session has a
 * window: the sender may have at most AGENT_WINDOW bytes that the receiver has not yet given back by CREDIT.
 *
 *   guest → host  HELLO      once, when PID 1 is ready for work: struct agent_hello
 *   host → guest  START      struct agent_start: a plan of so many bytes follows (session 0 is the workload)
 *   host → guest  PLAN       a piece of the plan as JSON; the last one starts the workload
 *   guest → host  MILESTONE  a name; the host stamps the time
 *   both          DATA       stream 0 (stdin, host → guest), 1 stdout, 2 stderr (guest → host)
 *   both          EOF        the stream has ended
 *   both          CREDIT     uint32: bytes consumed of the stream
 *   both          CLOSED     nobody reads the stream any more: its writer gets EPIPE/SIGPIPE; no EOF is owed
 *   host → guest  RESIZE     struct agent_size
 *   host → guest  SIGNAL     uint32 signal number
 *   guest → host  ERROR      struct agent_error: the workload could not be started; the last frame
 *   guest → host  EXIT       struct agent_exit: after all DATA and EOF of the session; the last frame
 *   host → guest  SHUTDOWN   power off now
 */
enum {
	AGENT_MAX_PAYLOAD = 64 * 1024,
	AGENT_WINDOW = 1024 * 1024,
	AGENT_MAX_PLAN = 1024 * 1024,
	AGENT_MAX_TEXT = 1000,
	AGENT_VERSION = 1,
};

#define AGENT_PORT_NAME "org.bivalve.agent"

enum agent_kind {
	AGENT_HELLO = 1, AGENT_START, AGENT_PLAN, AGENT_MILESTONE, AGENT_DATA, AGENT_EOF, AGENT_CREDIT, AGENT_CLOSED,
	AGENT_RESIZE, AGENT_SIGNAL, AGENT_ERROR, AGENT_EXIT, AGENT_SHUTDOWN, AGENT_KIND_COUNT,
};

enum agent_stream { AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR, AGENT_STREAM_COUNT };

struct agent_header {
	uint32_t length;
	uint8_t kind, stream;
	uint16_t session;
} __attribute__((packed));

struct agent_hello {
	uint32_t version;        /* AGENT_VERSION, else the host hangs up */
	uint32_t pad;
	uint64_t uptime_ns;      /* since the guest kernel's clock began */
};

struct agent_start {
	uint64_t wall_ns;        /* CLOCK_REALTIME of the host */
	uint32_t plan_bytes;     /* at most AGENT_MAX_PLAN */
	uint32_t pad;
};

struct agent_size {
	uint16_t rows, columns;
};

struct agent_error {         /* then at most AGENT_MAX_TEXT bytes of text */
	int32_t code;            /* errno value */
	int32_t exit_status;     /* 125, 126 or 127 */
};

struct agent_exit {
	int32_t wait_status;     /* as from wait(2) */
	uint32_t pad;
	uint64_t cpu_user_us, cpu_system_us, peak_memory_bytes, oom_kills, pids_denied; /* 0: not known */
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are sent as they lie in memory");
_Static_assert(sizeof(struct agent_header) == 8 && sizeof(struct agent_hello) == 16 &&
		sizeof(struct agent_start) == 16 && sizeof(struct agent_exit) == 48, "no hidden padding");

#endif
