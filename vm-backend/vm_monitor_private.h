/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_MONITOR_PRIVATE_H
#define BIVALVE_VM_MONITOR_PRIVATE_H

#include "vm-backend/agent_host.h"
#include "vm-backend/vm_config.h"
#include "vm-backend/vm_control.h"
#include "vm-backend/vm_log.h"
#include "vm-backend/vm_monitor.h"

/* The monitor's own: vm_monitor.c is its loop, vm_monitor_machine.c what it does with its machine. */

struct monitor {
	const struct vm_monitor_start *start;
	struct agent_host agent;
	struct control_server control;
	struct vm_log log;
	int signal_fd, machine_fd, start_fd;
	int dir_fd;              /* the instance's folder, by which it is reached from any root */
	int ready_fd;            /* to the maker, until it has released us; -1 */
	pid_t machine;
	int machine_proc;        /* its folder in /proc, which is not there in the workload's view; -1: not known */
	int saving[2];           /* the machine's control socket, ours and its own until it has it */
	struct vm_machine described; /* what the plan makes of it; lives as long as the process */
	uint64_t spawned_ns, deadline_ns; /* deadline 0: none */
	uint64_t paused_ns;      /* since when the machine is stopped; 0: it runs */
	bool told_isolated;
	bool go;                 /* the start byte has come */
	bool killing;            /* SIGKILL was passed on */
	bool writable;           /* the machine has a disk that it may write */
	bool lost;               /* the agent channel has closed */
	bool finished;
	int exit_status;
};

/* Where the engine's process counts for us (counters.h); NULL: no memory for it, and there is less to report. */
struct vm_counters *monitor_share_counters(void);
/* The process's folder in /proc; -1: not known. */
int monitor_open_proc(pid_t pid);
/* Lets the guest write back what it has not; without a writable disk there is nothing. */
void monitor_power_off(struct monitor *m);
/* Ends the machine and takes its usage: what its threads used is known only as long as it runs. */
void monitor_end_machine(struct monitor *m);

/* Of struct control_ops. */
int monitor_pause(void *owner, bool on, struct error *err);
char *monitor_measure(void *owner);
/* All stands still meanwhile, the monitor too. */
int monitor_save(void *owner, int fd, struct error *err);

#endif
