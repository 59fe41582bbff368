/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: programs of the bundle's that run at points of the life cycle.
 *
 * A hook is in a process group of its own, so that its time-out ends what it started too. It gets the state as a sealed
 * memory file: a hook that never reads it cannot hold us up, as it could with a pipe. It has no descriptor of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/hooks.h"

enum { QUOTE_BYTES = 300, EXIT_CHILD = 125 };

struct hook_run {
	const struct plan_hook *hook;
	pid_t pid;
	int pidfd, said_fd;        /* said_fd: what comes out of its standard error */
	int exec_fd;               /* an errno value if it could not be executed, else its end of file */
	char said[QUOTE_BYTES + 1]; /* the end of it */
	size_t n_said;
	bool timed_out;
};

/* A file in memory with the text, at its start. */
static int open_state(const char *state, struct error *err)
{
	int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : fd_write_full(fd, state, strlen(state));

	if (r == 0 && (lseek(fd, 0, SEEK_SET) < 0 ||
			fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0))
		r = -errno;
	if (r == 0)
		return fd;
	close_cleanup(&fd);
	return error_set(err, -r, "cannot keep the state in memory: %s", strerror(-r));
}

static void child(const struct plan_hook *hook, int state_fd, int said_fd, int exec_fd) __attribute__((noreturn));
static void child(const struct plan_hook *hook, int state_fd, int said_fd, int exec_fd)
{
	char *alone[] = { hook->path, NULL };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), code;
	sigset_t none;

	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL); /* KILL, STOP and the C library's own cannot: nor could they be changed */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	exec_fd = fcntl(exec_fd, F_DUPFD_CLOEXEC, 16); /* above what dup2 is about to replace */
	said_fd = fcntl(said_fd, F_DUPFD_CLOEXEC, 16);
	state_fd = fcntl(state_fd, F_DUPFD_CLOEXEC, 16);
	if (dup2(state_fd, 0) == 0 && dup2(null >= 0 ? null : said_fd, 1) == 1 && dup2(said_fd, 2) == 2) {
		(void)syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC); /* ours are so already */
		execve(hook->path, hook->args && hook->args[0] ? hook->args : alone, hook->env ? hook->env : environ);
	}
	code = errno;
	(void)!write(exec_fd, &code, sizeof code);
	_exit(EXIT_CHILD);
}

