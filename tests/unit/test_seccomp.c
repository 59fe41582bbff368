/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: children that install them and try calls, the other doors to the kernel (i386, x32), arguments, the rules'
 * order. Their neighbours: test_seccomp_rules, _cache, _profile.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/filters.h"

static const char *compile_error(const char *text)
{
	static struct error err;
	struct policy p = { 0 };
	struct bytes program = { 0 };

	err = (struct error){ 0 };
	if (policy_parse(text, strlen(text), "policy", &p, &err) == 0 &&
		seccomp_compile(&p.seccomp, 0, NULL, &program, &err) == 0)
		free(program.data);
	policy_release(&p);
	return err.message;
}

/* Runs fn in a child under the program; returns its wait status. */
static int in_child(const struct bytes *program, int (*fn)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_install(program) < 0)
			_exit(99);
		_exit(fn());
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool exited(int status, int code)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static bool killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* ---- what the children try; 0 is as expected ---- */

static int try_ordinary(void)
{
	char buf[16];
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || write(fds[1], "x", 1) != 1 || read(fds[0], buf, 1) != 1)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(7);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
		return 2;
	return getppid() > 0 && open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ? 0 : 3;
}

static int expect_errno(long r, int error, int code)
{
	return r == -1 && errno == error ? 0 : code;
}

static int try_denied(void)
{
	int bad = 0;

	bad |= expect_errno(syscall(SYS_mount, "a", "/", "b", 0, NULL), EPERM, 1);
	bad |= expect_errno(syscall(SYS_unshare, CLONE_NEWUSER), EPERM, 2);
	bad |= expect_errno(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM, 4);
	bad |= expect_errno(syscall(SYS_clone3, NULL, 0), ENOSYS, 8);
	bad |= expect_errno(socket(AF_VSOCK, SOCK_STREAM, 0), EAFNOSUPPORT, 16);
	bad |= expect_errno(syscall(SYS_bpf, 0, NULL, 0), EPERM, 32);
	bad |= expect_errno(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS, 64);
	return bad;
}

static int try_high_bits(void)
{
	/* The kernel takes the family from 32 bits: what stands above must not hide it from the filter. */
	return expect_errno(syscall(SYS_socket, UINT64_C(0x100000000) | AF_VSOCK, SOCK_STREAM, 0),
		EAFNOSUPPORT, 1);
}

static int try_unknown(void)
{
	return expect_errno(syscall(1000), ENOSYS, 1);
}

#ifdef __x86_64__
static int try_i386(void)
{
	long r;

	/* getpid is 20 there and writev is 20 here. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	return r > 0 ? 1 : 2; /* any return is wrong: the filter ends the process */
}

static int try_x32(void)
{
	return syscall(X32_BIT | SYS_getpid) > 0 ? 1 : 2;
}
#endif

static void test_children(void)
{
	_cleanup_free_ uint8_t *owned = NULL, *strict_owned = NULL;
	struct bytes program = compile_policy("default", 0), strict = compile_policy("strict", 0);

	owned = program.data;
	strict_owned = strict.data;
	ok(program.len > 0 && strict.len > 0,
		"default and strict compile: %zu and %zu instructions",
		program.len / sizeof(struct sock_filter), strict.len / sizeof(struct sock_filter));
	if (exited(in_child(&program, try_ordinary), 99)) {
		skip("filters cannot be installed here (valgrind has no seccomp)");
		return;
	}
	ok(exited(in_child(&program, try_ordinary), 0), "default: pipes, fork, open work");
	ok(exited(in_child(&strict, try_ordinary), 0), "strict: pipes, fork, open work");
	ok(exited(in_child(&program, try_denied), 0), "default: privileged calls give their errno");
	ok(exited(in_child(&program, try_high_bits), 0),
		"default: high bits do not hide a socket family");
	ok(exited(in_child(&strict, try_high_bits), 0), "strict: nor there");
	ok(exited(in_child(&program, try_unknown), 0), "default: an unknown call is ENOSYS");
#ifdef __x86_64__
	ok(killed(in_child(&program, try_i386)), "default: int 0x80 ends the process");
	ok(killed(in_child(&program, try_x32)), "default: an x32 call ends the process");
	ok(killed(in_child(&strict, try_i386)), "strict: int 0x80 ends the process");
	ok(killed(in_child(&strict, try_x32)), "strict: an x32 call ends the process");
#endif
}

