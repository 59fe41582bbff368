/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_SECCOMP_VERIFY_H
#define BIVALVE_ENFORCE_SECCOMP_VERIFY_H

#include "policies/enforce/seccomp.h"

/* One rule for one system call, as the compiler gives it to libseccomp. */
struct seccomp_entry {
	int nr;
	size_t order;                        /* in the document */
	const char *name;
	uint32_t action;                     /* SECCOMP_RET_… */
	const struct seccomp_argument *args; /* each index at most once */
	size_t n_args;
};

/*
 * What the program answers (SECCOMP_RET_…) to this call. SECCOMP_BROKEN, which no action is: the program is none, or
 * of instructions that libseccomp does not write.
 */
#define SECCOMP_BROKEN UINT32_MAX
struct seccomp_data;
uint32_t seccomp_answer(const struct bytes *program, const struct seccomp_data *data);

/* True only if no arguments satisfy both entries' conditions; may say false where a finer look would say true. */
bool seccomp_disjoint(const struct seccomp_entry *a, const struct seccomp_entry *b);

/* Whether value satisfies the condition. */
bool seccomp_satisfies(const struct seccomp_argument *condition, uint64_t value);

/*
 * Runs the program for the call of this group (n entries; those of different actions exclude each other), with values
 * around all that its conditions speak of, and compares with what the entries say. narrow: an ABI whose arguments
 * have 32 bits. -EINVAL: it differs.
 */
int seccomp_verify(const struct bytes *program, uint32_t arch, bool narrow, const struct seccomp_entry *group, size_t n,
		uint32_t default_action, struct error *err);

#endif
