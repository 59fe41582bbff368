/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's process (runtime-spec config.md, "Process") as struct plan_process: exec's --process too. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/caps.h"
#include "policies/enforce/rlimits.h"
#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/oci/spec_reader.h"

/* ---- user ---- */

struct user {
	uint64_t uid, gid, umask;
	bool umask_set;
};

static int read_groups(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);

static const struct spec_row user_rows[] = {
	{ SPEC_ROW("uid", spec_uint, user, uid), .max = UINT32_MAX - 1 },
	{ SPEC_ROW("gid", spec_uint, user, gid), .max = UINT32_MAX - 1 },
	{ SPEC_ROW("umask", spec_uint, user, umask), .max = 07777, .set_offset = offsetof(struct user, umask_set) },
	{ 0 },
};

static const struct spec_row group_rows[] = {
	{ SPEC_ROW("additionalGids", read_groups, plan_process, groups) },
	{ 0 },
};

static int read_groups(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	char ***groups = spec_at(out, row);

	if (j->type != JSON_ARRAY)
		return spec_wrong(s, j, "an array of numbers");
	if (j->n_items > SPEC_MAX_STRINGS) /* NGROUPS_MAX */
		return spec_refuse(s, j, "%zu entries: at most %d", j->n_items, SPEC_MAX_STRINGS);
	if (j->n_items == 0)
		return 0;
	*groups = xcalloc(j->n_items + 1, sizeof **groups);
	for (size_t i = 0; i < j->n_items; i++) {
		static const struct spec_row number = { .key = "", .max = UINT32_MAX - 1 };
		uint64_t gid = 0;
		int r = spec_uint(s, j->items[i], &number, &gid);

		if (r < 0)
			return r;
		(*groups)[i] = xasprintf("%llu", (unsigned long long)gid);
	}
	return 0;
}

static int read_user(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan_process *p = out;
	struct user user = { 0 };
	int r = spec_members(s, j, user_rows, &user);

	if (r < 0)
		return r;
	p->user = xasprintf("%llu:%llu", (unsigned long long)user.uid, (unsigned long long)user.gid);
	p->umask = user.umask;
	p->umask_set = user.umask_set;
	return spec_members(s, j, group_rows, p);
}

/* ---- capabilities ---- */

/* A name that this build does not know is none that could be granted: skipped, as runc does. */
static int read_capability_set(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	uint64_t set = 0;

	if (j->type != JSON_ARRAY)
		return spec_wrong(s, j, "an array of strings");
	json_foreach(item, j) {
		int number;

		if (item->type != JSON_STRING)
			return spec_wrong(s, item, "a string");
		number = strncmp(item->string, "CAP_", 4) ? -EINVAL : caps_from_name(item->string);
		if (number >= 0 && number < 64)
			set |= UINT64_C(1) << number;
		else
			log_debug("%s: unknown capability %s is not granted", s->file, item->string);
	}
	*(uint64_t *)spec_at(out, row) = set;
	return 0;
}

static const struct spec_row capabilities_rows[] = {
	{ SPEC_ROW("bounding", read_capability_set, plan_capabilities, bounding) },
	{ SPEC_ROW("effective", read_capability_set, plan_capabilities, effective) },
	{ SPEC_ROW("inheritable", read_capability_set, plan_capabilities, inheritable) },
	{ SPEC_ROW("permitted", read_capability_set, plan_capabilities, permitted) },
	{ SPEC_ROW("ambient", read_capability_set, plan_capabilities, ambient) },
	{ 0 },
};

/* The kernel has ambient within permitted and inheritable; runc drops the rest of it in the same silence. */
static int check_capabilities(const struct spec *s, const struct json *j, void *record)
{
	struct plan_capabilities *caps = record;

	caps->ambient &= caps->permitted & caps->inheritable;
	return 0;
}

/* ---- rlimits ---- */