static void test_doors(void)
{
	_cleanup_free_ uint8_t *owned = NULL;
	struct bytes program = compile_policy("default", UINT64_MAX);
	const uint64_t none[6] = { 0 };
	bool i386 = true, x32 = true;

	owned = program.data;
	for (long nr = 0; nr < 600; nr++) {
		i386 = i386 &&
		       ask6(&program, AUDIT_ARCH_I386, nr, none) == SECCOMP_RET_KILL_PROCESS;
		x32 = x32 && ask6(&program, AUDIT_ARCH_X86_64, X32_BIT | nr, none) ==
				     SECCOMP_RET_KILL_PROCESS;
	}
	ok(i386, "no i386 call gets past, with every capability");
	ok(x32, "no x32 call gets past, with every capability");
	ok(ask(&program, SYS_mount, 0, 0, 0) == SECCOMP_RET_ALLOW &&
			ask(&program, SYS_clone3, 0, 0, 0) == SECCOMP_RET_ALLOW &&
			ask(&program, SYS_clone, CLONE_NEWUSER, 0, 0) == SECCOMP_RET_ALLOW,
		"with CAP_SYS_ADMIN mount, clone3 and new namespaces are allowed");
	ok(ask(&program, SYS_socket, AF_ALG, 0, 0) == ERRNO(EAFNOSUPPORT), "but not AF_ALG");
}

