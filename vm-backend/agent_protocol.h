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
 *   host → guest  START      the plan as JSON (session 0 is the workload)
 *   guest → host  MILESTONE  a name; the host stamps the time
 *   both          DATA       stream 0 (stdin, host → guest), 1 stdout, 2 stderr (guest → host)
 *   both          EOF        the stream has ended
 *   both          CREDIT     uint32: bytes consumed of the stream
 *   host → guest  CLOSED     nobody reads the stream (1, 2) any more: the workload gets EPIPE/SIGPIPE
 *   host → guest  RESIZE     uint16 rows, uint16 columns
 *   host → guest  SIGNAL     uint32 signal number
 *   guest → host  ERROR      struct agent_error: the workload could not be started
 *   guest → host  EXIT       struct agent_exit: after all DATA and EOF of the session
 *   host → guest  SHUTDOWN   power off now
 */
enum { AGENT_MAX_PAYLOAD = 64 * 1024, AGENT_WINDOW = 1024 * 1024, AGENT_MAX_PLAN = 1024 * 1024, AGENT_VERSION = 1 };

enum agent_kind {
	AGENT_HELLO = 1, AGENT_START, AGENT_MILESTONE, AGENT_DATA, AGENT_EOF, AGENT_CREDIT, AGENT_CLOSED, AGENT_RESIZE,
	AGENT_SIGNAL, AGENT_ERROR, AGENT_EXIT, AGENT_SHUTDOWN,
};

struct agent_header {
	uint32_t length;
	uint8_t kind, stream;
	uint16_t session;
} __attribute__((packed));

#endif
