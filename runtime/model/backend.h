/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_BACKEND_H
#define BIVALVE_MODEL_BACKEND_H

#include <sys/types.h>

#include "runtime/model/instance.h"
#include "runtime/model/plan.h"
#include "runtime/model/report.h"
#include "runtime/model/stats.h"

/*
 * The contract between the launcher and a shell. Each backend gives ONE host pid that exists before the workload runs
 * and exits with the workload's status (128+n for a signal), so that supervision, console and report are written once.
 *
 * Events are what the workload's side tells the supervisor, one SOCK_SEQPACKET message each, in this order:
 * any number of MILESTONE; ERROR if the workload could not be started (then EXIT follows or the pid just ends);
 * EXIT once; with plan.audit LISTENER or WATCHED in between. The socket's end of file means that the side is gone. The
 * receiver trusts no field: the sender may be a shell that was broken into.
 */
enum backend_event_kind {
	EVENT_MILESTONE = 1, EVENT_ERROR, EVENT_EXIT,
	EVENT_LISTENER,            /* beside it the descriptor of plan.audit's notifications */
	EVENT_WATCHED,             /* text holds a struct watch_event, of a shell that watches by itself */
};

struct backend_event {
	uint32_t kind;             /* enum backend_event_kind */
	int32_t code;              /* ERROR: errno value */
	int32_t exit_status; /* ERROR: what bivalve exits with (125, 126, 127). EXIT: wait(2) status of the workload */
	uint32_t pad;
	uint64_t at_ns;            /* CLOCK_MONOTONIC of this host */
	uint64_t cpu_user_us, cpu_system_us, peak_memory_bytes, oom_kills, pids_denied; /* EXIT; 0: not known here */
	uint64_t read_bytes, write_bytes, switches, preemptions; /* likewise; from and to devices */
	uint64_t max_rss_bytes;    /* likewise; of the largest process that was waited for */
	uint64_t cpu_throttled, cpu_throttled_us; /* likewise; by a quota of CPU time */
	char text[1024];           /* MILESTONE: name. ERROR: one line. NUL-terminated */
};

/* Sends one event; at_ns 0 is filled with the clock. Never blocks for long, never raises SIGPIPE. 0 or -errno. */
int backend_event_send(int fd, struct backend_event *event);
int backend_event_milestone(int fd, const char *name);
/* Sends ERROR with err's code and text. */
int backend_event_error(int fd, const struct error *err, int exit_status);

/* One more process in a running instance. */
struct backend_exec {
	const struct plan_process *process;
	const char *cgroup;      /* below the instance's own group; NULL: that group */
	int stdio[3];            /* unless process->terminal */
	bool die_with_parent;
};
struct backend_exec_result {
	pid_t pid;               /* a child of the caller; exits with the process's status, 128+n for a signal */
	int pidfd, console_fd;   /* console_fd: the terminal's master, -1 without */
	int event_fd;            /* as of an instance: ERROR when it could not be executed, then 125, 126 or 127 */
};

/* A process of an instance, as its own kernel sees it (VM) or the host does (container). */
struct backend_process {
	uint64_t pid, parent, uid;
	uint64_t cpu_us, start_ns; /* start: wall clock */
	char *command;           /* its arguments, joined by spaces; "[name]" if it has none */
};
void backend_processes_free(struct backend_process *processes, size_t n);

struct backend {
	const char *name;
	/* What this host and build can do, as members of the open object in w. Never fails: absence is a finding. */
	void (*probe)(struct json_writer *w);
	/* Refuses, naming the field, whatever this shell cannot enforce on this host. Makes nothing. */
	int (*check)(const struct plan *plan, struct error *err);
	/*
	 * Makes the isolated process, stopped before the workload: pid, cgroup, live handles and whatever delete needs
	 * are set in in (and saved as soon as they exist). stdio[3] become the workload's, unless it has a terminal.
	 * On failure everything made is undone. A detached instance outlives the caller and waits at its FIFO
	 * (instance.h) instead of live.start_fd; from create's return on, state.json names all there is of it. The
	 * hooks prestart, createRuntime and createContainer run in here, each where the specification says.
	 */
	int (*create)(const struct plan *plan, struct instance *in, const int stdio[3], struct error *err);
	/* From any process, if it is detached. Runs startContainer hooks; not poststart, which are the launcher's. */
	int (*start)(struct instance *in, struct error *err);
	/* Sends a signal to the workload. -ESRCH when it is gone. */
	int (*kill)(const struct instance *in, int signo, struct error *err);
	/* After the pid ended, before delete: adds to the report what the host knows (cgroup figures, VMM figures). */
	void (*account)(const struct instance *in, struct report *report);
	/* Ends whatever still runs and removes all that create made, bar in->dir. Idempotent: works from state.json. */
	int (*delete)(const struct instance *in, struct error *err);

	/* Optional: NULL is "unsupported", shown by `features`. All work from state.json, in any process. */
	int (*exec)(const struct instance *in, const struct plan *plan, const struct backend_exec *exec,
			struct backend_exec_result *ret, struct error *err);
	/* Sends a signal to every process of the instance. */
	int (*kill_all)(const struct instance *in, int signo, struct error *err);
	int (*pause)(const struct instance *in, struct error *err);
	int (*resume)(const struct instance *in, struct error *err);
	/* Binds the new limits: resources holds all of them, the unchanged ones too. On failure the old ones hold. */
	int (*update)(const struct instance *in, const struct plan *plan, const struct plan_resources *resources,
			struct error *err);
	/*
	 * inside: as the workload's own kernel counts. outside: what the host pays (VM; else zero); also when the
	 * inside cannot be known. Both are the caller's.
	 */
	int (*stats)(const struct instance *in, struct stats *ret_inside, struct stats *ret_outside, struct error *err);
	/* A VM's machine as the host and the engine see it; the guest is not asked. */
	int (*machine)(const struct instance *in, struct machine_stats *ret, struct error *err);
	/* Writes the instance's whole state to a file, empty and open for both; the workload goes on afterwards. */
	int (*save)(const struct instance *in, int fd, struct error *err);
	int (*processes)(const struct instance *in, struct backend_process **ret, size_t *ret_n, struct error *err);
};

extern const struct backend container_backend, vm_backend;

#endif
