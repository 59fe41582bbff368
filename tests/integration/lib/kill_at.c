/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_at N PROGRAM [ARG…]: runs PROGRAM and kills it as it enters its N-th system call; N 0: never. Its children are
 * left
 * alone. Prints how many it entered, and exits 0 when it was killed, else as it did.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* On to the next stop. False: it has ended. */
static int step(pid_t pid, int signo, int *ret_status)
{
	if (ptrace(PTRACE_SYSCALL, pid, 0, signo) < 0 && errno != ESRCH)
		return 0;
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return WIFSTOPPED(*ret_status);
}

int main(int argc, char **argv)
{
	long wanted = argc > 2 ? strtol(argv[1], NULL, 10) : -1, count = 0;
	int status, signo = 0, entering = 1;
	pid_t pid;

	if (wanted < 0)
		return fprintf(stderr, "usage: kill_at N PROGRAM [ARG…]\n"), 125;
	pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 && raise(SIGSTOP) == 0)
			execv(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 ||
			ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return perror("kill_at"), 125;
	while (step(pid, signo, &status)) {
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) { /* a signal of its own; the one after execve is ours */
			signo = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
			continue;
		}
		signo = 0;
		if (entering && ++count == wanted)
			(void)kill(pid, SIGKILL); /* the call is not made */
		entering = !entering;
	}
	printf("%ld\n", count);
	if (wanted && count >= wanted)
		return 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
