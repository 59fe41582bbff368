/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: children that install them and try calls, the other doors to the kernel (i386, x32), the rules' order, the
 * cache, and a comparison of compiled programs with the rules they came from, over all system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policies/enforce/caps.h"
#include "policies/policy.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"

#define PRIVATE_NAME "policy"
#define SYS_ADMIN    (UINT64_C(1) << 21)
#define X32_BIT      0x40000000L

static char dir[] = "/tmp/bivalve-test-seccomp-XXXXXX";

/* ---- an interpreter of classic BPF, as far as seccomp has it ---- */

static uint32_t run(const struct bytes *program, const struct seccomp_data *data)
{
	const struct sock_filter *f = (const void *)program->data;
	size_t n = program->len / sizeof *f, pc = 0;
	uint32_t a = 0, word;

	while (pc < n) {
		const struct sock_filter *i = &f[pc++];
		bool yes = false;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&word, (const char *)data + i->k, sizeof word);
			a = word;
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & i->k) != 0;
			break;
		default:
			return UINT32_MAX;
		}
		pc += yes ? i->jt : i->jf;
	}
	return UINT32_MAX;
}

static uint32_t ask6(const struct bytes *program, uint32_t arch, long nr, const uint64_t args[6])
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch };

	for (int i = 0; i < 6; i++)
		data.args[i] = args[i];
	return run(program, &data);
}

static uint32_t ask(const struct bytes *program, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return ask6(program, AUDIT_ARCH_X86_64, nr, (uint64_t[6]){ a0, a1, a2 });
}

#define ERRNO(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))

/* ---- helpers ---- */

static struct bytes compile_policy(const char *text, uint64_t caps)
{
	struct policy p = { 0 };
	struct bytes program = { 0 };
	struct error err = { 0 };
	int r = strchr(text, '{') ? policy_parse(text, strlen(text), PRIVATE_NAME, &p, &err)
				  : policy_load(text, &p, &err);

	if (r == 0)
		r = seccomp_compile(&p.seccomp, caps, NULL, &program, &err);
	if (r < 0)
		printf("# %s: %s\n", text, err.message);
	policy_release(&p);
	return program;
}

