/* SPDX-License-Identifier: Apache-2.0 */
/* Making processes and threads, and switching between them. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/helper/helper.h"

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (status) {
		errno = ECHILD;
		return -1;
	}
	return 0;
}

static int fork_batch(void *state, uint64_t n)
{
	while (n--) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || reap(pid) < 0)
			return -1;
	}
	return 0;
}

static int exec_batch(void *state, uint64_t n)
{
	while (n--) {
		pid_t pid = fork();

		if (pid == 0) {
			execl("/proc/self/exe", "bivalve-bench", "true", (char *)NULL);
			_exit(127);
		}
		if (pid < 0 || reap(pid) < 0)
			return -1;
	}
	return 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int thread_batch(void *state, uint64_t n)
{
	while (n--) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, nothing, NULL);
		if (errno)
			return -1;
		(void)pthread_join(thread, NULL); /* it is ours and joinable */
	}
	return 0;
}

/* n times there and back. */
static int ping_batch(void *state, uint64_t n)
{
	const int *fds = state;
	char byte = 0;

	while (n--)
		if (write(fds[0], &byte, 1) != 1 || read(fds[1], &byte, 1) != 1)
			return -1;
	return 0;
}

static void echo_forever(int from, int to)
{
	char byte;

	while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1)
		;
	_exit(0);
}

static int measured(uint64_t ms, int (*batch)(void *, uint64_t), const char *what, struct outcome *ret)
{
	double ns;

	return helper_measure_usual(ms, batch, NULL, &ns) < 0 ? outcome_fail(ret, what) : outcome_value(ret, ns / 1e3);
}

static int run_fork(uint64_t ms, const char *arg, struct outcome *ret)
{
	return measured(ms, fork_batch, "fork", ret);
}

static int run_exec(uint64_t ms, const char *arg, struct outcome *ret)
{
	return measured(ms, exec_batch, "fork and exec of /proc/self/exe", ret);
}

static int run_thread(uint64_t ms, const char *arg, struct outcome *ret)
{
	return measured(ms, thread_batch, "pthread_create", ret);
}

/* Both on one processor, or it would be a figure of waking an idle one. */
static int stay_on_one(cpu_set_t *ret_before)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	if (cpu < 0 || sched_getaffinity(0, sizeof *ret_before, ret_before) < 0)
		return -1;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	return sched_setaffinity(0, sizeof one, &one);
}

static int run_switch(uint64_t ms, const char *arg, struct outcome *ret)
{
	int there[2], back[2], fds[2], r;
	cpu_set_t before;
	double ns = 0;
	pid_t pid;

	if (pipe(there) < 0 || pipe(back) < 0)
		return outcome_fail(ret, "pipe"); /* out of descriptors: what one pipe took does not matter any more */
	if (stay_on_one(&before) < 0)
		return outcome_fail(ret, "sched_setaffinity");
	pid = fork();
	if (pid == 0) {
		(void)close(there[1]); /* else it would never see our end */
		echo_forever(there[0], back[1]);
	}
	fds[0] = there[1];
	fds[1] = back[0];
	r = pid < 0 ? outcome_fail(ret, "fork") : helper_measure_usual(ms, ping_batch, fds, &ns);
	if (pid > 0 && r < 0)
		(void)outcome_fail(ret, "pipe");
	(void)close(there[1]);
	if (pid > 0)
		(void)reap(pid); /* it ends by the end of file */
	(void)close(there[0]);
	(void)close(back[0]);
	(void)close(back[1]);
	(void)sched_setaffinity(0, sizeof before, &before); /* what it was */
	return r < 0 ? -1 : outcome_value(ret, ns / 2 / 1e3);
}

const struct workload process_workloads[] = {
	{ "fork-exit", "us", run_fork },
	{ "fork-exec", "us", run_exec },
	{ "thread", "us", run_thread },
	{ "context-switch", "us, one of the two of a round trip by pipes", run_switch },
	{ NULL, NULL, NULL },
};
