/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_SESSION_H
#define BIVALVE_GUEST_SESSION_H

#include <poll.h>
#include <sys/resource.h>

#include "container-backend/spawn.h"
#include "runtime/model/backend.h"
#include "policies/enforce/watch.h"
#include "vm-backend/agent_stream.h"

/*
 * The guest's end of one session: the text that describes a process, the process, and its three streams.
 *
 *      TEXT — START, PLAN… → RUNNING — it ends → DRAINING — streams empty, changes told → OVER (EXIT sent)
 *        +— cannot be started → OVER (ERROR sent)
 */
enum { GUEST_SESSION_WATCHES = 6 };

struct guest_session {
	uint16_t number;
	enum { SESSION_TEXT, SESSION_RUNNING, SESSION_DRAINING, SESSION_OVER } state;
	char *text;              /* between START and the last PLAN */
	size_t text_len, text_bytes;
	bool terminal;
	bool detached, prepare;  /* agent_start's */
	bool prepared;           /* it waits for BECOME */
	struct agent_sink input;
	struct agent_source output, errors;
	struct agent_source changes; /* session 0, while DRAINING: what it changed */
	int changes_fd;          /* what that uses; owned; -1: not yet, or told */
	int scratch_fd;          /* where the overlays' uppers are; owned; -1: nobody wants the changes, or they are on
				  * their way */
	size_t n_overlays;
	bool changes_contents;   /* the files' contents too */
	int local[3];            /* what input, output and errors use; owned */
	int event_fd, pidfd;
	int start_fd;            /* a byte lets session 0 go; -1 */
	pid_t pid;
	bool ended, told;        /* the child was reaped; it told the workload's status before */
	bool stays;              /* the child, once it has told that, waits to be killed: guest_end.h */
	int wait_status, told_status;
	struct error reason;     /* the child could not become what it should: why; code 0: it could */
	int reason_status;
	struct rusage usage;
	struct cgroup_cpu setup; /* session 0: what its group had counted before it was let go */
	struct backend_event end; /* what the workload's PID 1 told of it, if it did */
	const struct plan *plan; /* session 0: borrowed */
	int net_fd;              /* session 0: its network namespace; owned; -1 */
	struct call_watch watch;      /* of its calls, if the plan says so */
};

struct guest_session *guest_session_new(uint16_t number);
void guest_session_free(struct guest_session *s);

/* Pipes for the process (theirs: the caller's to close), unless it has a terminal. */
int guest_session_open(struct guest_session *s, bool terminal, int ret_theirs[3], struct error *err);
/* The process runs: its streams are joined to the channel. event_fd: what it tells; taken. */
void guest_session_begin(struct guest_session *s, const struct spawn_result *result, int event_fd);
/* Once it has ended, what it changed in this many overlays is wanted. */
void guest_session_want_changes(struct guest_session *s, size_t n_overlays, bool contents);
/* Waits until a process that is only prepared has got as far as it can. What fails is the error. */
int guest_session_await_prepared(struct guest_session *s, struct error *err);
int guest_session_refuse(struct guest_session *s, struct agent_channel *c, const struct error *reason, int exit_status,
		struct error *err);

/* Frames of the host. */
/* 1: all of the text is here. */
int guest_session_text(struct guest_session *s, const struct agent_frame *frame, struct error *err);
int guest_session_data(struct guest_session *s, struct agent_channel *c, const struct agent_frame *frame,
		struct error *err);
int guest_session_credit(struct guest_session *s, const struct agent_frame *frame, struct error *err);
int guest_session_closed(struct guest_session *s, const struct agent_frame *frame, struct error *err);
int guest_session_resize(struct guest_session *s, const struct agent_frame *frame, struct error *err);
int guest_session_signal(struct guest_session *s, const struct agent_frame *frame, struct error *err);

/* Another host: the windows of the outputs begin anew. How much of the input's is in use, and which streams ended. */
void guest_session_reattach(struct guest_session *s, uint32_t *ret_input_used, uint32_t *ret_ended);
void guest_session_watch(const struct guest_session *s, const struct agent_channel *c,
		struct pollfd fds[GUEST_SESSION_WATCHES]);
int guest_session_step(struct guest_session *s, struct agent_channel *c, const struct pollfd fds[GUEST_SESSION_WATCHES],
		struct error *err);
/* Takes up to half a MiB of its output. Whether that was all: no process has the streams open any more. */
bool guest_session_has_closed(struct guest_session *s, struct agent_channel *c);
/* A child was reaped that is this session's. */
void guest_session_ended(struct guest_session *s, int status, const struct rusage *usage);
/* After the end: what it still told, the rest of its output, then EXIT. cgroup: whose figures count; NULL: its own. */
int guest_session_wind_up(struct guest_session *s, struct agent_channel *c, const struct cgroup_host *host,
		const char *cgroup, struct error *err);

#endif