static const char *compile_error(const char *text)
{
	static struct error err;
	struct policy p = { 0 };
	struct bytes program = { 0 };

	err = (struct error){ 0 };
	if (policy_parse(text, strlen(text), PRIVATE_NAME, &p, &err) == 0 &&
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

/* ---- programs against their rules ---- */

static bool holds(const struct seccomp_argument *a, const uint64_t args[6])
{
	uint64_t v = args[a->index];

	switch ((enum seccomp_compare)a->compare) {
	case SECCOMP_NE:
		return v != a->value;
	case SECCOMP_LT:
		return v < a->value;
	case SECCOMP_LE:
		return v <= a->value;
	case SECCOMP_EQ:
		return v == a->value;
	case SECCOMP_GE:
		return v >= a->value;
	case SECCOMP_GT:
		return v > a->value;
	case SECCOMP_MASKED_EQ:
		break;
	}
	return (v & a->value) == a->value_two;
}

static uint32_t verdict(int action, uint64_t error)
{
	return action == SECCOMP_ALLOW  ? SECCOMP_RET_ALLOW
	       : action == SECCOMP_LOG  ? SECCOMP_RET_LOG
	       : action == SECCOMP_KILL ? SECCOMP_RET_KILL_PROCESS
					: ERRNO(error ? error : EPERM);
}

/* What the rules say, read as README.md describes them: the last rule that applies. */
static uint32_t expected(
	const struct seccomp_profile *p, uint64_t caps, const char *name, const uint64_t args[6])
{
	uint32_t fallback = verdict(p->default_action, p->default_error), result = fallback;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct seccomp_rule *r = &p->rules[i];
		bool applies = !r->capability ||
			       (caps >> (r->capability - 1) & 1) != r->without_capability,
		     named = false;

		strv_foreach (s, r->syscalls)
			named = named || !strcmp(s, name);
		if (!applies || !named)
			continue;
		if (r->n_arguments == 0)
			result = fallback; /* whatever stood before */
		for (size_t k = 0; k < r->n_arguments; k++)
			applies = applies && holds(&r->arguments[k], args);
		if (applies)
			result = r->action == SECCOMP_DEFAULT ? fallback
							      : verdict(r->action, r->error);
	}
	return result;
}

static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Values near those that conditions speak of. */
static uint64_t interesting(void)
{
	uint64_t r = next_random();

	switch (r & 7) {
	case 0:
		return r >> 3 & 63;
	case 1:
		return UINT64_C(1) << (r >> 3 & 63);
	case 2:
		return r >> 32;
	case 3:
		return (r & UINT64_C(0xffffffff00000000)) | (r >> 3 & 31);
	case 4:
		return 0x5400 + (r >> 3 & 63);
	case 5:
		return UINT64_MAX - (r >> 3 & 3);
	default:
		return r >> 3 & 7;
	}
}

struct call {
	long nr;
	const char *name;
};
static const struct call calls[] = {
	{ SYS_read, "read" },
	{ SYS_openat, "openat" },
	{ SYS_clone, "clone" },
	{ SYS_unshare, "unshare" },
	{ SYS_socket, "socket" },
	{ SYS_personality, "personality" },
	{ SYS_ioctl, "ioctl" },
	{ SYS_clone3, "clone3" },
	{ SYS_mount, "mount" },
	{ SYS_bpf, "bpf" },
	{ SYS_syslog, "syslog" },
	{ SYS_chroot, "chroot" },
	{ SYS_reboot, "reboot" },
	{ SYS_ptrace, "ptrace" },
	{ SYS_kcmp, "kcmp" },
	{ SYS_keyctl, "keyctl" },
	{ SYS_userfaultfd, "userfaultfd" },
	{ SYS_futex_waitv, "futex_waitv" },
	{ SYS_execve, "execve" },
	{ SYS_exit_group, "exit_group" },
	{ SYS_kill, "kill" },
	{ SYS_setns, "setns" },
	{ SYS_rseq, "rseq" },
};

static bool agrees(const struct seccomp_profile *p, uint64_t caps, unsigned rounds)
{
	struct bytes program = { 0 };
	struct error err;
	bool good = true;

	if (seccomp_compile(p, caps, NULL, &program, &err) < 0) {
		printf("# %s\n", err.message);
		return false;
	}
	for (unsigned i = 0; i < rounds && good; i++) {
		const struct call *c = &calls[i % ARRAY_LEN(calls)];
		uint64_t args[6];

		for (int k = 0; k < 6; k++)
			args[k] = interesting();
		good = ask6(&program, AUDIT_ARCH_X86_64, c->nr, args) ==
		       expected(p, caps, c->name, args);
		if (!good)
			printf("# %s(%llx, %llx, %llx)\n", c->name, (unsigned long long)args[0],
				(unsigned long long)args[1], (unsigned long long)args[2]);
	}
	free(program.data);
	return good;
}

static void test_presets_agree(void)
{
	for (const char *const *name = policy_presets(); *name; name++) {
		struct policy p = { 0 };
		struct error err;
		bool good = policy_load(*name, &p, &err) == 0;

		for (int i = 0; good && !p.seccomp_off && i < 12; i++)
			good = agrees(&p.seccomp,
				i == 0   ? 0
				: i == 1 ? UINT64_MAX
					 : next_random(),
				20000);
		ok(good, "%s: the program does what the rules say", *name);
		policy_release(&p);
	}
}

/* Small random profiles: whatever compiles must do what its rules say. */
static void test_random_agree(void)
{
	static char *names[] = { (char *)"kill", (char *)"socket", (char *)"ioctl" };
	unsigned compiled = 0, refused = 0;
	bool good = true;

	for (int round = 0; round < 3000 && good; round++) {
		struct seccomp_argument args[6][2] = { 0 };
		struct seccomp_rule rules[6] = { 0 };
		struct seccomp_profile p = {
			.default_action = SECCOMP_ERRNO, .default_error = ENOSYS, .rules = rules
		};
		char *lists[6][2] = { 0 };
		struct bytes program = { 0 };
		struct error err;

		p.n_rules = 1 + next_random() % 6;
		for (size_t i = 0; i < p.n_rules; i++) {
			lists[i][0] = names[next_random() % ARRAY_LEN(names)];
			rules[i].syscalls = lists[i];
			rules[i].action = (int)(next_random() % 5);
			rules[i].arguments = args[i];
			rules[i].n_arguments = next_random() % 3;
			for (size_t k = 0; k < rules[i].n_arguments; k++) {
				args[i][k] = (struct seccomp_argument){ .index = k + next_random() %
											     2 * 2,
					.compare = (int)(next_random() % 7),
					.value = interesting() };
				if (args[i][k].compare == SECCOMP_MASKED_EQ)
					args[i][k].value_two = args[i][k].value & next_random();
			}
		}
		if (seccomp_compile(&p, 0, NULL, &program, &err) < 0) {
			refused++;
			continue;
		}
		free(program.data);
		compiled++;
		good = agrees(&p, 0, 600);
		if (!good)
			printf("# round %d\n", round);
	}
	ok(good && compiled > 500 && refused > 100,
		"random profiles: %u compiled and agree, %u refused", compiled, refused);
}

/* ---- the cache ---- */

static bool equal(const struct bytes *a, const struct bytes *b)
{
	return a->len == b->len && a->len > 0 && !memcmp(a->data, b->data, a->len);
}

static bool compile_cached(
	const struct policy *p, const char *cache, const struct bytes *want, uint64_t *ret_ns)
{
	struct bytes got = { 0 };
	struct error err;
	uint64_t start = clock_now_ns();
	bool good = seccomp_compile(&p->seccomp, 0, cache, &got, &err) == 0;

	*ret_ns = clock_now_ns() - start;
	good = good && equal(&got, want);
	free(got.data);
	return good;
}

/* The one file of the cache folder. */
static char *cached_file(const char *cache)
{
	_cleanup_free_ char *command = xasprintf("ls %s/*.bpf", cache);
	FILE *f = popen(command, "re");
	char line[256] = "";

	if (!f || !fgets(line, sizeof line, f))
		line[0] = '\0';
	if (f)
		(void)pclose(f);
	line[strcspn(line, "\n")] = '\0';
	return xstrdup(line);
}

static void poison(const char *file, off_t at)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte = 0;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		at = at < 0 ? st.st_size + at : at;
		if (pread(fd, &byte, 1, at) == 1) {
			byte ^= 0x55;
			if (pwrite(fd, &byte, 1, at) != 1)
				printf("# cannot poison\n");
		}
	}
	if (fd >= 0)
		(void)close(fd);
}

