/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_WATCH_H
#define BIVALVE_ENFORCE_WATCH_H

#include <linux/seccomp.h>

#include "runtime/base/record.h"

/*
 * Watching system calls by seccomp user notification: what a filter denies is told to a supervisor, which answers as
 * the filter would have and writes it down. watch.c has the theory. Needs no libseccomp: the guest's PID 1 watches too.
 */
enum watch_action { WATCH_ALLOWED, WATCH_DENIED, WATCH_KILLED, WATCH_NOTED, WATCH_ACTIONS };
/* What is wanted of a path. MAKE and REMOVE are rights over its folder. */
enum watch_access {
	WATCH_READ = 1, WATCH_WRITE = 2, WATCH_EXECUTE = 4, WATCH_LIST = 8, WATCH_MAKE = 16, WATCH_REMOVE = 32,
};

/* One call, as it is passed on: of a fixed size, to fit a struct backend_event's text. Hostile after a journey. */
struct watch_event {
	uint32_t arch;           /* AUDIT_ARCH_ */
	int32_t nr;
	uint64_t args[6];
	uint32_t action;         /* enum watch_action */
	int32_t error;           /* DENIED: errno value */
	uint32_t access;         /* enum watch_access: what path is wanted for; 0: path is only told */
	uint8_t is_main;         /* the caller is the workload's first process */
	uint8_t exists;          /* path is there, and free of links */
	uint8_t is_dir;
	uint8_t pad;
	char address[128];       /* "1.2.3.4:80", "[::1]:80", "unix:/run/x", "unix:@x", "family 16"; "" */
	char path[720];          /* as the workload sees it; "" */
};

enum { WATCH_MAX = 4, WATCH_STARTING = 16 };

struct call_watch {
	int fd;                  /* of the notifications; -1: none (yet, or any more) */
	struct bytes program;    /* the filter that decides: borrowed; empty: all is allowed */
	uint64_t audit;          /* enum plan_audit, a bit each */
	uint64_t *seen;          /* hashes of what was told already, when only news is told */
	size_t n_seen;
	bool started;            /* the workload's program has been executed */
	uint32_t starting[WATCH_STARTING]; /* learning: callers of execve whose next call will show what they became */
};

/*
 * Installs the program on the calling thread so that a supervisor sees what audit asks for, and sends the descriptor
 * over the socket beside a message. Whatever the program says of sendmsg(2) and seccomp(2): they are the last calls
 * that it does not judge. 0 or -errno. The other conditions are seccomp_install()'s.
 */
int watch_install(const struct bytes *program, uint64_t audit, uint64_t flags, int sock, const void *message,
		size_t len);

/* The program where nobody listens: what it would tell of, it lets through. 0 or -errno. */
int watch_install_deaf(const struct bytes *program, uint64_t flags);

/* fd: taken. program is borrowed. */
void watch_begin(struct call_watch *w, int fd, const struct bytes *program, uint64_t audit);
void watch_end(struct call_watch *w);
/*
 * Answers one notification; call when fd is readable. Returns the number of events in ret, -errno when
 * there will be no more: then w->fd is closed, and calls that are denied fail by ENOSYS from then on.
 */
int watch_step(struct call_watch *w, struct watch_event ret[WATCH_MAX]);

/* Makes an event that came from elsewhere safe to use: texts end and are one line, numbers are in range. */
void watch_event_clean(struct watch_event *e);

/* watch_paths.c: what the call is about. Fills path, access, address of at most two events; returns their number. */
int watch_look(int fd, const struct seccomp_notif *call, struct watch_event ret[2]);
/* The files that the caller executes: its program, its interpreter. Fills at most two events; returns their number. */
int watch_look_program(int fd, const struct seccomp_notif *call, struct watch_event ret[2]);
/* Whether the call has to be seen for these bits of audit although the filter lets it through. */
bool watch_wanted(int nr, uint64_t audit);
/* The calls that can be wanted; ends with -1. */
const int *watch_calls(uint64_t audit);

#endif
