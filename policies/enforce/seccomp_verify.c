/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the program do what the rules say? libseccomp merges the conditions of one call into a tree over the 32-bit
 * halves of its arguments, and that merging has faults (2.5.4: `a <= 0x500000002` or `a < 3` refuses a = 4). A filter
 * that differs from its rules must not be installed, so each new program is run here before it is used or cached.
 *
 * The halves are tried at every value where a comparison can change its mind: each constant, its neighbours, and for
 * masks the values that fit them barely and miss them barely. All combinations are tried where they are few, a fixed
 * pseudo-random choice where they are many.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#include "policies/enforce/seccomp_verify.h"

enum { ARGUMENTS = 6, MAX_WORDS = 96, MAX_TRIES = 2048 };

/* Classic BPF, as far as seccomp(2) accepts it and libseccomp writes it. */
uint32_t seccomp_answer(const struct bytes *program, const struct seccomp_data *data)
{
	size_t n = program->len / sizeof(struct sock_filter);
	uint32_t a = 0;

	for (size_t pc = 0; pc < n;) {
		struct sock_filter i;
		bool yes;

		memcpy(&i, program->data + pc++ * sizeof i, sizeof i);
		switch (i.code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i.k > sizeof *data - sizeof a)
				return SECCOMP_BROKEN;
			memcpy(&a, (const char *)data + i.k, sizeof a);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i.k;
			continue;
		case BPF_JMP | BPF_JA:
			pc += i.k;
			continue;
		case BPF_RET | BPF_K:
			return i.k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i.k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i.k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i.k;
			break;
		default:
			return SECCOMP_BROKEN;
		}
		pc += yes ? i.jt : i.jf;
	}
	return SECCOMP_BROKEN;
}

bool seccomp_satisfies(const struct seccomp_argument *c, uint64_t value)
{
	switch ((enum seccomp_compare)c->compare) {
	case SECCOMP_NE:
		return value != c->value;
	case SECCOMP_LT:
		return value < c->value;
	case SECCOMP_LE:
		return value <= c->value;
	case SECCOMP_EQ:
		return value == c->value;
	case SECCOMP_GE:
		return value >= c->value;
	case SECCOMP_GT:
		return value > c->value;
	case SECCOMP_MASKED_EQ:
		break;
	}
	return (value & c->value) == c->value_two;
}

static uint32_t expected(const struct seccomp_entry *group, size_t n, const struct seccomp_data *data, uint32_t action)
{
	for (size_t i = 0; i < n; i++) {
		bool all = true;

		for (size_t k = 0; k < group[i].n_args && all; k++)
			all = seccomp_satisfies(&group[i].args[k], data->args[group[i].args[k].index]);
		if (all)
			return group[i].action;
	}
	return action;
}

/* ---- the values to try ---- */

struct words {
	uint32_t at[MAX_WORDS];
	size_t n;
};

static void add_word(struct words *w, uint32_t value)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->at[i] == value)
			return;
	if (w->n < MAX_WORDS)
		w->at[w->n++] = value;
}

struct samples {
	struct words high[ARGUMENTS], low[ARGUMENTS];
};

static void add_value(struct samples *s, size_t index, uint64_t value)
{
	add_word(&s->high[index], (uint32_t)(value >> 32));
	add_word(&s->low[index], (uint32_t)value);
}

static void add_condition(struct samples *s, const struct seccomp_argument *c)
{
	uint64_t v = c->compare == SECCOMP_MASKED_EQ ? c->value_two : c->value;
	const uint64_t neighbour = UINT64_C(0x100000001); /* of both halves */

	add_value(s, c->index, v);
	add_value(s, c->index, v + neighbour);
	add_value(s, c->index, v - neighbour);
	if (c->compare != SECCOMP_MASKED_EQ)
		return;
	add_value(s, c->index, v | ~c->value);
	add_value(s, c->index, v ^ (c->value & -c->value)); /* the lowest bit of the mask wrong */
	add_value(s, c->index, v ^ ((c->value & -c->value) << 32));
}

static void choose(struct samples *s, const struct seccomp_entry *group, size_t n)
{
	for (size_t i = 0; i < ARGUMENTS; i++)
		add_value(s, i, 0);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < group[i].n_args; k++) {
			add_value(s, group[i].args[k].index, UINT64_MAX);
			add_condition(s, &group[i].args[k]);
		}
}

static uint64_t combinations(const struct samples *s)
{
	uint64_t total = 1;

	for (size_t i = 0; i < ARGUMENTS; i++)
		if (__builtin_mul_overflow(total, s->high[i].n * s->low[i].n, &total))
			return UINT64_MAX;
	return total;
}

/* The combination of this number, counted in the mixed base of the sets' sizes. */
static void take(const struct samples *s, uint64_t number, struct seccomp_data *data)
{
	for (size_t i = 0; i < ARGUMENTS; i++) {
		uint64_t high = s->high[i].at[number % s->high[i].n];

		number /= s->high[i].n;
		data->args[i] = high << 32 | s->low[i].at[number % s->low[i].n];
		number /= s->low[i].n;
	}
}

int seccomp_verify(const struct bytes *program, uint32_t arch, bool narrow, const struct seccomp_entry *group, size_t n,
		uint32_t default_action, struct error *err)
{
	struct seccomp_data data = { .nr = group[0].nr, .arch = arch };
	struct samples s = { 0 };
	uint64_t total, step;

	choose(&s, group, n);
	for (size_t i = 0; narrow && i < ARGUMENTS; i++)
		s.high[i] = (struct words){ .n = 1 };
	total = combinations(&s);
	step = total <= MAX_TRIES ? 1 : UINT64_C(0x9e3779b97f4a7c15); /* far from any structure of the sets */
	for (uint64_t i = 0; i < (total < MAX_TRIES ? total : MAX_TRIES); i++) {
		take(&s, step == 1 ? i : i * step % total, &data);
		if (seccomp_answer(program, &data) != expected(group, n, &data, default_action))
			return error_set(err, EINVAL,
				"seccomp: %s: libseccomp makes something else of these conditions "
				"(arguments %#llx, %#llx, %#llx…): write them more simply",
				group[0].name, (unsigned long long)data.args[0],
				(unsigned long long)data.args[1], (unsigned long long)data.args[2]);
	}
	return 0;
}

uint32_t seccomp_action_for(const struct bytes *program, int nr)
{
	struct seccomp_data data = { .nr = nr, .arch = SECCOMP_NATIVE_ARCH };

	return seccomp_answer(program, &data);
}
