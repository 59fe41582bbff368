/* SPDX-License-Identifier: Apache-2.0 */
/* Can the conditions of two rules hold at once? Rules of different actions that could are refused (seccomp.c). */
#include "policies/enforce/seccomp_verify.h"

/* The values that satisfy a comparison other than NE and MASKED_EQ. Returns false if there are none. */
static bool range_of(const struct seccomp_argument *a, uint64_t *lo, uint64_t *hi)
{
	*lo = 0;
	*hi = UINT64_MAX;
	switch ((enum seccomp_compare)a->compare) {
	case SECCOMP_LT:
		*hi = a->value - 1;
		return a->value > 0;
	case SECCOMP_LE:
		*hi = a->value;
		return true;
	case SECCOMP_GE:
		*lo = a->value;
		return true;
	case SECCOMP_GT:
		*lo = a->value + 1;
		return a->value < UINT64_MAX;
	case SECCOMP_EQ:
		*lo = *hi = a->value;
		return true;
	case SECCOMP_NE:
	case SECCOMP_MASKED_EQ:
		break;
	}
	return true;
}

/* True only if no value satisfies both; may say false where a finer look would say true. */
static bool exclude_each_other(const struct seccomp_argument *a, const struct seccomp_argument *b)
{
	uint64_t a_lo, a_hi, b_lo, b_hi;

	if (a->compare == SECCOMP_EQ)
		return !seccomp_satisfies(b, a->value);
	if (b->compare == SECCOMP_EQ)
		return !seccomp_satisfies(a, b->value);
	if (a->compare == SECCOMP_MASKED_EQ && b->compare == SECCOMP_MASKED_EQ)
		return ((a->value_two ^ b->value_two) & a->value & b->value) != 0;
	if (!range_of(a, &a_lo, &a_hi) || !range_of(b, &b_lo, &b_hi))
		return true;
	return a_hi < b_lo || b_hi < a_lo; /* NE and MASKED_EQ count as any value here */
}

bool seccomp_disjoint(const struct seccomp_entry *a, const struct seccomp_entry *b)
{
	for (size_t i = 0; i < a->n_args; i++)
		for (size_t j = 0; j < b->n_args; j++)
			if (a->args[i].index == b->args[j].index && exclude_each_other(&a->args[i], &b->args[j]))
				return true;
	return false;
}
