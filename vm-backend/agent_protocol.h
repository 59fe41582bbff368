/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_PROTOCOL_H
#define BIVALVE_VM_AGENT_PROTOCOL_H

#include <stdint.h>

/*
 * The agent channel, version 7: one framed, flow-controlled protocol over a byte stream (a virtio console port).
 * Little-endian.
 *
 *      0        4      5        6         8
 *      | length | kind | stream | session | payload[length] …
 *
 * Session 0 is the workload; the others are processes that are executed beside it, each from its START to its ERROR
 * or EXIT, after which the number is free again. Both sides treat the other as hostile: a frame longer than
 * AGENT_MAX_PAYLOAD, an unknown kind, a session or stream that cannot be, or data beyond the granted credit ends the
 * connection. Each DATA direction of a session has a window: the sender may have at most AGENT_WINDOW bytes that the
 * receiver has not yet given back by CREDIT.
 *
 *   guest → host  HELLO      once, when PID 1 is ready for work: struct agent_hello
 *   host → guest  START      struct agent_start: a text of so many bytes follows
 *   host → guest  PLAN       a piece of it: the plan as JSON (session 0), a plan_process (the others)
 *   guest → host  ISOLATED   the process is set up: session 0 waits for GO now, the others' programs were found; one
 *                            that was to be prepared waits for BECOME
 *   host → guest  GO         session 0 may run
 *   host → guest  BECOME     late.h's bytes: session 0, which was prepared, has these arguments and may run
 *   guest → host  MILESTONE  a name, of session 0; the host stamps the time
 *   guest → host  WATCHED    struct watch_event: a call that plan.audit asks for, of session 0
 *   both          DATA       stream 0 (stdin, host → guest), 1 stdout, 2 stderr (guest → host);
 *                            of session 0, at its end and if the plan asks for them, 3 its changes (changes/stream.c)
 *   both          EOF        the stream has ended
 *   both          CREDIT     uint32: bytes consumed of the stream
 *   both          CLOSED     nobody reads the stream any more: its writer gets EPIPE/SIGPIPE; no EOF is owed
 *   host → guest  RESIZE     struct agent_size
 *   host → guest  SIGNAL     uint32 signal number
 *   guest → host  ERROR      struct agent_error: the process could not be started; the session's last frame
 *   guest → host  EXIT       struct agent_exit: after all DATA and EOF of the session; its last frame
 *   host → guest  REQUEST    struct agent_request and a text: something about the workload as a whole
 *   guest → host  REPLY      struct agent_reply and a piece of the answer
 *   host → guest  RENEW      struct agent_renew, then a host name: this is a copy of a machine that was saved
 *   guest → host  RENEWED    struct agent_renewed: that was done; stands for the HELLO which the copy's original sent
 *   host → guest  QUIESCE    send nothing more; the host sends nothing either, until RENEW
 *   guest → host  QUIESCED   struct agent_quiesced: the last frame, unless it refuses
 *   host → guest  SHUTDOWN   power off now
 *
 * A machine may be saved when nothing is under way in either direction: after QUIESCED. The one that was saved hears
 * RENEW for its clock and goes on. A copy of it has another host: the windows of the workload's outputs begin anew,
 * that of its input has used what RENEWED says.
 *
 * A template's workload was prepared: the copy's becomes that by BECOME, or a START comes, and what was prepared goes.
 *
 * A machine that goes on from a saved state hears nothing before RENEW; until then nothing of the workload's may run.
 * Later ones only set the clock: the host repeats it until the way there and back was short.
 *
 * What the host sends to a session that has just ended crosses its EXIT on the way: the guest drops it.
 */
enum {
	AGENT_MAX_PAYLOAD = 64 * 1024,
	AGENT_WINDOW = 1024 * 1024,
	AGENT_MAX_PLAN = 1024 * 1024,
	AGENT_MAX_TEXT = 1000,
	AGENT_SESSIONS = 64,
	AGENT_MAX_REPLY = 512 * 1024,
	AGENT_VERSION = 7,
	AGENT_ENTROPY = 64,
	AGENT_MAX_HOSTNAME = 64,
};

