/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_CONTROL_H
#define BIVALVE_VM_CONTROL_H

#include <poll.h>

#include "runtime/model/instance.h"
#include "vm-backend/agent_host.h"

/*
 * The control socket, <dir>/control: how other processes of the instance's owner speak to its monitor. SOCK_SEQPACKET;
 * each message is a struct control_message and text. A connection asks one thing:
 *
 *      question: PAUSE RESUME MACHINE                     answer: OK, perhaps with text, or ERROR
 *                SAVE with a file                                 the same, once it is saved (150 s)
 *                PROCESSES STATS UPDATE KILL_ALL                  the same, once the guest has answered (10 s)
 *                EXEC with three descriptors or one slave         STARTED, then EXIT; or ERROR
 *      then, of EXEC:  SIGNAL RESIZE                              none; the connection's end kills the process
 */
enum control_kind {
	CONTROL_MACHINE = 1, CONTROL_PAUSE, CONTROL_RESUME, CONTROL_PROCESSES, CONTROL_STATS, CONTROL_UPDATE,
	CONTROL_KILL_ALL, CONTROL_SAVE, CONTROL_EXEC, CONTROL_SIGNAL, CONTROL_RESIZE,
	CONTROL_OK, CONTROL_ERROR, CONTROL_STARTED, CONTROL_EXIT, CONTROL_KIND_COUNT,
};

enum { CONTROL_CLIENTS = 96, CONTROL_WATCHES = 1 + CONTROL_CLIENTS, CONTROL_MAX_TEXT = 128 * 1024 };

struct control_message {
	uint32_t kind;
	int32_t value;           /* EXEC: 1 with terminal. SIGNAL. RESIZE: rows << 16 | columns. ERROR, EXIT: status */
	int32_t code;            /* ERROR: errno value */
	uint32_t left;           /* OK: bytes of text in the messages still to come */
};

/* ---- the monitor's side ---- */

struct control_ops { /* what only the monitor can do */
	int (*pause)(void *owner, bool on, struct error *err);
	int (*save)(void *owner, int fd, struct error *err);
	char *(*measure)(void *owner); /* struct machine_stats as JSON; the caller frees it */
	/* 0: the guest can be spoken to now; else why not. */
	int (*check)(void *owner, struct error *err);
};

struct control_client {
	int fd;                  /* -1: free */
	bool heard;              /* has asked */
	unsigned session;        /* of EXEC; 0: none */
	bool told;               /* STARTED was sent */
	int64_t question;        /* put to the guest; 0: none */
	uint64_t deadline_ns;    /* 0: none */
	char *answer;            /* being sent */
	size_t answer_len, answer_sent;
};

struct control_server {
	int fd;
	struct agent_host *agent;
	const struct control_ops *ops;
	void *owner;
	struct control_client clients[CONTROL_CLIENTS];
};

/* Makes the socket in dir. Failure leaves *s usable as one that has no clients. */
int control_server_init(struct control_server *s, const char *dir, struct agent_host *agent,
		const struct control_ops *ops, void *owner, struct error *err);
void control_server_watch(const struct control_server *s, struct pollfd fds[CONTROL_WATCHES]);
/* Does what poll(2) found possible and passes on what the guest has said since. */
void control_server_step(struct control_server *s, const struct pollfd fds[CONTROL_WATCHES]);
/* When it has to be stepped at the latest; 0: whenever. CLOCK_MONOTONIC. */
uint64_t control_server_deadline(const struct control_server *s);
/* The workload is over: so is whatever was executed beside it. Tells every client. */
void control_server_end(struct control_server *s);

/* ---- everybody else's side ---- */

/* Connects. -ESRCH: the monitor is gone. The socket or -errno. */
int control_connect(const struct instance *in, struct error *err);
int control_send(int fd, enum control_kind kind, int value, const char *text, size_t len, const int *fds, size_t n_fds,
		struct error *err);
/* Asks and waits for the whole answer; *ret_text (the caller's; NULL: not wanted) has a NUL after it. */
int control_ask(const struct instance *in, enum control_kind kind, int value, const char *text, size_t len,
		char **ret_text, size_t *ret_len, struct error *err);
/* The same for a question that has a descriptor, no text, and takes its time. */
int control_ask_with(const struct instance *in, enum control_kind kind, int with, struct error *err);

#endif
