/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_AGENT_HOST_H
#define BIVALVE_VM_AGENT_HOST_H

#include <poll.h>

#include "runtime/model/plan.h"
#include "vm-backend/agent_stream.h"

/*
 * The host's end of the agent channel: joins the guest's streams to the workload's standard input, output and error,
 * and turns what the guest tells into events for the supervisor (backend.h).
 */
enum { AGENT_HOST_WATCHES = 4 };

struct agent_host {
	struct agent_channel channel;
	struct agent_source input;
	struct agent_sink output, errors;
	int stdio[3], reopened[3]; /* owned; -1: none */
	int event_fd;            /* borrowed */
	bool gone;               /* the channel has ended */
	bool ready;              /* HELLO has come */
	bool started;            /* the plan was sent */
	bool over, failed;       /* EXIT or ERROR has come; it was ERROR */
	bool any_output;
	unsigned milestones;
	int exit_status;         /* once over: what stands for the workload's status, 128+n for a signal */
	uint64_t uptime_ns;      /* of the guest's kernel when it was ready */
};

/* Takes stdio (closed in release); fd is borrowed. With terminal, stdio[0] is its slave and the others are unused. */
int agent_host_init(struct agent_host *h, int fd, const int stdio[3], bool terminal, int event_fd, struct error *err);
void agent_host_release(struct agent_host *h);

/* Sends the plan, without what only this host can use. Once, and only when ready. */
int agent_host_start(struct agent_host *h, const struct plan *plan, struct error *err);
int agent_host_signal(struct agent_host *h, uint32_t signo, struct error *err);
int agent_host_resize(struct agent_host *h, uint16_t rows, uint16_t columns, struct error *err);
int agent_host_shutdown(struct agent_host *h, struct error *err);

/* What to wait for. */
void agent_host_watch(const struct agent_host *h, struct pollfd fds[AGENT_HOST_WATCHES]);
/* Does what poll(2) found possible. -EPROTO, -ENOBUFS, …: the guest is not to be spoken to any more. */
int agent_host_step(struct agent_host *h, const struct pollfd fds[AGENT_HOST_WATCHES], struct error *err);
/* The workload is over and its output has left for our stdio. */
bool agent_host_drained(const struct agent_host *h);

/* Replaces what is not printable, so that a guest's text is one harmless line. */
void agent_text_clean(char *text);

#endif
