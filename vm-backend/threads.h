/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_THREADS_H
#define BIVALVE_VM_THREADS_H

#include "runtime/base/error.h"

/*
 * The VMM's threads. They are made before the jail closes, for afterwards none can be, and wait until it has. In order:
 * thread_start for each, threads_settle, jail_lock, threads_release. A thread whose work returns sleeps for ever; the
 * process ends as a whole.
 */
struct thread {
	void (*work)(void *arg);
	void *arg;
};

/* thread must live as long as the process. */
int thread_start(struct thread *thread, void (*work)(void *arg), void *arg, struct error *err);
/* Returns once every thread does nothing but wait: what a thread does to get started is not for the jail. */
void threads_settle(void);
void threads_release(void);

#endif