static void test_cache(void)
{
	_cleanup_free_ char *cache = xasprintf("%s/a/cache", dir), *file = NULL,
			    *link = xasprintf("%s/link", dir);
	_cleanup_free_ uint8_t *owned = NULL;
	struct bytes want = compile_policy("default", 0);
	struct policy p = { 0 };
	struct error err;
	uint64_t miss, ns, best = UINT64_MAX;
	struct stat st;
	bool good = true;

	owned = want.data;
	(void)policy_load("default", &p, &err);
	ok(compile_cached(&p, cache, &want, &miss), "a miss compiles");
	file = cached_file(cache);
	ok(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600, "the cached file is ours alone");
	for (int i = 0; i < 50; i++) {
		good = good && compile_cached(&p, cache, &want, &ns);
		best = ns < best ? ns : best;
	}
	ok(good, "a hit gives the same program");
	ok(best * 2 < miss, "and sooner: %llu us instead of %llu us",
		(unsigned long long)best / 1000, (unsigned long long)miss / 1000);
	poison(file, -3);
	ok(compile_cached(&p, cache, &want, &ns), "a broken program is not used");
	poison(file, 40);
	ok(compile_cached(&p, cache, &want, &ns), "nor one of other rules under the same name");
	ok(truncate(file, 100) == 0 && compile_cached(&p, cache, &want, &ns), "nor a short file");
	ok(stat(file, &st) == 0 && st.st_size > 1000, "and the file is made anew");
	poison(file, -3);
	(void)chmod(file, 0666);
	ok(compile_cached(&p, cache, &want, &ns), "nor a file that others can write");
	(void)chmod(cache, 0777);
	ok(compile_cached(&p, cache, &want, &ns), "a folder that others can write is not used");
	(void)chmod(cache, 0700);
	ok(symlink(cache, link) == 0 && compile_cached(&p, link, &want, &ns),
		"nor a link to a folder");
	ok(compile_cached(&p, "/proc/self/no/such", &want, &ns),
		"a folder that cannot be made is no error");
	policy_release(&p);
}

/* ---- what only OCI profiles say ---- */

static struct bytes compile_profile(const struct seccomp_profile *profile)
{
	struct bytes program = { 0 };
	struct error err;

	if (seccomp_compile(profile, 0, NULL, &program, &err) < 0)
		printf("# %s\n", err.message);
	return program;
}

