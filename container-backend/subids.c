/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subordinate ids: an ordinary user may map what /etc/subuid and /etc/subgid give him, by way of shadow's set-user-id
 * programs, which check it. They look at the owner of /proc/PID, so the process must be dumpable meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container-backend/subids.h"
#include "runtime/base/alloc.h"
#include "runtime/model/hooks.h"

enum { HELPER_TIMEOUT_S = 10 };

static const char *const programs[] = { [SUBIDS_UID] = "newuidmap", [SUBIDS_GID] = "newgidmap" };

bool subids_needed(const struct plan_id_map *maps, size_t n, uint64_t own)
{
	return geteuid() != 0 && (n != 1 || maps[0].count != 1 || maps[0].outside != own);
}

static char *find_program(const char *name)
{
	const char *at = getenv("PATH"), *end;

	for (at = at && *at ? at : "/usr/bin:/bin"; *at; at = *end ? end + 1 : end) {
		_cleanup_free_ char *path = NULL;

		end = strchrnul(at, ':');
		path = xasprintf("%.*s/%s", (int)(end - at), at, name);
		if (path[0] == '/' && access(path, X_OK) == 0)
			return steal_ptr(path);
	}
	return NULL;
}

int subids_check(enum subids_kind kind, struct error *err)
{
	_cleanup_free_ char *path = find_program(programs[kind]);

	return path ? 0 : error_set(err, ENOENT, "%s: not in PATH (package uidmap)", programs[kind]);
}

int subids_write(enum subids_kind kind, pid_t pid, const struct plan_id_map *maps, size_t n, struct error *err)
{
	struct plan_hook hook = { .path = find_program(programs[kind]), .timeout_s = HELPER_TIMEOUT_S };
	int r;

	if (!hook.path)
		return subids_check(kind, err);
	strv_push(&hook.args, xstrdup(programs[kind]));
	strv_push(&hook.args, xasprintf("%d", (int)pid));
	for (size_t i = 0; i < n; i++) {
		strv_push(&hook.args, xasprintf("%ju", (uintmax_t)maps[i].inside));
		strv_push(&hook.args, xasprintf("%ju", (uintmax_t)maps[i].outside));
		strv_push(&hook.args, xasprintf("%ju", (uintmax_t)maps[i].count));
	}
	r = hooks_run_one(&hook, "", err);
	if (r < 0)
		(void)error_prefix(err, "%s", hook.path);
	free(hook.path);
	strv_free(hook.args);
	return r;
}
