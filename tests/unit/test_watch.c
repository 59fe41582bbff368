/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watched filters against the real kernel: a child lives under one, this process is its supervisor. Each case says what
 * the child's calls have to come back with, and what is told of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policies/enforce/watch.h"
#include "policies/policy.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/model/plan.h"
#include "tests/unit/tap.h"

#define HEAD "{\"version\":1,\"extends\":null,\"seccomp\":{\"default\":\"allow\",\"rules\":["

struct told {
	struct watch_event events[16];
	size_t n;
	int status; /* of the child */
};

static bool compile(const char *text, struct bytes *ret)
{
	struct policy p = { 0 };
	struct error err;
	int r = policy_parse(text, strlen(text), "t", &p, &err);

	if (r == 0)
		r = seccomp_compile(&p.seccomp, 0, NULL, ret, &err);
	policy_release(&p);
	return r == 0;
}

/* The child's end: 0 if all was as it should be, else the number of the call that was not. */
static void run_child(const struct bytes *program, uint64_t audit, int sock, int (*body)(void))
		__attribute__((noreturn));
static void run_child(const struct bytes *program, uint64_t audit, int sock, int (*body)(void))
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || watch_install(program, audit, 0, sock, "w", 1) < 0)
		_exit(99);
	_exit(body());
}

static void supervise(const struct bytes *program, uint64_t audit, int (*body)(void), bool deaf, struct told *ret)
{
	struct call_watch watch = { .fd = -1 };
	int pair[2], fd = -1;
	char byte;
	pid_t pid;

	*ret = (struct told){ 0 };
	(void)!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	pid = fork();
	if (pid == 0)
		run_child(program, audit, pair[1], body);
	(void)close(pair[1]);
	(void)fd_recv(pair[0], &byte, 1, &fd, 1);
	if (deaf) {
		(void)close(fd);
	} else if (fd >= 0) {
		watch_begin(&watch, fd, program, audit);
		watch.started = true; /* the children here execute nothing */
		for (;;) {
			struct watch_event events[WATCH_MAX];
			struct pollfd p = { .fd = watch.fd, .events = POLLIN };
			int n = poll(&p, 1, 20000) == 1 ? watch_step(&watch, events) : -1;

			for (int i = 0; i < n && ret->n < ARRAY_LEN(ret->events); i++)
				ret->events[ret->n++] = events[i];
			if (n < 0)
				break;
		}
		watch_end(&watch);
	}
	(void)waitpid(pid, &ret->status, 0);
	(void)close(pair[0]);
}

static bool child_good(const struct told *t)
{
	if (WIFEXITED(t->status) && WEXITSTATUS(t->status))
		printf("# the child's call %d came back with another result\n", WEXITSTATUS(t->status));
	return WIFEXITED(t->status) && WEXITSTATUS(t->status) == 0;
}

/* ---- denied ---- */

static int calls_denied(void)
{
	struct msghdr empty = { 0 };

	if (mkdir("/nowhere/x", 0700) == 0 || errno != EROFS)
		return 1;
	if (sendmsg(-1, &empty, 0) == 0 || errno != ENOTCONN)
		return 2;
	if (syscall(SYS_seccomp, 0, 0, 0) == 0 || errno != ENOTTY)
		return 3;
	return access("/", F_OK) == 0 ? 0 : 4;
}

static void test_denied(void)
{
	struct bytes program = { 0 };
	struct told t;

	ok(compile(HEAD "{\"syscalls\":[\"mkdir\"],\"action\":\"errno\",\"errno\":\"EROFS\"},"
			"{\"syscalls\":[\"sendmsg\"],\"action\":\"errno\",\"errno\":\"ENOTCONN\"},"
			"{\"syscalls\":[\"seccomp\"],\"action\":\"errno\",\"errno\":\"ENOTTY\"}]}}", &program),
		"compiled");
	supervise(&program, PLAN_AUDIT(DENIED), calls_denied, false, &t);
	ok(child_good(&t), "denied calls get the errno of the filter, sendmsg and seccomp too");
	ok(t.n == 3 && t.events[0].nr == SYS_mkdir && t.events[0].action == WATCH_DENIED &&
			t.events[0].error == EROFS &&
			!strcmp(t.events[0].path, "/nowhere/x") && t.events[0].arch == AUDIT_ARCH_X86_64,
		"each is told, with its path: %zu", t.n);
	free(program.data);
}

static int calls_unanswered(void)
{
	(void)close_range(3, ~0U, 0); /* our own copy of the descriptor, as exec would */
	if (mkdir("/nowhere/x", 0700) == 0 || errno != ENOSYS)
		return 1;
	return access("/", F_OK) == 0 ? 0 : 2;
}

static void test_fails_closed(void)
{
	struct bytes program = { 0 };
	struct told t;

	(void)compile(HEAD "{\"syscalls\":[\"mkdir\"],\"action\":\"errno\",\"errno\":\"EROFS\"},"
			"{\"syscalls\":[\"chroot\"],\"action\":\"kill\"}]}}", &program);
	supervise(&program, PLAN_AUDIT(DENIED), calls_unanswered, true, &t);
	ok(child_good(&t), "without its supervisor what would be denied is ENOSYS, the rest goes on");
	free(program.data);
}

/* ---- killed ---- */

