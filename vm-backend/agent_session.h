/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_SESSION_H
#define BIVALVE_VM_AGENT_SESSION_H

#include <poll.h>

#include "vm-backend/agent_stream.h"

/*
 * The host's end of one session: three streams of the guest joined to three descriptors of this host. The channel is
 * its host's (agent_host.h).
 */
enum { AGENT_SESSION_WATCHES = 4 };

struct agent_session {
	uint16_t number;
	struct agent_source input;
	struct agent_sink output, errors;
	struct agent_sink changes; /* session 0: a regular file, borrowed; fd -1: not asked for, or complete */
	uint64_t changes_left;   /* how much more of them is taken */
	int stdio[3], reopened[3]; /* owned; -1: none */
	int own_fds;             /* borrowed; see agent_session_init */
	bool abandoned;          /* nobody here waits for it any more */
	bool isolated;           /* the guest has set it up */
	bool running;            /* and it may run */
	bool over, failed;       /* EXIT or ERROR has come; it was ERROR */
	bool any_output;
	int wait_status;         /* once over, unless failed */
	int exit_status;         /* once over: 128+n for a signal */
	struct error error;      /* failed: why */
};

/*
 * Takes stdio (closed in release). With terminal, stdio[0] is its slave and the others are unused. own_fds: the folder
 * /proc/self/fd, opened when that was the host's; -1: none, and what is shared with others may block us for a moment.
 */
void agent_session_init(struct agent_session *s, uint16_t number, const int stdio[3], bool terminal, int own_fds);
/* The changes are wanted, in this regular file, which is borrowed; at most max bytes. */
void agent_session_want_changes(struct agent_session *s, int fd, uint64_t max);
void agent_session_release(struct agent_session *s);

/*
 * It runs in a machine that went on from a saved state: this much of its input's window is in use, and these streams
 * have ended (bits by enum agent_stream). -EPROTO: that cannot be.
 */
int agent_session_attach(struct agent_session *s, uint32_t input_used, uint32_t ended, struct error *err);

/* Frames of the guest. -EPROTO: the guest breaks the protocol. */
int agent_session_data(struct agent_session *s, struct agent_channel *c, const struct agent_frame *frame,
		struct error *err); /* DATA and EOF */
int agent_session_credit(struct agent_session *s, const struct agent_frame *frame, struct error *err);
int agent_session_closed(struct agent_session *s, const struct agent_frame *frame, struct error *err);
int agent_session_error(struct agent_session *s, const struct agent_frame *frame, struct error *err);
int agent_session_exit(struct agent_session *s, const struct agent_frame *frame, struct agent_exit *ret,
		struct error *err);

/* What to wait for, and what to do when poll(2) found something. */
void agent_session_watch(const struct agent_session *s, const struct agent_channel *c,
		struct pollfd fds[AGENT_SESSION_WATCHES]);
int agent_session_step(struct agent_session *s, struct agent_channel *c, const struct pollfd fds[AGENT_SESSION_WATCHES],
		struct error *err);
/* Closes our ends; what still comes is thrown away. */
void agent_session_abandon(struct agent_session *s, struct agent_channel *c);
/* It is over and its output has left for our stdio. */
bool agent_session_drained(const struct agent_session *s);

/* Replaces what is not printable, so that a guest's text is one harmless line. */
void agent_text_clean(char *text);

#endif
