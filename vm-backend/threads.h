/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_THREADS_H
#define BIVALVE_VM_THREADS_H

#include <stdint.h>

#include "runtime/base/error.h"

/*
 * The VMM's threads. They are made before the jail closes, for afterwards none can be, and wait until it has. In order:
 * thread_start for each, threads_lock, threads_release. A thread whose work returns sleeps for ever; the process ends
 * as a whole.
 */
struct thread {
	void (*work)(void *arg);
	void *arg;
	int kind;
	int id;                 /* as the kernel counts, once locked */
	char name[16];          /* in /proc/PID/task/ID/comm */
};

/* thread must live as long as the process. kind is for threads_lock; name is cut if it is too long. */
int thread_start(struct thread *thread, int kind, const char *name, void (*work)(void *arg), void *arg,
		struct error *err);
/*
 * Every thread calls lock for itself, with its kind, once it does nothing but wait. Returns when all have, with the
 * error of one that failed.
 */
int threads_lock(int (*lock)(int kind, const void *arg, struct error *err), const void *arg, struct error *err);
void threads_release(void);

/* Sends a signal to one thread. */
void thread_signal(const struct thread *thread, int signo);
/* Sleeps while *word is value, at most timeout_ns (0: for ever); after a change of *word wake whoever waits. */
void thread_wait_while(const uint32_t *word, uint32_t value, uint64_t timeout_ns);
void thread_wake(uint32_t *word);

#endif
