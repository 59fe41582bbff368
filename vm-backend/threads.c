/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads with small stacks behind a gate. The gate is a futex word that is opened once.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/threads.h"

enum { STACK_BYTES = 64 << 10 };

static uint32_t gate; /* 0: closed. One process, one machine: see engine_kvm.c */

struct start {
	void (*work)(void *arg);
	void *arg;
};

static void wait_while(const uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); /* looked at again anyway */
}

static void *thread_main(void *arg)
{
	static const uint32_t never;
	struct start start = *(struct start *)arg;

	free(arg);
	wait_while(&gate, 0);
	start.work(start.arg);
	wait_while(&never, 0);
	return NULL;
}

int thread_start(void (*work)(void *arg), void *arg, struct error *err)
{
	struct start *start = xmemdup(&(struct start){ work, arg }, sizeof *start);
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r == 0)
		r = pthread_create(&thread, &attr, thread_main, start);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	free(start);
	return error_set(err, r, "cannot start a thread");
}

void threads_release(void)
{
	__atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); /* cannot fail */
}
