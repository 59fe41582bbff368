/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_JAIL_H
#define BIVALVE_VM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/error.h"
#include "vm-backend/engine.h"

/* The jail around the VMM's process; jail.c and jail_filter.c tell how it is built. In this order: */

/*
 * Keeps the descriptors in keep (-1 is skipped) and closes all others; 0, 1 and 2 become /dev/null where not kept.
 * To be called before anything is opened, so that from then on every descriptor is one that the VMM made or was given.
 */
int jail_close_fds(const int *keep, size_t n, struct error *err);

/*
 * For a VMM that serves host directories: what of them to serve, and afterwards the descriptors to do it with. Its root
 * is then the share tree (shares.h), and it keeps the few capabilities and system calls that files of others need.
 */
struct jail_shares {
	const struct vm_share *shares;
	size_t n;
	int root_fd;            /* the share tree */
	int proc_fd;            /* /proc/self/fd and nothing else of procfs */
};

/*
 * Takes from a process with one thread: its view of the host, its identity, privilege, environment. parent is who
 * must be alive. max_file_bytes: how large files may become by its writes. shares NULL: none.
 */
int jail_enter(pid_t parent, uint64_t max_file_bytes, struct jail_shares *shares, struct error *err);

/* What the descriptors are that only some calls may use. */
struct jail_fds {
	int agent_fd, event_fd, sync_fd;
	int control_fd;         /* to be saved by; -1: none */
	int network_fd;         /* -1: no network card */
};

/* Who makes which system calls: the table in jail_filter.c. */
enum jail_thread { JAIL_MAIN, JAIL_VCPU, JAIL_DISK, JAIL_NETWORK, JAIL_SHARES };

/* Takes from the calling thread, and no other, all system calls but those that its kind makes in a running machine. */
int jail_lock(const struct jail_fds *fds, enum jail_thread thread, struct error *err);

#endif
