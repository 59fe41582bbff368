/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_INIT_H
#define BIVALVE_CONTAINER_INIT_H

#include "container-backend/spawn.h"
#include "container-backend/user.h"

/*
 * Messages of the parent to the child it made, one byte each with descriptors beside it. The child answers once: with
 * a struct backend_event, MILESTONE when it is isolated (beside it the terminal's master, then the scratch file system
 * if the plan wants the changes), ERROR when it could not be.
 */
enum child_message {
	CHILD_LOWERS = 'l', /* idmapped lowers, the lowest first, in as many messages as it takes */
	CHILD_MOUNT = 'b',  /* the source of a bind mount, see mounts_is_given(); first of all, in the plan's order */
	CHILD_SCRATCH = 'd', /* the disk for its writes, mounted nowhere yet; after CHILD_MOUNT */
	CHILD_MAPS = 'm',   /* the id maps are written */
	CHILD_GROUPS = 'c', /* the control groups are made: their tasks files */
	CHILD_HOOKS = 'h',  /* prestart and createRuntime have run: the states for the child's own */
	CHILD_RELEASE = 'r', /* state.json names it: its maker may go */
};

struct child {
	const struct spawn_request *request;
	int sock;           /* to the parent */
	bool by_root;       /* its maker is root, where it was made */
	bool in_cgroup;     /* was cloned into its group: no CHILD_GROUPS will come */
};

/* The child's side of container_spawn(), from clone3 to exec. */
void container_child(const struct child *child) __attribute__((noreturn));

/* What is left to do once the child may start: all of it happens in the workload's own process. */
struct workload {
	const struct spawn_request *request;
	struct user user;
	int terminal;       /* the slave, -1: none */
	int proc_fd;        /* the host's /proc, if something has to be asked of it or written to it; -1 */
	int listener_fd;    /* who gets the filter's notifications; -1: nobody */
	int landlock_fd;    /* the ruleset, while the process becomes the workload; -1: none */
	char *hook_state;   /* what startContainer hooks get; NULL: there are none */
};

/* Whether the program is there and may be executed, as far as can be told before privilege falls. */
int workload_find_program(const struct workload *w, struct error *err);
/* Becomes the workload. Failures are told on the event socket and end the process with 125, 126 or 127. */
void workload_run(const struct workload *w) __attribute__((noreturn));
/* setgroups, setgid, setuid. */
int workload_become_user(const struct workload *w, struct error *err);
/* PID 1 of a container whose plan wants one: forks the workload and ends with its status. */
void reaper_run(const struct workload *w) __attribute__((noreturn));

/* Closes every descriptor from `from` up but these (-1: none of them). */
void keep_only(int from, const int *fds, size_t n);
/* The first descriptor that is not the workload's: 3, or after those that it gets from the caller. */
int first_own_fd(const struct plan_process *process);

#endif
