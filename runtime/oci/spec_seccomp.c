/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json's linux.seccomp (runtime-spec config-linux.md, "Seccomp") as the plan's program.
 *
 * An engine's profile has 400 names and costs milliseconds to compile, and it is the same text for each of its
 * containers. So the section's own text is the key of the cache of programs: on a hit nothing of it is read but what
 * stands beside the program (flags, listener). What was cached was valid once, and the same text is valid again.
 */
#include <ctype.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/seccomp.h"
#include "runtime/base/alloc.h"
#include "runtime/oci/spec_reader.h"

enum { MAX_RULES = 65536, MAX_CONDITIONS = 64 };

#define NOTIFY "SCMP_ACT_NOTIFY"

struct word {
	const char *name;
	uint64_t value;
};

static const struct word actions[] = {
	{ "SCMP_ACT_ALLOW", SECCOMP_ALLOW }, { "SCMP_ACT_ERRNO", SECCOMP_ERRNO }, { "SCMP_ACT_LOG", SECCOMP_LOG },
	{ "SCMP_ACT_KILL", SECCOMP_KILL_THREAD }, { "SCMP_ACT_KILL_THREAD", SECCOMP_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_KILL }, { "SCMP_ACT_TRAP", SECCOMP_TRAP },
	{ "SCMP_ACT_TRACE", SECCOMP_TRACE }, { NOTIFY, SECCOMP_NOTIFY }, { NULL, 0 },
};
static const struct word compares[] = {
	{ "SCMP_CMP_NE", SECCOMP_NE }, { "SCMP_CMP_LT", SECCOMP_LT }, { "SCMP_CMP_LE", SECCOMP_LE },
	{ "SCMP_CMP_EQ", SECCOMP_EQ }, { "SCMP_CMP_GE", SECCOMP_GE }, { "SCMP_CMP_GT", SECCOMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SECCOMP_MASKED_EQ }, { NULL, 0 },
};
static const struct word flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV }, { NULL, 0 },
};
static const char *const architectures[] = { "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
	"SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", NULL };

static int find_word(const struct spec *s, const struct json *j, const struct word *words, uint64_t *ret)
{
	if (j->type != JSON_STRING)
		return spec_wrong(s, j, "a string");
	for (; words->name; words++)
		if (!strcmp(words->name, j->string)) {
			*ret = words->value;
			return 0;
		}
	return spec_refuse(s, j, "unknown value: %s", j->string);
}

static int read_action(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	uint64_t value = 0;
	int r = find_word(s, j, actions, &value);

	*(int *)spec_at(out, row) = (int)value;
	return r;
}

/* ---- rules ---- */

static int read_compare(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	uint64_t value = 0;
	int r = find_word(s, j, compares, &value);

	*(int *)spec_at(out, row) = (int)value;
	return r;
}

static const struct spec_row argument_rows[] = {
	{ SPEC_ROW("index", spec_uint, seccomp_argument, index), .max = 5, .required = true },
	{ SPEC_ROW("value", spec_uint, seccomp_argument, value), .required = true },
	{ SPEC_ROW("valueTwo", spec_uint, seccomp_argument, value_two) },
	{ SPEC_ROW("op", read_compare, seccomp_argument, compare), .required = true },
	{ 0 },
};

/* libseccomp would never match a value with bits outside its mask: a rule that does not do what it says. */
static int check_argument(const struct spec *s, const struct json *j, void *record)
{
	const struct seccomp_argument *arg = record;

	if (arg->compare == SECCOMP_MASKED_EQ && (arg->value_two & ~arg->value))
		return spec_refuse_member(s, j, "valueTwo", "has bits outside the mask: no call would ever match");
	return 0;
}

static const struct spec_row rule_rows[] = {
	{ SPEC_ROW("names", spec_strings, seccomp_rule, syscalls), .required = true },
	{ SPEC_ROW("action", read_action, seccomp_rule, action), .required = true },
	{ SPEC_ROW("errnoRet", spec_uint, seccomp_rule, error), .max = UINT16_MAX,
		.set_offset = offsetof(struct seccomp_rule, error_zero) },
	{ SPEC_ROW("args", spec_list, seccomp_rule, arguments), .rows = argument_rows, .check = check_argument,
		.count_offset = offsetof(struct seccomp_rule, n_arguments), .size = sizeof(struct seccomp_argument),
		.max = MAX_CONDITIONS },
	{ 0 },
};

static int check_rule(const struct spec *s, const struct json *j, void *record)
{
	const struct seccomp_rule *rule = record;

	if (strv_len(rule->syscalls) == 0)
		return spec_refuse_member(s, j, "names", "empty");
	if (rule->action == SECCOMP_ERRNO && rule->error > 4095)
		return spec_refuse_member(s, j, "errnoRet", "%llu: at most 4095", (unsigned long long)rule->error);
	return 0;
}