#define AGENT_PORT_NAME "org.bivalve.agent"

enum agent_kind {
	AGENT_HELLO = 1, AGENT_START, AGENT_PLAN, AGENT_MILESTONE, AGENT_DATA, AGENT_EOF, AGENT_CREDIT, AGENT_CLOSED,
	AGENT_RESIZE, AGENT_SIGNAL, AGENT_ERROR, AGENT_EXIT, AGENT_SHUTDOWN, AGENT_ISOLATED, AGENT_GO, AGENT_REQUEST,
	AGENT_REPLY, AGENT_RENEW, AGENT_RENEWED, AGENT_QUIESCE, AGENT_QUIESCED, AGENT_WATCHED, AGENT_BECOME,
	AGENT_KIND_COUNT,
};

/* What a REQUEST is about, and the text it and its answer have. */
enum agent_question {
	AGENT_PROCESSES = 1,     /* nothing → an array of struct backend_process */
	AGENT_STATS,             /* nothing → struct stats */
	AGENT_UPDATE,            /* struct plan_resources → nothing */
	AGENT_KILL_ALL,          /* the signal's number → nothing */
};

enum agent_stream { AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR, AGENT_CHANGES, AGENT_STREAM_COUNT };

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

struct agent_renew {         /* then the host name, at most AGENT_MAX_HOSTNAME bytes */
	uint32_t version;        /* AGENT_VERSION, else the guest refuses */
	uint32_t only_clock;     /* 1: nothing but the time */
	uint64_t wall_ns;        /* CLOCK_REALTIME of the host as this is sent */
	uint8_t entropy[AGENT_ENTROPY];
};

enum agent_workload { AGENT_NOTHING, AGENT_RUNNING, AGENT_PREPARED };

struct agent_renewed {
	uint32_t version;
	uint32_t running;        /* enum agent_workload */
	uint32_t input_used;     /* bytes of its input's window; then bits by stream: which have ended */
	uint32_t ended;
	uint64_t uptime_ns;      /* as in struct agent_hello: it goes on from where the machine was saved */
};

struct agent_quiesced {
	int32_t code;            /* an errno value: why not */
	uint32_t pad;
};

enum agent_start_flag {
	AGENT_DETACHED = 1, /* session 0: its program must be there for it to count as set up */
	/* Session 0: all is done but what its arguments and environment decide, which the plan lacks. */
	AGENT_PREPARE = 2,
};

struct agent_start {
	uint64_t wall_ns;        /* CLOCK_REALTIME of the host */
	uint32_t plan_bytes;     /* of the text; at most AGENT_MAX_PLAN */
	uint32_t flags;
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
	uint64_t read_bytes, write_bytes, switches, preemptions, max_rss_bytes; /* likewise */
	uint64_t cpu_throttled, cpu_throttled_us; /* likewise */
};

struct agent_request {       /* then the question's text */
	uint32_t id;             /* the answer has it too */
	uint32_t question;       /* enum agent_question */
};

struct agent_reply {         /* then a piece of the text; of an error's line, if code is not 0 */
	uint32_t id;
	int32_t code;            /* errno value */
	uint32_t left;           /* bytes in the pieces still to come; the whole is at most AGENT_MAX_REPLY */
	uint32_t pad;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are sent as they lie in memory");
_Static_assert(sizeof(struct agent_header) == 8 && sizeof(struct agent_hello) == 16 &&
		sizeof(struct agent_start) == 16 && sizeof(struct agent_exit) == 104 &&
		sizeof(struct agent_request) == 8 && sizeof(struct agent_renew) == 80 &&
		sizeof(struct agent_renewed) == 24 && sizeof(struct agent_quiesced) == 8 &&
		sizeof(struct agent_reply) == 16, "no hidden padding");

#endif
