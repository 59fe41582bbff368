/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits of the calling process. */
#include <errno.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include "policies/enforce/rlimits.h"
#include "runtime/base/alloc.h"

static const struct {
	const char *name;
	int resource;
} types[] = {
	{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE }, { "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK },
	{ "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE }, { "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO }, { "rttime", RLIMIT_RTTIME },
	{ "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
};

int rlimits_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(name, types[i].name))
			return types[i].resource;
	return -EINVAL;
}

static bool may_raise(void)
{
	cap_t sets = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	if (sets)
		(void)cap_get_flag(sets, CAP_SYS_RESOURCE, CAP_EFFECTIVE, &value); /* unknown: no */
	(void)cap_free(sets); /* its own memory: cannot fail */
	return value == CAP_SET;
}

int rlimits_check(const struct plan_rlimit *limits, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int resource = rlimits_from_name(limits[i].type);
		struct rlimit now;

		if (resource < 0)
			return error_set(err, EINVAL, "process.rlimits[%zu].type: unknown: %s", i, limits[i].type);
		if (limits[i].soft > limits[i].hard)
			return error_set(err, EINVAL, "process.rlimits[%zu]: %s: soft limit %ju above hard limit %ju",
					i, limits[i].type, (uintmax_t)limits[i].soft, (uintmax_t)limits[i].hard);
		if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
			return error_sys(err, "process.rlimits[%zu]: %s", i, limits[i].type);
		if (limits[i].hard > now.rlim_max && !may_raise())
			return error_set(err, EPERM, "process.rlimits[%zu]: %s: %ju is above this process's own hard "
					"limit %ju, which takes CAP_SYS_RESOURCE to raise", i, limits[i].type,
					(uintmax_t)limits[i].hard, (uintmax_t)now.rlim_max);
	}
	return 0;
}

void rlimits_make_room(pid_t pid, const struct plan_rlimit *limits, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int resource = rlimits_from_name(limits[i].type);
		struct rlimit value;

		if (resource < 0 || prlimit(pid, (__rlimit_resource_t)resource, NULL, &value) < 0 ||
				value.rlim_max >= limits[i].hard)
			continue;
		value.rlim_max = limits[i].hard;
		(void)prlimit(pid, (__rlimit_resource_t)resource, &value, NULL); /* rlimits_apply() will tell */
	}
}

int rlimits_apply(const struct plan_rlimit *limits, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		/* UINT64_MAX is RLIM_INFINITY. */
		struct rlimit value = { .rlim_cur = limits[i].soft, .rlim_max = limits[i].hard };
		int resource = rlimits_from_name(limits[i].type);

		if (resource < 0)
			return error_set(err, EINVAL, "process.rlimits[%zu].type: unknown: %s", i, limits[i].type);
		if (setrlimit((__rlimit_resource_t)resource, &value) < 0)
			return error_sys(err, "process.rlimits[%zu]: cannot set %s to %ju:%ju", i, limits[i].type,
					(uintmax_t)limits[i].soft, (uintmax_t)limits[i].hard);
	}
	return 0;
}