static void test_actions(void)
{
	static const struct {
		const char *what;
		struct seccomp_rule rule;
		uint32_t expected;
	} cases[] = {
		{ "allow", { .action = SECCOMP_ALLOW }, SECCOMP_RET_ALLOW },
		{ "log", { .action = SECCOMP_LOG }, SECCOMP_RET_LOG },
		{ "kill process", { .action = SECCOMP_KILL }, SECCOMP_RET_KILL_PROCESS },
		{ "kill thread", { .action = SECCOMP_KILL_THREAD }, SECCOMP_RET_KILL_THREAD },
		{ "trap", { .action = SECCOMP_TRAP }, SECCOMP_RET_TRAP },
		{ "notify", { .action = SECCOMP_NOTIFY }, SECCOMP_RET_USER_NOTIF },
		{ "errno is EPERM", { .action = SECCOMP_ERRNO }, SECCOMP_RET_ERRNO | EPERM },
		{ "errno 0 if it is meant", { .action = SECCOMP_ERRNO, .error_zero = true }, SECCOMP_RET_ERRNO },
		{ "errno 38", { .action = SECCOMP_ERRNO, .error = 38, .error_zero = true }, SECCOMP_RET_ERRNO | 38 },
		{ "trace with a message", { .action = SECCOMP_TRACE, .error = 4242 }, SECCOMP_RET_TRACE | 4242 },
	};
	char *names[] = { "mkdir", "a_call_of_tomorrow", NULL };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seccomp_rule rule = cases[i].rule;
		const struct seccomp_profile profile = { .default_action = SECCOMP_ERRNO, .default_error = ENOTTY,
			.rules = &rule, .n_rules = 1 };
		_cleanup_free_ uint8_t *owned = NULL;
		struct bytes program;

		rule.syscalls = names;
		program = compile_profile(&profile);
		owned = program.data;
		ok(program.len && ask(&program, SYS_mkdir, 0, 0, 0) == cases[i].expected &&
				ask(&program, SYS_rmdir, 0, 0, 0) == ERRNO(ENOTTY), "action: %s", cases[i].what);
	}
}

static void test_no_rules(void)
{
	const struct seccomp_profile profile = { .default_action = SECCOMP_ALLOW };
	struct bytes program = compile_profile(&profile);
	_cleanup_free_ uint8_t *owned = program.data;

	ok(program.len && ask(&program, SYS_read, 0, 0, 0) == SECCOMP_RET_ALLOW &&
			ask(&program, 400, 0, 0, 0) == SECCOMP_RET_ALLOW, "a profile without rules");
}

#ifdef __x86_64__
static void test_architectures(void)
{
	enum { I386_MKDIR = 39, I386_SOCKETCALL = 102, I386_PERSONALITY = 136, I386_RMDIR = 40 };
	char *some[] = { "x86", "x86_64", "aarch64", NULL }, *both[] = { "x86", "x32", NULL };
	char *names[] = { "mkdir", "socketcall", NULL }, *personality[] = { "personality", NULL };
	struct seccomp_argument eight = { .index = 0, .value = 8, .compare = SECCOMP_EQ };
	struct seccomp_rule rules[] = {
		{ .syscalls = names, .action = SECCOMP_ALLOW },
		{ .syscalls = personality, .action = SECCOMP_ALLOW, .arguments = &eight, .n_arguments = 1 },
	};
	struct seccomp_profile profile = { .default_action = SECCOMP_ERRNO, .rules = rules, .n_rules = 2,
		.architectures = some };
	struct bytes one = compile_profile(&profile), two;
	_cleanup_free_ uint8_t *own_one = one.data, *own_two = NULL;
	const uint64_t zero[6] = { 0 }, with_eight[6] = { 8 };

	profile.architectures = both;
	two = compile_profile(&profile);
	own_two = two.data;
	ok(one.len && ask6(&one, AUDIT_ARCH_I386, I386_MKDIR, zero) == SECCOMP_RET_ALLOW &&
			ask6(&one, AUDIT_ARCH_I386, I386_SOCKETCALL, zero) == SECCOMP_RET_ALLOW &&
			ask6(&one, AUDIT_ARCH_I386, I386_RMDIR, zero) == ERRNO(EPERM),
		"i386, if listed: the same rules by its own numbers, also calls that only it has");
	ok(ask6(&one, AUDIT_ARCH_I386, I386_PERSONALITY, with_eight) == SECCOMP_RET_ALLOW &&
			ask6(&one, AUDIT_ARCH_I386, I386_PERSONALITY, zero) == ERRNO(EPERM), "and conditions");
	ok(ask6(&one, AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, zero) == SECCOMP_RET_KILL_PROCESS &&
			ask6(&one, AUDIT_ARCH_AARCH64, 0, zero) == SECCOMP_RET_KILL_PROCESS,
		"what is not listed, or never runs here, ends the process");
	ok(two.len && ask6(&two, AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, zero) == SECCOMP_RET_ALLOW &&
			ask6(&two, AUDIT_ARCH_X86_64, X32_BIT | SYS_rmdir, zero) == ERRNO(EPERM) &&
			ask(&two, SYS_mkdir, 0, 0, 0) == SECCOMP_RET_ALLOW, "x32, if listed");
}
#endif

int main(void)
{
	struct error err;

	if (!mkdtemp(dir))
		return 1;
	test_children();
	test_doors();
	test_default_arguments();
	test_strict_arguments();
	test_order();
	test_presets_agree();
	test_random_agree();
	test_cache();
	test_actions();
	test_no_rules();
#ifdef __x86_64__
	test_architectures();
#endif
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0, "cleaned up");
	return tap_done();
}
