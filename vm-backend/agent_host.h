/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_HOST_H
#define BIVALVE_VM_AGENT_HOST_H

#include <poll.h>

#include "runtime/base/strbuf.h"
#include "runtime/model/plan.h"
#include "vm-backend/agent_session.h"

/*
 * The host's end of the agent channel: joins the guest's sessions to descriptors of this host, turns what the guest
 * tells of the workload into events for the supervisor (backend.h), and asks it questions.
 *
 *      HELLO ──> ready ── START ──> started ── ISOLATED ──> isolated ── GO ──> running ── EXIT, ERROR ──> over
 */
enum { AGENT_HOST_WATCHES = 1 + AGENT_SESSIONS * AGENT_SESSION_WATCHES, AGENT_QUESTIONS = 16 };

struct agent_answer {
	uint32_t id;             /* of the question; 0: free */
	bool done;
	int code;                /* once done: 0, or an errno value and the text is why */
	struct strbuf text;      /* the guest's: hostile */
};

struct agent_host {
	struct agent_channel channel;
	struct agent_session workload; /* session 0 */
	struct agent_session *others[AGENT_SESSIONS]; /* the rest, NULL: free; [0] never used */
	struct agent_answer answers[AGENT_QUESTIONS];
	uint32_t last_id;
	int event_fd;            /* borrowed */
	int own_fds;             /* /proc/self/fd of the host, whatever the root becomes; -1: none */
	bool lost;               /* the channel has ended */
	bool ready;              /* HELLO has come; of a machine that goes on from a saved state, the last RENEWED */
	bool attach;             /* set beforehand: the machine's workload runs already */
	bool quiesced;           /* QUIESCED has come, … */
	int quiesce_code;        /* … with this */
	bool renewing;           /* RENEW was sent: RENEWED is owed */
	unsigned renewals;
	uint64_t renew_sent_ns, clock_lead_ns; /* when the last RENEW was sent, and how far ahead its time was */
	uint64_t clock_error_ns; /* the guest's clock was set within this much of ours; 0: it was not set */
	bool started;            /* the plan was sent */
	bool prepared;           /* the guest says that it has a workload that was prepared */
	char *late;              /* that one is to be ours: what it becomes; else NULL */
	size_t late_len;
	bool audited;            /* it asks to be told of calls */
	unsigned milestones;
	uint64_t uptime_ns;      /* of the guest's kernel when it was ready */
};

/* Takes stdio (closed in release); fd is borrowed. With terminal, stdio[0] is its slave and the others are unused. */
int agent_host_init(struct agent_host *h, int fd, const int stdio[3], bool terminal, int event_fd, struct error *err);
void agent_host_release(struct agent_host *h);

/*
 * Instead of waiting for HELLO, for a machine that goes on from a saved state: gives it random numbers, time and host
 * name of its own. It is ready once it has said that it took them, and its clock is right.
 */
int agent_host_renew(struct agent_host *h, const char *hostname, struct error *err);
/*
 * Before the machine is saved: waits until nothing is under way between us and the guest, and lets nothing leave.
 * -EBUSY: processes are executed beside the workload. agent_host_go_on in any case, after the machine has been let go
 * on.
 */
int agent_host_hold(struct agent_host *h, uint64_t timeout_ns, struct error *err);
int agent_host_go_on(struct agent_host *h, struct error *err);
/* Sends the plan, without what only this host can use. Once, and only when ready. flags: enum agent_start_flag. */
int agent_host_start(struct agent_host *h, const struct plan *plan, unsigned flags, struct error *err);
/*
 * Instead, for a plan that differs from a template's only in what agent_plan_text leaves out: the workload that was
 * prepared there is isolated, and agent_host_go lets it become this one. False: there is none, or the plan's arguments
 * are too long; it is to be sent as ever.
 */
bool agent_host_adopt(struct agent_host *h, const struct plan *plan);
/* The workload may run. Once, and only when it is isolated. */
int agent_host_go(struct agent_host *h, struct error *err);
/*
 * One more process in the guest, from a plan_process as JSON. Takes stdio. Returns the session's number; -EAGAIN: all
 * are in use, or the guest takes nothing now.
 */
int agent_host_exec(struct agent_host *h, const char *text, size_t len, const int stdio[3], bool terminal,
		struct error *err);
/* A session by its number, NULL: there is none. */
struct agent_session *agent_host_session(struct agent_host *h, unsigned number);
/* Gives up a session other than the workload's: it is killed unless it is over, and its number is free after that. */
void agent_host_close(struct agent_host *h, unsigned number);
/* -EAGAIN: the guest takes nothing now. */
int agent_host_signal(struct agent_host *h, unsigned session, uint32_t signo, struct error *err);
int agent_host_resize(struct agent_host *h, unsigned session, uint16_t rows, uint16_t columns, struct error *err);
int agent_host_shutdown(struct agent_host *h, struct error *err);

/* Asks. Returns the question's id, to be given back by agent_host_forget(); -EAGAIN: too many, or it takes nothing. */
int64_t agent_host_ask(struct agent_host *h, enum agent_question question, const char *text, size_t len,
		struct error *err);
/* The answer so far; NULL: no such question. */
const struct agent_answer *agent_host_answer(const struct agent_host *h, int64_t id);
void agent_host_forget(struct agent_host *h, int64_t id);

/* What to wait for. */
void agent_host_watch(const struct agent_host *h, struct pollfd fds[AGENT_HOST_WATCHES]);
/* Does what poll(2) found possible. -EPROTO, -ENOBUFS, …: the guest is not to be spoken to any more. */
int agent_host_step(struct agent_host *h, const struct pollfd fds[AGENT_HOST_WATCHES], struct error *err);
/* The workload is over and its output has left for our stdio. */
bool agent_host_drained(const struct agent_host *h);

#endif
