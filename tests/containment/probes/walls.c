/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walls that stand behind others: whatever they forbid, something else forbids too, so that no attack would tell that
 * one of them is missing. These look at the wall itself.
 */
#include <errno.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

/* The kernel stacks 16 rulesets around a process (userspace-api/landlock.rst): who can add 16 has none. */
static struct result no_landlock(const struct settings *settings)
{
	struct landlock_ruleset_attr attributes = { .handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0), layers = 0;

	if (ruleset < 0)
		return allowed("this kernel has no Landlock: %s", strerrorname_np(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return blocked(errno, "PR_SET_NO_NEW_PRIVS");
	while (layers < 16 && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0)
		layers++;
	if (layers == 16)
		return allowed("nothing is around it");
	return blocked(errno, "%d of 16 rulesets are around it", 16 - layers);
}

static struct result left_capabilities(const struct settings *settings)
{
	static const char *const sets[] = { "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:" };
	char status[4096];

	if (read_text("/proc/self/status", status, sizeof(status)) < 0)
		return not_run("no /proc");
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		const char *at = strstr(status, sets[i]);

		if (!at)
			return not_run("this kernel does not tell");
		if (strtoull(at + strlen(sets[i]), NULL, 16) != 0)
			return allowed("%s %llx", sets[i], strtoull(at + strlen(sets[i]), NULL, 16));
	}
	return blocked(0, "all five sets are empty");
}

static struct result gain_by_exec(const struct settings *settings)
{
	int r = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);

	return r == 1 ? blocked(0, "no_new_privs is set") : allowed("no_new_privs is not set");
}

const struct probe wall_probes[] = {
	{ "no-landlock", no_landlock, 0 },
	{ "left-capabilities", left_capabilities, 0 },
	{ "gain-by-exec", gain_by_exec, 0 },
	{ NULL, NULL, 0 },
};
