/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that tells, made of the one that decides.
 *
 *   N   the program with "tell" in place of its errno and kill, before it: tell what the audit wants to see anyway
 *   F   loaded last: closes what N had to leave open for the two calls in between
 *
 * The descriptor of N's notifications has to leave for the supervisor by sendmsg(2), and F be loaded by seccomp(2),
 * when N is already there, which may tell both and would wait for a supervisor that has no descriptor yet. So N lets
 * exactly these two calls through (this socket, these addresses), and F answers them as the program itself does. Of
 * several filters the kernel takes the strictest answer: once F is in place, nothing of the exception is left.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policies/enforce/seccomp.h"
#include "policies/enforce/seccomp_verify.h"
#include "policies/enforce/watch.h"
#include "runtime/base/alloc.h"
#include "runtime/model/plan.h"

/* A call with three exact arguments. */
struct pattern {
	int nr;
	uint64_t args[3];
};

struct code {
	struct sock_filter *at;
	size_t n, room;
};

static void emit(struct code *c, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (c->n == c->room)
		c->at = xreallocarray(c->at, c->room = c->room ? 2 * c->room : 256, sizeof *c->at);
	c->at[c->n++] = (struct sock_filter){ code, jt, jf, k };
}

/* Answers the call of the pattern; goes on behind for all others. The call's number is loaded before and after. */
static void emit_pattern(struct code *c, const struct pattern *p, uint32_t answer)
{
	const uint32_t args = offsetof(struct seccomp_data, args);
	uint8_t left = 4 * 3 + 1; /* instructions to the reload */

	emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(left + 1), (uint32_t)p->nr);
	for (uint32_t i = 0; i < 3; i++) {
		left = (uint8_t)(left - 2);
		emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, args + 8 * i);
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, left, (uint32_t)p->args[i]);
		left = (uint8_t)(left - 2);
		emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, args + 8 * i + 4);
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, left, (uint32_t)(p->args[i] >> 32));
	}
	emit(c, BPF_RET | BPF_K, 0, 0, answer);
	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
}

/* Everything of the native ABI; the others go on to the body. The jump is set once the prologue's length is known. */
static size_t emit_prologue(struct code *c)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SECCOMP_NATIVE_ARCH);
	emit(c, BPF_JMP | BPF_JA, 0, 0, 0);
	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	return c->n - 2;
}

static void end_prologue(struct code *c, size_t jump)
{
	c->at[jump].k = (uint32_t)(c->n - jump - 1);
}

static uint32_t told(uint32_t answer, uint64_t audit)
{
	uint32_t action = answer & SECCOMP_RET_ACTION_FULL;

	if (audit & PLAN_AUDIT(LEARN))
		return SECCOMP_RET_USER_NOTIF;
	return action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD ?
		SECCOMP_RET_USER_NOTIF : answer;
}

static void emit_body(struct code *c, const struct bytes *program, uint64_t audit)
{
	for (size_t i = 0; i < program->len / sizeof(struct sock_filter); i++) {
		struct sock_filter at;

		memcpy(&at, program->data + i * sizeof at, sizeof at);
		if (at.code == (BPF_RET | BPF_K))
			at.k = told(at.k, audit);
		emit(c, at.code, at.jt, at.jf, at.k);
	}
	if (program->len == 0)
		emit(c, BPF_RET | BPF_K, 0, 0, told(SECCOMP_RET_ALLOW, audit));
}

static struct code make_telling(const struct bytes *program, uint64_t audit, const struct pattern *open, size_t n)
{
	const int *wanted = watch_calls(audit);
	struct code c = { 0 };
	size_t jump = emit_prologue(&c);

	for (size_t i = 0; i < n; i++)
		emit_pattern(&c, &open[i], SECCOMP_RET_ALLOW);
	for (; *wanted >= 0; wanted++) {
		emit(&c, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)*wanted);
		emit(&c, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF);
	}
	end_prologue(&c, jump);
	emit_body(&c, program, audit);
	return c;
}

static uint32_t answer_to(const struct bytes *program, const struct pattern *p)
{
	struct seccomp_data data = { .nr = p->nr, .arch = SECCOMP_NATIVE_ARCH,
		.args = { p->args[0], p->args[1], p->args[2] } };

	return program->len ? seccomp_answer(program, &data) : SECCOMP_RET_ALLOW;
}

static struct code make_closing(const struct bytes *program, const struct pattern *open, size_t n)
{
	struct code c = { 0 };
	size_t jump = emit_prologue(&c);

	for (size_t i = 0; i < n; i++)
		emit_pattern(&c, &open[i], answer_to(program, &open[i]));
	end_prologue(&c, jump);
	emit(&c, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	return c;
}

/* A notification that a signal interrupts is told again; the flag (Linux 5.19) spares that. */
static int install_telling(const struct bytes *telling, uint64_t flags)
{
	int fd = seccomp_install_flags(telling, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER |
			SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);

	return fd == -EINVAL ? seccomp_install_flags(telling, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER) : fd;
}

int watch_install_deaf(const struct bytes *program, uint64_t flags)
{
	_cleanup_free_ uint8_t *copy = NULL;
	struct bytes deaf = { program->data, program->len };

	for (size_t at = 0; at + sizeof(struct sock_filter) <= program->len; at += sizeof(struct sock_filter)) {
		struct sock_filter i;

		memcpy(&i, program->data + at, sizeof i);
		if (i.code != (BPF_RET | BPF_K) || (i.k & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_USER_NOTIF)
			continue;
		if (!copy)
			deaf.data = copy = xmemdup(program->data, program->len);
		i.k = SECCOMP_RET_ALLOW;
		memcpy(copy + at, &i, sizeof i);
	}
	return seccomp_install_flags(&deaf, flags);
}

int watch_install(const struct bytes *program, uint64_t audit, uint64_t flags, int sock, const void *message,
		size_t len)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)message, .iov_len = len };
	struct msghdr send = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.buf,
		.msg_controllen = sizeof control.buf };
	struct sock_fprog closing;
	const struct pattern open[] = {
		{ SYS_sendmsg, { (unsigned)sock, (uintptr_t)&send, MSG_NOSIGNAL } },
		{ SYS_seccomp, { SECCOMP_SET_MODE_FILTER, 0, (uintptr_t)&closing } },
	};
	struct code telling = make_telling(program, audit, open, ARRAY_LEN(open));
	struct code last = make_closing(program, open, ARRAY_LEN(open));
	struct bytes bytes = { (uint8_t *)telling.at, telling.n * sizeof *telling.at };
	struct cmsghdr *c = CMSG_FIRSTHDR(&send);
	long r = install_telling(&bytes, flags);
	int fd = (int)r;

	closing = (struct sock_fprog){ .len = (unsigned short)last.n, .filter = last.at };
	if (r >= 0) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
		r = syscall(SYS_sendmsg, (long)(unsigned)sock, &send, (long)MSG_NOSIGNAL);
		if (r >= 0)
			r = syscall(SYS_seccomp, (long)SECCOMP_SET_MODE_FILTER, 0L, &closing);
		r = r < 0 ? -errno : 0;
	}
	/* Neither memory nor the descriptor is given back: the program may forbid it, and both end with exec. */
	return (int)r;
}
