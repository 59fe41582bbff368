/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's hooks (runtime-spec config.md, "POSIX-platform Hooks"). */
#include <string.h>

#include "runtime/oci/spec_reader.h"

static const struct spec_row hook_rows[] = {
	{ SPEC_ROW("path", spec_path, plan_hook, path), .required = true },
	{ SPEC_ROW("args", spec_strings, plan_hook, args) },
	{ SPEC_ROW("env", spec_strings, plan_hook, env) },
	{ SPEC_ROW("timeout", spec_uint, plan_hook, timeout_s), .max = INT32_MAX },
	{ 0 },
};

static int check_hook(const struct spec *s, const struct json *j, void *record)
{
	const struct plan_hook *hook = record;
	const struct json *timeout = json_get(j, "timeout");

	if (timeout && timeout->type != JSON_NULL && hook->timeout_s == 0)
		return spec_refuse(s, timeout, "expected 1 or more seconds");
	return 0;
}

#define STAGE(name, member) { SPEC_LIST(name, plan_hooks, member, hook_rows), .check = check_hook }

static const struct spec_row stages[] = {
	STAGE("prestart", prestart),
	STAGE("createRuntime", create_runtime),
	STAGE("createContainer", create_container),
	STAGE("startContainer", start_container),
	STAGE("poststart", poststart),
	STAGE("poststop", poststop),
	{ 0 },
};

/* A stage that we do not know would mean a hook that never runs: it may be the one that isolates. */
int spec_hooks(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	json_foreach(item, j) {
		bool known = j->type != JSON_OBJECT || item->type == JSON_NULL;

		for (size_t i = 0; stages[i].key && !known; i++)
			known = !strcmp(stages[i].key, item->key);
		if (!known)
			return spec_refuse(s, item, "no such point of the life cycle");
	}
	return spec_members(s, j, stages, spec_at(out, row));
}