static int calls_killed(void)
{
	(void)signal(SIGSYS, SIG_IGN);
	(void)!chroot("/nowhere");
	return 1;
}

static void test_killed(void)
{
	struct bytes program = { 0 };
	struct told t;

	(void)compile(HEAD "{\"syscalls\":[\"chroot\"],\"action\":\"kill\"}]}}", &program);
	supervise(&program, PLAN_AUDIT(DENIED), calls_killed, false, &t);
	ok(WIFSIGNALED(t.status) && WTERMSIG(t.status) == SIGKILL, "who makes a call that kills is killed");
	ok(t.n == 1 && t.events[0].nr == SYS_chroot && t.events[0].action == WATCH_KILLED &&
			!strcmp(t.events[0].path, "/nowhere"), "and it is told which call it was");
	free(program.data);
}

#ifdef __x86_64__
static int calls_i386(void)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20), "b"(0) : "memory"); /* getpid */
	return 1;
}

static int calls_x32(void)
{
	return syscall(0x40000000 | SYS_getpid) == 0 ? 1 : 2;
}

static void test_doors(void)
{
	struct bytes program = { 0 };
	struct told t;

	(void)compile(HEAD "{\"syscalls\":[\"chroot\"],\"action\":\"kill\"}]}}", &program);
	supervise(&program, PLAN_AUDIT(DENIED) | PLAN_AUDIT(NETWORK), calls_i386, false, &t);
	ok(WIFSIGNALED(t.status) && t.n == 1 && t.events[0].arch == AUDIT_ARCH_I386 &&
			t.events[0].action == WATCH_KILLED,
		"watched too, i386's door is closed");
	supervise(&program, PLAN_AUDIT(DENIED) | PLAN_AUDIT(LEARN), calls_x32, false, &t);
	ok(WIFSIGNALED(t.status) && t.n >= 1 && t.events[t.n - 1].action == WATCH_KILLED, "and x32's, learning or not");
	free(program.data);
}
#else
static void test_doors(void)
{
	skip("no other doors on this machine");
}
#endif

/* ---- let through, and told ---- */

static int calls_network(void)
{
	struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "/nowhere/s" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&nobody, sizeof nobody) == 0 || errno != ENOENT)
		return 1;
	return connect(fd, (struct sockaddr *)&nobody, sizeof nobody) < 0 && errno == ENOENT ? 0 : 2;
}

static void test_network(void)
{
	struct bytes program = { 0 };
	struct told t;

	supervise(&program, PLAN_AUDIT(DENIED) | PLAN_AUDIT(NETWORK), calls_network, false, &t);
	ok(child_good(&t), "connecting goes on as it would");
	ok(t.n == 2 && t.events[0].action == WATCH_ALLOWED && !strcmp(t.events[0].address, "unix:/nowhere/s"),
		"and each is told, without any filter: %zu", t.n);
}

static int calls_learnt(void)
{
	int fd = open("/etc/../etc/passwd", O_RDONLY);

	if (fd < 0 || open("/etc/passwd", O_RDONLY) < 0)
		return 1;
	if (mkdir("/nowhere/x", 0700) == 0 || errno != ENOENT)
		return 2;
	return getppid() > 0 ? 0 : 3;
}

static void test_learnt(void)
{
	struct bytes program = { 0 };
	unsigned opens = 0, parents = 0;
	struct told t;

	supervise(&program, PLAN_AUDIT(LEARN), calls_learnt, false, &t);
	ok(child_good(&t), "a learnt program runs as it would");
	for (size_t i = 0; i < t.n; i++) {
		opens += !strcmp(t.events[i].path, "/etc/passwd") && t.events[i].access == WATCH_READ &&
			t.events[i].exists;
		parents += t.events[i].nr == SYS_getppid;
	}
	ok(opens == 1 && parents == 1, "each thing is told once, under the path that it really has");
}

static int calls_noted(void)
{
	return getppid() > 0 && access("/", F_OK) == 0 ? 0 : 1;
}

static void test_noted(void)
{
	struct bytes program = { 0 };
	struct told t;
	int status;
	pid_t pid;

	(void)compile(HEAD "{\"syscalls\":[\"getppid\"],\"action\":\"notify\"}]}}", &program);
	supervise(&program, PLAN_AUDIT(DENIED), calls_noted, false, &t);
	ok(child_good(&t) && t.n == 1 && t.events[0].action == WATCH_NOTED, "\"notify\" lets through and tells");
	pid = fork();
	if (pid == 0)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || watch_install_deaf(&program, 0) < 0 ? 9 :
			calls_noted());
	(void)waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "and only lets through where nobody listens");
	free(program.data);
}

static void test_hostile_event(void)
{
	struct watch_event e;

	memset(&e, 0xff, sizeof e);
	memset(e.path, '\n', sizeof e.path);
	watch_event_clean(&e);
	ok(e.action == WATCH_DENIED && e.error == EPERM && !e.is_main && !strchr(e.path, '\n') &&
			strlen(e.path) < sizeof e.path && strlen(e.address) < sizeof e.address,
		"an event from the other side is made one line and in range");
}

int main(void)
{
	test_denied();
	test_fails_closed();
	test_killed();
	test_doors();
	test_network();
	test_learnt();
	test_noted();
	test_hostile_event();
	return tap_done();
}