static int start(struct hook_run *h, const char *state, struct error *err)
{
	_cleanup_close_ int state_fd = open_state(state, err), said_write = -1, exec_write = -1;
	int said[2], ends[2];

	if (state_fd < 0)
		return state_fd;
	if (pipe2(said, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make a pipe");
	h->said_fd = said[0];
	said_write = said[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make a pipe");
	h->exec_fd = ends[0];
	exec_write = ends[1];
	(void)fd_set_nonblock(h->said_fd, true); /* cannot fail on a pipe of ours */
	h->pid = fork();
	if (h->pid == 0)
		child(h->hook, state_fd, said_write, exec_write);
	if (h->pid < 0)
		return error_sys(err, "cannot fork");
	(void)setpgid(h->pid, h->pid); /* both sides do it: whichever is first. EACCES: it has executed already */
	h->pidfd = pidfd_open_pid(h->pid);
	return h->pidfd < 0 ? error_set(err, -h->pidfd, "cannot open its pidfd: %s", strerror(-h->pidfd)) : 0;
}

/* Keeps the last QUOTE_BYTES of what is there. False at the end of file. */
static bool listen_once(struct hook_run *h)
{
	char buffer[4096];
	ssize_t n = read(h->said_fd, buffer, sizeof buffer);
	size_t len = n > 0 ? (size_t)n : 0, from = len > QUOTE_BYTES ? len - QUOTE_BYTES : 0, keep;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	len -= from;
	keep = h->n_said + len > QUOTE_BYTES ? QUOTE_BYTES - len : h->n_said;
	memmove(h->said, h->said + h->n_said - keep, keep);
	memcpy(h->said + keep, buffer + from, len);
	h->n_said = keep + len;
	return true;
}

static int poll_timeout(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	if (deadline_ns == 0)
		return -1;
	if (now >= deadline_ns)
		return 0;
	return (deadline_ns - now) / 1000000 >= 1000000 ? 1000000 : (int)((deadline_ns - now) / 1000000 + 1);
}

/* Until the process ends: what it left behind may hold its standard error open for ever. */
static void watch(struct hook_run *h)
{
	struct pollfd fds[2] = { { .fd = h->pidfd, .events = POLLIN }, { .fd = h->said_fd, .events = POLLIN } };
	uint64_t deadline_ns = h->hook->timeout_s && h->hook->timeout_s < UINT32_MAX ?
		clock_now_ns() + h->hook->timeout_s * 1000000000 : 0;

	for (;;) {
		int n = poll(fds, 2, poll_timeout(deadline_ns));

		if (deadline_ns && clock_now_ns() >= deadline_ns && !fds[0].revents) {
			h->timed_out = true;
			(void)kill(-h->pid, SIGKILL); /* not reaped yet: the number is still its group's */
			deadline_ns = 0;
		}
		if (n <= 0)
			continue;
		if (fds[1].revents && !listen_once(h))
			fds[1].fd = -1;
		if (fds[0].revents)
			break;
	}
	for (int i = 0; fds[1].fd >= 0 && i < 64 && listen_once(h); i++)
		; /* what lies in the pipe still, but not for ever */
}

static int verdict(struct hook_run *h, int status, struct error *err)
{
	int code;

	h->said[h->n_said] = '\0';
	while (h->n_said && strchr("\n\r ", h->said[h->n_said - 1]))
		h->said[--h->n_said] = '\0';
	if (fd_read_full(h->exec_fd, &code, sizeof code) == (ssize_t)sizeof code)
		return error_set(err, code, "cannot be executed: %s", strerror(code));
	if (h->timed_out)
		return error_set(err, ETIMEDOUT, "took longer than its %ju s%s%s", (uintmax_t)h->hook->timeout_s,
				h->n_said ? ": " : "", h->said);
	if (WIFSIGNALED(status))
		return error_set(err, ECHILD, "ended by signal %d%s%s", WTERMSIG(status), h->n_said ? ": " : "",
				h->said);
	return WEXITSTATUS(status) == 0 ? 0 : error_set(err, ECHILD, "exit status %d%s%s", WEXITSTATUS(status),
			h->n_said ? ": " : "", h->said);
}

int hooks_run_one(const struct plan_hook *hook, const char *input, struct error *err)
{
	struct hook_run h = { .hook = hook, .pidfd = -1, .said_fd = -1, .exec_fd = -1 };
	int status = 0, r;

	r = hook->path && hook->path[0] == '/' ? start(&h, input, err) : error_set(err, EINVAL, "not an absolute path");
	if (r == 0)
		watch(&h);
	else if (h.pid > 0)
		(void)kill(-h.pid, SIGKILL);
	while (h.pid > 0 && waitpid(h.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0)
		r = verdict(&h, status, err);
	close_cleanup(&h.pidfd);
	close_cleanup(&h.said_fd);
	close_cleanup(&h.exec_fd);
	return r;
}

int hooks_run(const struct plan *plan, enum plan_hook_stage stage, const char *state, struct error *err)
{
	const struct plan_hook *hooks;
	size_t n = plan_hooks_of(plan, stage, &hooks);
	bool go_on = stage == HOOK_POSTSTART || stage == HOOK_POSTSTOP;
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		struct error *into = first == 0 ? err : NULL; /* the first failure is the one to tell */
		int r = hooks_run_one(&hooks[i], state, into);

		if (r < 0 && first == 0) {
			(void)error_prefix(err, "hooks.%s[%zu] %s", plan_hook_stage_name(stage), i,
					hooks[i].path ? hooks[i].path : "(no path)");
			first = r;
		}
		if (r < 0 && !go_on)
			break;
	}
	return first;
}
