/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_BACKEND_H
#define BIVALVE_MODEL_BACKEND_H

#include "runtime/model/instance.h"
#include "runtime/model/plan.h"
#include "runtime/model/report.h"

/*
 * The contract between the launcher and a shell. Each backend gives ONE host pid that exists before the workload runs
 * and exits with the workload's status (128+n for a signal), so that supervision, console and report are written once.
 *
 * Events are what the workload's side tells the supervisor, one SOCK_SEQPACKET message each, in this order:
 * any number of MILESTONE; ERROR if the workload could not be started (then EXIT follows or the pid just ends);
 * EXIT once. The socket's end of file means that the side is gone. The receiver trusts no field: the sender may be
 * a shell that was broken into.
 */
enum backend_event_kind { EVENT_MILESTONE = 1, EVENT_ERROR, EVENT_EXIT };

struct backend_event {
	uint32_t kind;             /* enum backend_event_kind */
	int32_t code;              /* ERROR: errno value */
	int32_t exit_status; /* ERROR: what bivalve exits with (125, 126, 127). EXIT: wait(2) status of the workload */
	uint32_t pad;
	uint64_t at_ns;            /* CLOCK_MONOTONIC of this host */
	uint64_t cpu_user_us, cpu_system_us, peak_memory_bytes, oom_kills, pids_denied; /* EXIT; 0: not known here */
	char text[1024];           /* MILESTONE: name. ERROR: one line. NUL-terminated */
};

/* Sends one event; at_ns 0 is filled with the clock. Never blocks for long, never raises SIGPIPE. 0 or -errno. */
int backend_event_send(int fd, struct backend_event *event);
int backend_event_milestone(int fd, const char *name);
/* Sends ERROR with err's code and text. */
int backend_event_error(int fd, const struct error *err, int exit_status);

struct backend {
	const char *name;
	/* What this host and build can do, as members of the open object in w. Never fails: absence is a finding. */
	void (*probe)(struct json_writer *w);
	/* Refuses, naming the field, whatever this shell cannot enforce on this host. Makes nothing. */
	int (*check)(const struct plan *plan, struct error *err);
	/*
	 * Makes the isolated process, stopped before the workload: pid, cgroup, live handles and whatever delete needs
	 * are set in in (and saved as soon as they exist). stdio[3] become the workload's, unless it has a terminal.
	 * On failure everything made is undone.
	 */
	int (*create)(const struct plan *plan, struct instance *in, const int stdio[3], struct error *err);
	int (*start)(struct instance *in, struct error *err);
	/* Sends a signal to the workload. -ESRCH when it is gone. */
	int (*kill)(const struct instance *in, int signo, struct error *err);
	/* After the pid ended, before delete: adds to the report what the host knows (cgroup figures, VMM figures). */
	void (*account)(const struct instance *in, struct report *report);
	/* Ends whatever still runs and removes all that create made, bar in->dir. Idempotent: works from state.json. */
	int (*delete)(const struct instance *in, struct error *err);
};

extern const struct backend container_backend, vm_backend;

#endif
