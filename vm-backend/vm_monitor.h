/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_MONITOR_H
#define BIVALVE_VM_MONITOR_H

#include <signal.h>

#include "runtime/model/instance.h"
#include "runtime/model/plan.h"
#include "vm-backend/engine.h"

/*
 * The monitor: the process that stands for the workload on this host. It starts the machine, joins the workload's
 * streams to its own, passes signals on, and exits with the workload's status.
 */

/* Sent with sigqueue(3) to the monitor, its value is the signal for the workload: how SIGKILL and SIGSTOP get there. */
#define VM_RELAY_SIGNAL (SIGRTMIN + 1)

/* What the monitor gets from the process that forks it; it owns the descriptors. */
struct vm_monitor_start {
	const struct plan *plan;
	const struct vm_engine *engine;
	const char *dir;         /* the instance's folder */
	pid_t parent;            /* dies with it; detached: until released */
	bool detached;
	struct vm_restore restore; /* what the machine goes on from; state_bytes 0: it boots */
	bool prepared;           /* there, the plan's workload is prepared */
	int stdio[3];            /* the workload's; with a terminal stdio[0] is its slave and the others -1 */
	int event_fd;            /* to the supervisor; -1: there is none */
	int start_fd;            /* a byte: go; end of file: never */
	int changes_fd;          /* a regular file that takes the changes, if the plan wants them; else -1 */
	int ready_fd;            /* SOCK_SEQPACKET: struct vm_monitor_ready goes here, the release comes from it */
};

/*
 * What the monitor tells its maker: once whether the machine runs; detached, once more whether the workload is
 * isolated. Then the maker releases a detached one by a byte, VM_MONITOR_RELEASE: from there on it lives on its own.
 * Its end of
 * file without an answer: the monitor died.
 */
struct vm_monitor_ready {
	pid_t machine;           /* 0: it failed, see error */
	struct error error;
};
#define VM_MONITOR_RELEASE 'r'

/* In the folder of a detached instance: why it failed, one line. */
#define VM_MONITOR_ERROR "error"

/* In the folder, once the machine has ended: struct machine_usage. */
#define VM_MONITOR_USAGE "vmm.json"

/* Runs in the forked child, all signals blocked. */
void vm_monitor_run(const struct vm_monitor_start *start) __attribute__((noreturn));

#endif
