/* SPDX-License-Identifier: Apache-2.0 */
/* Other processes, other namespaces, and what processes share: keys, System V memory, terminals. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

static struct result see_host_process(const struct settings *settings)
{
	char path[64];

	if (is_canary(settings, settings->pid))
		return reached_host("its name in /proc");
	(void)snprintf(path, sizeof(path), "/proc/%ld", settings->pid);
	if (access(path, F_OK) < 0)
		return blocked(errno, "no such process in /proc");
	return blocked(0, "that number is another's");
}

/* SIGUSR1 would end the canary. A process in here that happens to have its number must not get it. */
static struct result signal_host_process(const struct settings *settings)
{
	bool another = kill((pid_t)settings->pid, 0) == 0 && !is_canary(settings, settings->pid);
	int fd;

	if (another)
		return blocked(ESRCH, "that number is another's");
	fd = (int)syscall(SYS_pidfd_open, settings->pid, 0);
	if (fd >= 0)
		close(fd);
	if (kill((pid_t)settings->pid, settings->timid ? 0 : SIGUSR1) < 0)
		return blocked(errno, "kill");
	return reached_host("kill");
}

static struct result trace_other_sandbox(const struct settings *settings)
{
	char byte, path[64];
	struct iovec here = { &byte, 1 }, there = { (void *)0x400000, 1 };
	int error, fd;

	if (!settings->victim)
		return not_run("no other sandbox");
	if (kill((pid_t)settings->victim, 0) == 0 && !is_canary(settings, settings->victim) && geteuid() == 0)
		return blocked(ESRCH, "that number is another's");
	if (ptrace(PTRACE_SEIZE, (pid_t)settings->victim, NULL, NULL) == 0)
		return reached_host("ptrace");
	error = errno;
	if (process_vm_readv((pid_t)settings->victim, &here, 1, &there, 1, 0) >= 0)
		return reached_host("process_vm_readv");
	(void)snprintf(path, sizeof(path), "/proc/%ld/mem", settings->victim);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? reached_host("/proc/PID/mem") : blocked(error, "ptrace, process_vm_readv and /proc");
}

/* Process 1 is the launcher's: what it is called with, and its memory. */
static struct result launcher_environment(const struct settings *settings)
{
	char text[16384];
	ssize_t n = read_text("/proc/1/environ", text, sizeof(text));

	if (n < 0)
		return blocked((int)-n, "/proc/1/environ");
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(text + i) + 1)
		if (strstr(text + i, settings->token))
			return reached_host("/proc/1/environ has the launcher's environment");
	return blocked(0, "/proc/1/environ says nothing of the launcher's");
}

static struct result trace_launcher(const struct settings *settings)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)0x400000, 1 };
	int error, fd;

	if (strcmp(settings->on, "host") == 0)
		return not_run("process 1 is not the launcher's");
	if (ptrace(PTRACE_SEIZE, 1, NULL, NULL) == 0)
		return allowed("ptrace of process 1");
	error = errno;
	if (process_vm_readv(1, &here, 1, &there, 1, 0) >= 0)
		return allowed("process_vm_readv of process 1");
	fd = open("/proc/1/mem", O_RDWR | O_CLOEXEC);
	return fd >= 0 ? allowed("/proc/1/mem") : blocked(error, "ptrace, process_vm_readv and /proc/1/mem");
}

/* A child of one's own is nobody else's, but the call is a wide one. */
static struct result trace_child(const struct settings *settings)
{
	pid_t pid = fork();
	struct result result;

	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0)
		return blocked(errno, "fork");
	result = verdict(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0, "ptrace of a child");
	kill(pid, SIGKILL);
	return result;
}

static struct result new_user_namespace(const struct settings *settings)
{
	return verdict(unshare(CLONE_NEWUSER), 0, "unshare(CLONE_NEWUSER)");
}

static struct result clone3_user_namespace(const struct settings *settings)
{
	struct clone_args arguments = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid == 0)
		_exit(0);
	return verdict(pid, 0, "clone3(CLONE_NEWUSER)");
}

/* Process 1's namespaces: in a sandbox its own, unless something leads to the host's. */
static struct result enter_namespaces(const struct settings *settings)
{
	const struct { const char *name, *host; } spaces[] = {
		{ "mnt", settings->mnt }, { "net", settings->net }, { "pid", settings->pid_ns },
		{ "user", settings->user },
	};
	struct result result = blocked(0, "no namespace");

	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		char path[64], link[64] = "";
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/1/ns/%s", spaces[i].name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			result = blocked(errno, "%s", path);
			continue;
		}
		if (readlink(path, link, sizeof(link) - 1) < 0)
			link[0] = '\0';
		if (setns(fd, 0) < 0)
			result = blocked(errno, "setns to %s", path);
		else if (strcmp(link, spaces[i].host) == 0 && strcmp(settings->on, "vm") != 0)
			return reached_host("setns to %s", path);
		else
			result = allowed("setns to %s, its own", path);
		close(fd);
		if (result.outcome == OUTCOME_ALLOWED)
			return result;
	}
	return result;
}

