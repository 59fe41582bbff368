/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads with small stacks behind a gate: two futex words, one that counts who has arrived and one that opens once.
 * Threads do not touch the heap, or each would get an arena of its own.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vm-backend/threads.h"

enum { STACK_BYTES = 64 << 10 };

/* The process is one machine (engine_kvm.c), so these exist once. */
static uint32_t started, arrived, gate;
static int process;

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

static void *thread_main(void *arg)
{
	static const uint32_t never;
	struct thread *thread = arg;

	thread->id = (int)syscall(SYS_gettid);
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	thread_wake(&arrived);
	thread_wait_while(&gate, 0, 0);
	thread->work(thread->arg);
	thread_wait_while(&never, 0, 0);
	return NULL;
}

int thread_start(struct thread *thread, void (*work)(void *arg), void *arg, struct error *err)
{
	pthread_attr_t attr;
	pthread_t id;
	int r;

	*thread = (struct thread){ work, arg, 0 };
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

void threads_settle(void)
{
	uint32_t now;

	while ((now = __atomic_load_n(&arrived, __ATOMIC_ACQUIRE)) < started)
		thread_wait_while(&arrived, now, 0);
}

void threads_release(void)
{
	__atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
	thread_wake(&gate);
}

/* The process's id does not change, and asking for it is one more system call for the jail. */
void thread_signal(const struct thread *thread, int signo)
{
	(void)syscall(SYS_tgkill, process, thread->id, signo); /* both exist as long as we do */
}