/* ---- the profile ---- */

static int read_architectures(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	char ***list = spec_at(out, row);
	int r = spec_strings(s, j, row, out);

	for (size_t i = 0; i < j->n_items && r == 0; i++) {
		bool known = false;

		for (size_t k = 0; architectures[k]; k++)
			known = known || !strcmp(architectures[k], (*list)[i]);
		if (!known)
			return spec_refuse(s, j->items[i], "unknown value: %s", (*list)[i]);
		memmove((*list)[i], (*list)[i] + strlen("SCMP_ARCH_"), strlen((*list)[i]) - strlen("SCMP_ARCH_") + 1);
		for (char *c = (*list)[i]; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	}
	return r;
}

static const struct spec_row profile_rows[] = {
	{ SPEC_ROW("defaultAction", read_action, seccomp_profile, default_action), .required = true },
	{ SPEC_ROW("defaultErrnoRet", spec_uint, seccomp_profile, default_error), .max = 4095,
		.set_offset = offsetof(struct seccomp_profile, default_error_zero) },
	{ SPEC_ROW("architectures", read_architectures, seccomp_profile, architectures), .max = 64 },
	{ SPEC_LIST("syscalls", seccomp_profile, rules, rule_rows), .check = check_rule, .max = MAX_RULES },
	{ 0 },
};

static void release_profile(struct seccomp_profile *profile)
{
	for (size_t i = 0; i < profile->n_rules; i++) {
		strv_free(profile->rules[i].syscalls);
		free(profile->rules[i].arguments);
	}
	free(profile->rules);
	strv_free(profile->architectures);
}

/*
 * A call that waits for a supervisor before that supervisor has the descriptor would wait for ever: the workload's own
 * start needs to write.
 */
static int check_notify(const struct spec *s, const struct json *j, const struct seccomp_profile *profile)
{
	const struct json *rules = json_get(j, "syscalls");

	if (profile->default_action == SECCOMP_NOTIFY)
		return spec_refuse_member(s, j, "defaultAction", NOTIFY " cannot be the default");
	for (size_t i = 0; i < profile->n_rules; i++) {
		if (profile->rules[i].action != SECCOMP_NOTIFY)
			continue;
		if (!s->plan->seccomp_listener)
			return spec_refuse_member(s, j, "listenerPath", "missing: " NOTIFY " needs a listener");
		strv_foreach(name, profile->rules[i].syscalls)
			if (!strcmp(name, "write") || !strcmp(name, "sendmsg"))
				return spec_refuse_member(s, rules->items[i], "action", NOTIFY " cannot be used for %s",
						name);
	}
	return 0;
}

static int compile(const struct spec *s, const struct json *j, struct plan *plan)
{
	struct seccomp_profile profile = { 0 };
	int r = spec_members(s, j, profile_rows, &profile);

	if (r == 0)
		r = check_notify(s, j, &profile);
	if (r == 0) {
		r = seccomp_compile_text(&profile, s->request->seccomp_cache, s->text + j->begin, j->end - j->begin,
				&plan->seccomp, s->err);
		if (r < 0)
			(void)error_prefix(s->err, "%s:%u: linux", s->file, j->line);
	}
	release_profile(&profile);
	return r;
}

/* ---- what stands beside the program ---- */

static int read_flags(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan *plan = out;

	if (j->type != JSON_ARRAY)
		return spec_wrong(s, j, "an array of strings");
	json_foreach(item, j) {
		uint64_t bit;
		int r = find_word(s, item, flags, &bit);

		if (r < 0)
			return r;
		if (bit != SECCOMP_FILTER_FLAG_TSYNC) /* whoever installs it has one thread */
			plan->seccomp_flags |= bit;
	}
	return 0;
}

static const struct spec_row beside_rows[] = {
	{ .key = "flags", .read = read_flags },
	{ SPEC_ROW("listenerPath", spec_path, plan, seccomp_listener) },
	{ SPEC_ROW("listenerMetadata", spec_string, plan, seccomp_metadata) },
	{ 0 },
};

int spec_seccomp(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	const struct json *rules = json_get(j, "syscalls");
	struct plan *plan = out;
	int r;

	if (j->type == JSON_OBJECT && !json_get(j, "defaultAction") && (!rules || rules->n_items == 0))
		return 0; /* "{}" is how some say that there is none */
	r = spec_members(s, j, beside_rows, plan);
	if (r < 0)
		return r;
	if (!s->request->seccomp_cache || !seccomp_cached(s->request->seccomp_cache, s->text + j->begin,
			j->end - j->begin, &plan->seccomp))
		r = compile(s, j, plan);
	if (r < 0)
		return r;
	/* The kernel takes this flag only with a listener. One that no rule notifies
	 * still gets its descriptor, as crun's. */
	if (!plan->seccomp_listener)
		plan->seccomp_flags &= ~(uint64_t)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return 0;
}