/* Input pushed into a terminal is read by whoever reads it next, say the shell that started the sandbox. */
static struct result push_terminal_input(const struct settings *settings)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), fd;
	char byte = 'x', *name;

	if (terminal < 0 || unlockpt(terminal) < 0 || !(name = ptsname(terminal)))
		return blocked(errno, "a terminal of its own");
	fd = open(name, O_RDWR | O_CLOEXEC); /* becomes the controlling one: each probe has a session of its own */
	if (fd < 0)
		return blocked(errno, "opening it");
	if (syscall(SYS_ioctl, fd, TIOCSTI | 1UL << 32, &byte) == 0) /* the kernel reads 32 bits, a filter sees 64 */
		return allowed("ioctl(TIOCSTI | 1 << 32)");
	return verdict(ioctl(fd, TIOCSTI, &byte), 0, "ioctl(TIOCSTI)");
}

/* The terminal from which the launcher was started, as a descriptor or as the one that controls the session. */
static struct result host_terminal(const struct settings *settings)
{
	int fds[] = { 0, 1, 2, open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY) };
	int error = ENOTTY;
	char byte = 'x';

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (!settings->timid)
			(void)ioctl(fds[i], TIOCSCTTY, 0); /* if it is a terminal that nobody holds */
		if (ioctl(fds[i], TIOCSTI, &byte) == 0)
			return reached_host("ioctl TIOCSTI on %s", i == 3 ? "/dev/tty" : "a standard descriptor");
		error = errno == EBADF || errno == ENOTTY ? error : errno;
	}
	return blocked(error, "ioctl TIOCSTI on the standard descriptors and /dev/tty");
}

static struct result read_host_key(const struct settings *settings)
{
	char text[128] = "";
	long own, n;

	own = syscall(SYS_add_key, "user", "probe", "x", 1, -2 /* the process's key ring */);
	if (own < 0)
		return blocked(errno, "add_key");
	n = syscall(SYS_keyctl, 11 /* KEYCTL_READ */, settings->key, text, sizeof(text) - 1);
	if (n > 0 && strstr(text, settings->token))
		return reached_host("keyctl reads a key of the host");
	return allowed("a key of its own");
}

static struct result attach_host_memory(const struct settings *settings)
{
	int id = shmget((key_t)settings->shm, 0, 0);
	const char *text;

	if (!settings->shm)
		return not_run("no segment on the host");
	if (id < 0)
		return blocked(errno, "shmget");
	text = shmat(id, NULL, SHM_RDONLY);
	if (text == (void *)-1)
		return blocked(errno, "shmat");
	return strstr(text, settings->token) ? reached_host("a System V segment of the host") : allowed("some segment");
}

static struct result realtime(const struct settings *settings)
{
	struct sched_param parameters = { .sched_priority = 1 };
	struct result result = verdict(sched_setscheduler(0, SCHED_FIFO, &parameters), 0, "SCHED_FIFO");

	return result;
}

static struct result protect_from_oom(const struct settings *settings)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return blocked(errno, "oom_score_adj");
	return verdict(write(fd, "-1000", 5), 0, "oom_score_adj -1000");
}

const struct probe process_probes[] = {
	{ "see-host-process", see_host_process, 0 },
	{ "signal-host-process", signal_host_process, 0 },
	{ "trace-other-sandbox", trace_other_sandbox, 0 },
	{ "launcher-environment", launcher_environment, 0 },
	{ "trace-launcher", trace_launcher, 0 },
	{ "trace-child", trace_child, 0 },
	{ "new-user-namespace", new_user_namespace, 0 },
	{ "clone3-user-namespace", clone3_user_namespace, 0 },
	{ "enter-namespaces", enter_namespaces, 0 },
	{ "push-terminal-input", push_terminal_input, 0 },
	{ "host-terminal", host_terminal, 0 },
	{ "read-host-key", read_host_key, 0 },
	{ "attach-host-memory", attach_host_memory, 0 },
	{ "realtime", realtime, 0 },
	{ "protect-from-oom", protect_from_oom, 0 },
	{ NULL, NULL, 0 },
};