static int read_rlimit_type(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan_rlimit *limit = out;

	if (j->type != JSON_STRING)
		return spec_wrong(s, j, "a string");
	if (strncmp(j->string, "RLIMIT_", 7))
		return spec_refuse(s, j, "unknown resource limit: %s", j->string);
	limit->type = xstrdup(j->string + 7);
	for (char *c = limit->type; *c; c++)
		*c = isupper((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '?';
	if (rlimits_from_name(limit->type) < 0)
		return spec_refuse(s, j, "unknown resource limit: %s", j->string);
	return 0;
}

static const struct spec_row rlimit_rows[] = {
	{ .key = "type", .read = read_rlimit_type, .required = true },
	{ SPEC_ROW("soft", spec_uint, plan_rlimit, soft), .required = true },
	{ SPEC_ROW("hard", spec_uint, plan_rlimit, hard), .required = true },
	{ 0 },
};

static int check_rlimit(const struct spec *s, const struct json *j, void *record)
{
	const struct plan_rlimit *limit = record;

	if (limit->soft > limit->hard)
		return spec_refuse_member(s, j, "soft", "%llu is above the hard limit %llu",
				(unsigned long long)limit->soft, (unsigned long long)limit->hard);
	return 0;
}

static const struct spec_row rlimits_row = {
	SPEC_LIST("rlimits", plan_process, rlimits, rlimit_rows), .check = check_rlimit, .max = 64,
};

static int read_rlimits(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	const struct plan_process *p = out;
	int r = spec_list(s, j, &rlimits_row, out);

	for (size_t i = 0; i < p->n_rlimits && r == 0; i++)
		for (size_t k = 0; k < i && r == 0; k++)
			if (!strcmp(p->rlimits[i].type, p->rlimits[k].type))
				r = spec_refuse_member(s, j->items[i], "type", "the same limit twice");
	return r;
}

/* ---- scheduling ---- */

static const char *const scheduler_policies[] = { "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO",
	"SCHED_IDLE", "SCHED_DEADLINE", NULL };
static const char *const scheduler_flags[] = { "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX", NULL };
static const char *const io_classes[] = { "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE", NULL };

static int read_scheduler_flags(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	int r = spec_strings(s, j, row, out);

	for (size_t i = 0; r == 0 && i < j->n_items; i++) {
		bool known = false;

		for (size_t k = 0; scheduler_flags[k]; k++)
			known = known || !strcmp(scheduler_flags[k], j->items[i]->string);
		if (!known)
			r = spec_refuse(s, j->items[i], "unknown value: %s", j->items[i]->string);
	}
	return r;
}

static const struct spec_row scheduler_rows[] = {
	{ SPEC_ROW("policy", spec_word, plan_scheduler, policy), .words = scheduler_policies, .required = true },
	{ SPEC_ROW("nice", spec_int, plan_scheduler, nice), .min = -20, .max = 19 },
	{ SPEC_ROW("priority", spec_int, plan_scheduler, priority), .min = 0, .max = 99 },
	{ SPEC_ROW("flags", read_scheduler_flags, plan_scheduler, flags) },
	{ SPEC_ROW("runtime", spec_uint, plan_scheduler, runtime_ns) },
	{ SPEC_ROW("deadline", spec_uint, plan_scheduler, deadline_ns) },
	{ SPEC_ROW("period", spec_uint, plan_scheduler, period_ns) },
	{ 0 },
};

static const struct spec_row io_priority_rows[] = {
	{ SPEC_ROW("class", spec_word, plan_io_priority, class), .words = io_classes, .required = true },
	{ SPEC_ROW("priority", spec_int, plan_io_priority, priority), .min = 0, .max = 7 },
	{ 0 },
};

/* ---- the process ---- */

static int read_args(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	int r = spec_strings(s, j, row, out);

	if (r == 0 && j->n_items == 0)
		return spec_refuse(s, j, "empty: no program to run");
	if (r == 0 && j->items[0]->string[0] == '\0')
		return spec_refuse(s, j->items[0], "empty: no program to run");
	return r;
}

static const struct spec_row console_rows[] = {
	{ SPEC_ROW("height", spec_uint, plan_process, rows), .max = UINT16_MAX },
	{ SPEC_ROW("width", spec_uint, plan_process, columns), .max = UINT16_MAX },
	{ 0 },
};

static int read_console(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return spec_members(s, j, console_rows, out);
}

static const struct spec_row affinity_rows[] = {
	{ SPEC_ROW("initial", spec_string, plan_process, exec_cpus_initial) },
	{ SPEC_ROW("final", spec_string, plan_process, exec_cpus_final) },
	{ 0 },
};

static int read_affinity(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return spec_members(s, j, affinity_rows, out);
}

const struct spec_row spec_process_rows[] = {
	{ SPEC_ROW("args", read_args, plan_process, argv), .required = true },
	{ SPEC_ROW("env", spec_strings, plan_process, env) },
	{ SPEC_ROW("cwd", spec_path, plan_process, cwd), .required = true },
	{ .key = "user", .read = read_user },
	{ SPEC_ROW("terminal", spec_bool, plan_process, terminal) },
	{ .key = "consoleSize", .read = read_console },
	{ SPEC_ROW("noNewPrivileges", spec_bool, plan_process, no_new_privs) },
	{ SPEC_ROW("capabilities", spec_record, plan_process, capabilities), .rows = capabilities_rows,
		.check = check_capabilities },
	{ .key = "rlimits", .read = read_rlimits },
	{ SPEC_ROW("apparmorProfile", spec_string, plan_process, apparmor_profile) },
	{ SPEC_ROW("selinuxLabel", spec_string, plan_process, selinux_label) },
	{ SPEC_ROW("oomScoreAdj", spec_int, plan_process, oom_score_adj), .min = -1000, .max = 1000,
		.set_offset = offsetof(struct plan_process, oom_score_adj_set) },
	{ SPEC_ROW("scheduler", spec_record, plan_process, scheduler), .rows = scheduler_rows },
	{ SPEC_ROW("ioPriority", spec_record, plan_process, io_priority), .rows = io_priority_rows },
	{ .key = "execCPUAffinity", .read = read_affinity },
	{ 0 },
};
