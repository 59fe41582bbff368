/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads with small stacks behind a gate that opens in two steps: to lock themselves in, which is counted, and to
 * work.
 * Threads do not touch the heap, or each would get an arena of its own.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vm-backend/threads.h"

enum { STACK_BYTES = 64 << 10 };

/* The process is one machine (engine_kvm.c), so these exist once. */
static uint32_t started, locked, gate;
static int process;
static struct {
	int (*lock)(int kind, const void *arg, struct error *err);
	const void *arg;
	uint32_t failed;        /* atomic: error is taken */
	struct error error;
} locking;

enum { GATE_SHUT, GATE_LOCK, GATE_WORK };

void thread_wait_while(const uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec timeout = { (time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000) };

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns ? &timeout : NULL, NULL, 0) < 0 &&
				errno == ETIMEDOUT)
			return; /* all else is looked at again */
}

void thread_wake(uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); /* cannot fail */
}

static void lock_self(const struct thread *thread)
{
	struct error error = { 0 };

	if (locking.lock(thread->kind, locking.arg, &error) < 0 &&
			!__atomic_exchange_n(&locking.failed, 1, __ATOMIC_ACQ_REL))
		locking.error = error;
	__atomic_fetch_add(&locked, 1, __ATOMIC_RELEASE);
	thread_wake(&locked);
}

static void *thread_main(void *arg)
{
	static const uint32_t never;
	struct thread *thread = arg;

	thread->id = (int)syscall(SYS_gettid);
	(void)prctl(PR_SET_NAME, thread->name, 0, 0, 0); /* only a name */
	thread_wait_while(&gate, GATE_SHUT, 0);
	lock_self(thread);
	thread_wait_while(&gate, GATE_LOCK, 0);
	thread->work(thread->arg);
	thread_wait_while(&never, 0, 0);
	return NULL;
}

int thread_start(struct thread *thread, int kind, const char *name, void (*work)(void *arg), void *arg,
		struct error *err)
{
	pthread_attr_t attr;
	pthread_t id;
	int r;

	*thread = (struct thread){ .work = work, .arg = arg, .kind = kind };
	(void)snprintf(thread->name, sizeof thread->name, "%s", name); /* cut is fine */
	pthread_attr_init(&attr);
	r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r == 0)
		r = pthread_create(&id, &attr, thread_main, thread);
	pthread_attr_destroy(&attr);
	if (r)
		return error_set(err, r, "cannot start a thread");
	started++;
	process = (int)getpid();
	return 0;
}

static void open_gate(uint32_t to)
{
	__atomic_store_n(&gate, to, __ATOMIC_RELEASE);
	thread_wake(&gate);
}

int threads_lock(int (*lock)(int kind, const void *arg, struct error *err), const void *arg, struct error *err)
{
	uint32_t now;

	locking.lock = lock;
	locking.arg = arg;
	open_gate(GATE_LOCK);
	while ((now = __atomic_load_n(&locked, __ATOMIC_ACQUIRE)) < started)
		thread_wait_while(&locked, now, 0);
	if (!locking.failed)
		return 0;
	return error_set(err, locking.error.code, "%s", locking.error.message);
}

void threads_release(void)
{
	open_gate(GATE_WORK);
}

/* The process's id does not change, and asking for it is one more system call for the jail. */
void thread_signal(const struct thread *thread, int signo)
{
	(void)syscall(SYS_tgkill, process, thread->id, signo); /* both exist as long as we do */
}