static void test_default_arguments(void)
{
	static const uint64_t flags[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
		CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
	_cleanup_free_ uint8_t *owned = NULL;
	struct bytes p = compile_policy("default", 0);
	bool all = true, sockets = true;

	owned = p.data;
	for (size_t i = 0; i < 1U << ARRAY_LEN(flags); i++) {
		uint64_t set = CLONE_VM | CLONE_FILES | SIGCHLD;
		uint32_t want;

		for (size_t b = 0; b < ARRAY_LEN(flags); b++)
			set |= i >> b & 1 ? flags[b] : 0;
		want = i ? ERRNO(EPERM) : SECCOMP_RET_ALLOW;
		all = all && ask(&p, SYS_clone, set, 0, 0) == want &&
		      ask(&p, SYS_unshare, set, 0, 0) == want;
	}
	ok(all, "clone and unshare: EPERM for each set of namespaces, allowed without");
	ok(ask(&p, SYS_unshare, 0x80, 0, 0) == ERRNO(EPERM),
		"unshare of a time namespace is EPERM");
	for (uint64_t family = 0; family < 46; family++) {
		uint32_t want = family == AF_VSOCK || family == AF_ALG ? ERRNO(EAFNOSUPPORT)
								       : SECCOMP_RET_ALLOW;

		sockets = sockets && ask(&p, SYS_socket, family, SOCK_STREAM, 0) == want &&
			  ask(&p, SYS_socket, family | UINT64_C(0xdead) << 32, SOCK_STREAM, 0) ==
				  want;
	}
	ok(sockets, "socket: every family but vsock and alg, whatever the high bits");
	ok(ask(&p, SYS_socket, AF_NETLINK, SOCK_RAW, 9) == ERRNO(EINVAL),
		"the audit socket is EINVAL");
	ok(ask(&p, SYS_personality, 0xffffffff, 0, 0) == SECCOMP_RET_ALLOW &&
			ask(&p, SYS_personality, 0x0040000, 0, 0) == ERRNO(ENOSYS),
		"personality: asking is allowed, ADDR_NO_RANDOMIZE is not");
}

static void test_strict_arguments(void)
{
	_cleanup_free_ uint8_t *owned = NULL;
	struct bytes p = compile_policy("strict", UINT64_MAX);
	bool sockets = true;

	owned = p.data;
	for (uint64_t family = 0; family < 64; family++) {
		bool good = family == AF_UNIX || family == AF_INET || family == AF_INET6;

		sockets = sockets && ask(&p, SYS_socket, family, SOCK_STREAM, 0) ==
					     (good ? SECCOMP_RET_ALLOW : ERRNO(EAFNOSUPPORT));
	}
	ok(sockets, "strict: unix, inet and inet6 sockets only");
	ok(ask(&p, SYS_ioctl, 0, 0x5401, 0) == SECCOMP_RET_ALLOW &&
			ask(&p, SYS_ioctl, 0, 0x5412, 0) == ERRNO(ENOSYS) &&
			ask(&p, SYS_ioctl, 0, 0x541c, 0) == ERRNO(ENOSYS) &&
			ask(&p, SYS_ioctl, 0, UINT64_C(0x100005412), 0) == ERRNO(ENOSYS),
		"strict: TCGETS, but no TIOCSTI and no TIOCLINUX");
	ok(ask(&p, SYS_ptrace, 0, 0, 0) == ERRNO(EPERM) &&
			ask(&p, SYS_mount, 0, 0, 0) == ERRNO(EPERM),
		"strict: no ptrace, no mount, even with every capability");
}

/* ---- rules: order, contradictions ---- */

#define DOC(rules)                                                                                 \
	"{\"version\":1,\"extends\":null,\"seccomp\":{\"default\":\"errno\",\"errno\":\"ENOSYS\"," \
	"\"rules\":[" rules "]}}"
#define RULE(call, action) "{\"syscalls\":[\"" call "\"],\"action\":\"" action "\"}"
#define COND(call, action, op, value)                                                              \
	"{\"syscalls\":[\"" call "\"],\"action\":\"" action "\",\"arguments\":["                   \
	"{\"index\":0,\"op\":\"" op "\",\"value\":" value "}]}"

static bool gives(const char *doc, long nr, uint64_t a0, uint32_t want)
{
	_cleanup_free_ uint8_t *owned = NULL;
	struct bytes program = compile_policy(doc, 0);

	owned = program.data;
	return program.len > 0 && ask(&program, nr, a0, 0, 0) == want;
}

static void test_order(void)
{
	ok(gives(DOC(RULE("kill", "allow") "," RULE("kill", "errno")), SYS_kill, 0, ERRNO(EPERM)),
		"of two rules without conditions the last one decides");
	ok(gives(DOC(RULE("kill", "errno") "," RULE("kill", "allow")), SYS_kill, 0,
		   SECCOMP_RET_ALLOW),
		"either way");
	ok(gives(DOC(COND("kill", "kill", "eq", "3") "," RULE("kill", "allow")), SYS_kill, 3,
		   SECCOMP_RET_ALLOW),
		"a rule without conditions takes back those before it");
	ok(gives(DOC(COND("kill", "allow", "ne", "3") "," COND("kill", "kill", "eq", "3")),
		   SYS_kill, 3, SECCOMP_RET_KILL_PROCESS),
		"conditions that exclude each other may differ in action");
	ok(strstr(compile_error(DOC(RULE("kill", "allow") "," COND("kill", "kill", "eq", "3"))),
		   "seccomp: kill: two rules"),
		"an exception after a rule for all is refused, not ignored");
	ok(strstr(compile_error(DOC(
			  COND("kill", "allow", "ge", "3") "," COND("kill", "kill", "le", "3"))),
		   "two rules"),
		"overlapping conditions of different actions are refused");
	ok(gives(DOC(COND("kill", "allow", "gt", "3") "," COND("kill", "kill", "le", "3")),
		   SYS_kill, 3, SECCOMP_RET_KILL_PROCESS),
		"neighbouring ranges are not");
	ok(gives(DOC(RULE("kill", "log")), SYS_kill, 0, SECCOMP_RET_LOG), "log");
	ok(gives(DOC(""), SYS_kill, 0, ERRNO(ENOSYS)), "no rules: the default for all");
	ok(!seccomp_syscall_known("opne") && seccomp_syscall_known("openat") &&
			seccomp_syscall_known("socketcall") && !seccomp_syscall_known("x\ny"),
		"known names");
}

int main(void)
{
	test_children();
	test_doors();
	test_default_arguments();
	test_strict_arguments();
	test_order();
	return tap_done();
}
