/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, hearing and ending the processes that are measured. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"

enum { KILL_AFTER_MS = 10000, LINE_MAX_BYTES = 65536 };

extern char **environ;

static void stop_signals(sigset_t *set)
{
	(void)sigemptyset(set); /* none of these can fail */
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGHUP);
}

int bench_stop_init(struct bench_stop *s, struct error *err)
{
	sigset_t set;

	stop_signals(&set);
	*s = (struct bench_stop){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), false };
	if (s->fd < 0)
		return error_sys(err, "cannot watch for signals");
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return 0;
}

void bench_stop_release(struct bench_stop *s)
{
	sigset_t set;

	if (s->fd < 0)
		return;
	(void)bench_stopped(s); /* what came is answered: it must not end us now */
	close_cleanup(&s->fd);
	s->fd = -1;
	stop_signals(&set);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

bool bench_stopped(struct bench_stop *s)
{
	struct signalfd_siginfo info;

	while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info)
		s->stopped = true;
	return s->stopped;
}

/* In the child of vfork(): only system calls, nothing of our memory is written. */
static void become(char *const *argv, const struct child_options *o, const int stdio[3])
{
	sigset_t none;

	(void)sigemptyset(&none);
	for (int i = 0; i < 3; i++)
		if (stdio[i] >= 0 && dup2(stdio[i], i) < 0)
			_exit(127);
	if (setpgid(0, 0) < 0 || (o->root && chroot(o->root) < 0) || (o->root && chdir("/") < 0) ||
			(o->cwd && chdir(o->cwd) < 0) || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(127);
	execve(argv[0], argv, o->env ? o->env : environ);
	_exit(127);
}

static pid_t spawn(char *const *argv, const struct child_options *o, const int stdio[3])
{
	pid_t pid = vfork(); /* the cost of copying our page tables is none of what is measured */

	if (pid == 0)
		become(argv, o, stdio);
	return pid;
}

static int open_pipes(const struct child_options *o, struct child *c, int theirs[3])
{
	int fds[2];

	theirs[0] = theirs[1] = -1;
	theirs[2] = o->errors ? fcntl(o->errors, F_DUPFD_CLOEXEC, 3) : -1;
	if (o->errors && theirs[2] < 0)
		return -1;
	if (o->pipes & CHILD_IN) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return -1;
		theirs[0] = fds[0];
		c->in = fds[1];
	} else {
		theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (o->pipes & CHILD_OUT) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return -1;
		c->out = fds[0];
		theirs[1] = fds[1];
	} else {
		theirs[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	}
	return theirs[0] < 0 || theirs[1] < 0 ? -1 : 0;
}

int child_start(char *const *argv, const struct child_options *o, struct child *ret, struct error *err)
{
	struct child c = { .pidfd = -1, .in = -1, .out = -1 };
	int theirs[3], r = 0;

	if (open_pipes(o, &c, theirs) < 0) {
		r = error_sys(err, "cannot make pipes for %s", argv[0]);
	} else {
		c.begin_ns = clock_now_ns();
		c.pid = spawn(argv, o, theirs);
		if (c.pid < 0)
			r = error_sys(err, "cannot start %s", argv[0]);
		else if ((c.pidfd = pidfd_open_pid(c.pid)) < 0)
			r = error_set(err, -c.pidfd, "pidfd_open: %s", strerror(-c.pidfd));
	}
	for (int i = 0; i < 3; i++)
		close_cleanup(&theirs[i]);
	if (r < 0) {
		child_end(&c, 0);
		return r;
	}
	*ret = c;
	return 0;
}

/* Milliseconds until deadline_ns for poll(2): rounded up, at least 0. */
static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	return now >= deadline_ns ? 0 : (int)((deadline_ns - now) / 1000000 + 1);
}

/* What is there of the output. 0: end of file; -EAGAIN: later. */
static ssize_t take(struct child *c, struct strbuf *out)
{
	char buffer[16384];
	ssize_t n = read(c->out, buffer, sizeof buffer);

	if (n > 0 && out)
		strbuf_add(out, buffer, (size_t)n);
	return n < 0 ? -errno : n;
}

static bool collect(struct child *c, int *ret_status)
{
	pid_t got = waitpid(c->pid, ret_status, WNOHANG);

	if (got == 0)
		return false;
	if (got < 0)
		*ret_status = 127 << 8; /* cannot be: it is our child and nobody else waits */
	c->pid = 0;
	return true;
}

int child_wait(struct child *c, struct bench_stop *stop, uint64_t timeout_ms, struct strbuf *out, int *ret_status,
		uint64_t *ret_end_ns)
{
	uint64_t deadline = clock_now_ns() + timeout_ms * 1000000;
	struct pollfd fds[3] = { { .fd = c->pidfd, .events = POLLIN }, { .fd = c->out, .events = POLLIN },
		{ .fd = stop->fd, .events = POLLIN } };

	while (c->pid || fds[1].fd >= 0) {
		int n = poll(fds, ARRAY_LEN(fds), left_ms(deadline));

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && fds[0].revents && c->pid && collect(c, ret_status)) {
			*ret_end_ns = clock_now_ns();
			fds[0].fd = -1;
		}
		if (n > 0 && fds[1].revents && take(c, out) <= 0)
			fds[1].fd = -1;
		if (n > 0 && fds[2].revents && bench_stopped(stop))
			return -EINTR;
	}
	return 0;
}

static char *cut_line(struct strbuf *more)
{
	char *end = more->len ? memchr(more->text, '\n', more->len) : NULL, *line;
	size_t len;

	if (!end)
		return NULL;
	len = (size_t)(end - more->text);
	line = xstrndup(more->text, len);
	more->len -= len + 1;
	memmove(more->text, end + 1, more->len);
	return line;
}

int child_line(struct child *c, struct bench_stop *stop, uint64_t timeout_ms, struct strbuf *more, char **ret_line)
{
	uint64_t deadline = clock_now_ns() + timeout_ms * 1000000;
	struct pollfd fds[2] = { { .fd = c->out, .events = POLLIN }, { .fd = stop->fd, .events = POLLIN } };

	while (!(*ret_line = cut_line(more))) {
		int n = poll(fds, ARRAY_LEN(fds), left_ms(deadline));

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && fds[0].revents && (take(c, more) <= 0 || more->len > LINE_MAX_BYTES))
			return -EPIPE;
		if (n > 0 && fds[1].revents && bench_stopped(stop))
			return -EINTR;
	}
	return 0;
}

static bool ended_within(struct child *c, uint64_t ms)
{
	uint64_t deadline = clock_now_ns() + ms * 1000000;
	int status;

	do {
		struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

		(void)poll(&p, 1, left_ms(deadline)); /* whatever woke us, the child is asked */
		if (collect(c, &status))
			return true;
	} while (clock_now_ns() < deadline);
	return false;
}

void child_end(struct child *c, uint64_t grace_ms)
{
	close_cleanup(&c->in);
	c->in = -1;
	if (c->pid > 0 && c->pidfd >= 0 && !ended_within(c, grace_ms)) {
		(void)pidfd_kill(c->pidfd, SIGTERM); /* ESRCH: it ended meanwhile, which is what we want */
		if (!ended_within(c, KILL_AFTER_MS)) {
			(void)pidfd_kill(c->pidfd, SIGKILL);
			(void)ended_within(c, KILL_AFTER_MS);
		}
	}
	close_cleanup(&c->out);
	close_cleanup(&c->pidfd);
	c->out = c->pidfd = -1;
	c->pid = 0;
}
