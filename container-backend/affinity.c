/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "container-backend/affinity.h"

enum { MAX_CPUS = 8192 }; /* CONFIG_NR_CPUS at its most */

struct cpus {
	cpu_set_t sets[MAX_CPUS / CPU_SETSIZE];
};

static bool take_number(const char **at, unsigned long *ret)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return false;
	*ret = strtoul(*at, &end, 10);
	*at = end;
	return *ret < MAX_CPUS;
}

static bool parse(const char *text, struct cpus *ret)
{
	memset(ret, 0, sizeof *ret);
	for (const char *at = text;; at++) {
		unsigned long first, last;

		if (!take_number(&at, &first))
			return false;
		last = first;
		if (*at == '-' && (at++, !take_number(&at, &last) || last < first))
			return false;
		for (; first <= last; first++)
			CPU_SET_S(first, sizeof ret->sets, ret->sets);
		if (*at != ',')
			return *at == '\0';
	}
}

int affinity_check(const char *cpus, const char *field, struct error *err)
{
	struct cpus set;

	return !cpus || parse(cpus, &set) ? 0 : error_set(err, EINVAL, "%s: not a list of processors such as 0-3,7: %s",
			field, cpus);
}

int affinity_set(const char *cpus, const char *field, struct error *err)
{
	struct cpus set;

	if (!cpus)
		return 0;
	if (affinity_check(cpus, field, err) < 0)
		return -err->code;
	(void)parse(cpus, &set); /* checked */
	return sched_setaffinity(0, sizeof set.sets, set.sets) < 0 ? error_sys(err, "%s: %s", field, cpus) : 0;
}
