/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_TESTS_FILTERS_H
#define BIVALVE_TESTS_FILTERS_H

/*
 * Compiled filters, and what they say of a call without making it: an interpreter of classic BPF, as far as seccomp has
 * it, not that of policies/enforce/seccomp_verify.c, which would agree with its own mistakes. x86-64.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "policies/enforce/caps.h"
#include "policies/policy.h"
#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"

#define X32_BIT 0x40000000L

/* What the program returns; UINT32_MAX: it is none. */
static inline uint32_t run(const struct bytes *program, const struct seccomp_data *data)
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

static inline uint32_t ask6(const struct bytes *program, uint32_t arch, long nr, const uint64_t args[6])
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch };

	for (int i = 0; i < 6; i++)
		data.args[i] = args[i];
	return run(program, &data);
}

static inline uint32_t ask(const struct bytes *program, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return ask6(program, AUDIT_ARCH_X86_64, nr, (uint64_t[6]){ a0, a1, a2 });
}

#define ERRNO(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))

/* A preset's filter, or that of a policy's text (which has a brace), for a workload with caps. Empty: it says why. */
static inline struct bytes compile_policy(const char *text, uint64_t caps)
{
	struct policy p = { 0 };
	struct bytes program = { 0 };
	struct error err = { 0 };
	int r = strchr(text, '{') ? policy_parse(text, strlen(text), "policy", &p, &err)
				  : policy_load(text, &p, &err);

	if (r == 0)
		r = seccomp_compile(&p.seccomp, caps, NULL, &program, &err);
	if (r < 0)
		printf("# %s: %s\n", text, err.message);
	policy_release(&p);
	return program;
}

#endif
