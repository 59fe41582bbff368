/* SPDX-License-Identifier: Apache-2.0 */
/* The "seccomp" key of a policy document: false, or a filter of rules. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "policies/presets.h"
#include "policies/enforce/caps.h"
#include "policies/schema.h"
#include "policies/syscall_groups.h"
#include "runtime/base/alloc.h"

enum { MAX_RULES = 1024, MAX_ARGUMENTS = 64, ERRNO_NAMES = 134 };

static const char *const actions[] = {
	[SECCOMP_ALLOW] = "allow", [SECCOMP_ERRNO] = "errno", [SECCOMP_KILL] = "kill", [SECCOMP_LOG] = "log", NULL,
};
static const char *const rule_actions[] = {
	[SECCOMP_ALLOW] = "allow", [SECCOMP_ERRNO] = "errno", [SECCOMP_KILL] = "kill", [SECCOMP_LOG] = "log",
	[SECCOMP_DEFAULT] = "default", [SECCOMP_NOTIFY] = "notify", NULL,
};
static const char *const compares[] = {
	[SECCOMP_NE] = "ne", [SECCOMP_LT] = "lt", [SECCOMP_LE] = "le", [SECCOMP_EQ] = "eq", [SECCOMP_GE] = "ge",
	[SECCOMP_GT] = "gt", [SECCOMP_MASKED_EQ] = "masked_eq", NULL,
};

/* ---- values ---- */

static int read_errno(const struct document *d, const struct json *j, void *out, struct error *err)
{
	uint64_t *ret = out;

	if (j->type == JSON_NULL) {
		*ret = 0;
		return 0;
	}
	if (j->type == JSON_INT && j->integer > 0 && j->integer <= 4095) {
		*ret = (uint64_t)j->integer;
		return 0;
	}
	for (int i = 1; j->type == JSON_STRING && i < ERRNO_NAMES; i++) {
		const char *name = strerrorname_np(i);

		if (name && !strcmp(name, j->string)) {
			*ret = (uint64_t)i;
			return 0;
		}
	}
	return schema_refuse(d, j, err, "not an error: a name as in errno(3), \"EPERM\", \"ENOSYS\", or 1 to 4095");
}

/* 64 bits: JSON's numbers end at 2^63 - 1, and flags are read more easily in hexadecimal. */
static int read_register(const struct document *d, const struct json *j, void *out, struct error *err)
{
	uint64_t *ret = out;

	if (j->type == JSON_INT && j->integer >= 0) {
		*ret = (uint64_t)j->integer;
		return 0;
	}
	if (j->type == JSON_STRING && *j->string >= '0' && *j->string <= '9') {
		unsigned long long value;
		char *end;

		errno = 0;
		value = strtoull(j->string, &end, 0);
		if (errno == 0 && *end == '\0') {
			*ret = value;
			return 0;
		}
	}
	return schema_refuse(d, j, err, "not a register's value: 0 to 2^63 - 1, or a string such as \"0x7e020000\"");
}

/* "CAP_X": only with it; "!CAP_X": only without it. out: struct seccomp_rule. */
static int read_capability(const struct document *d, const struct json *j, void *out, struct error *err)
{
	struct seccomp_rule *rule = out;
	int number, r = schema_expect(d, j, JSON_STRING, err);

	if (r < 0)
		return r;
	rule->without_capability = *j->string == '!';
	number = caps_from_name(j->string + rule->without_capability);
	if (number < 0 || number > 63)
		return schema_refuse(d, j, err, "\"%s\": not a capability: names as in capabilities(7), "
				"with \"!\" in front for \"only without it\"", j->string);
	rule->capability = (uint64_t)number + 1;
	return 0;
}

/* Documents have no other place for the reason of a rule. */
static int read_comment(const struct document *d, const struct json *j, void *out, struct error *err)
{
	return schema_expect(d, j, JSON_STRING, err);
}

/* ---- rules ---- */

static void release_rule(struct seccomp_rule *rule)
{
	strv_free(rule->syscalls);
	free(rule->arguments);
}

void policy_release_rules(struct seccomp_profile *profile)
{
	for (size_t i = 0; i < profile->n_rules; i++)
		release_rule(&profile->rules[i]);
	free(profile->rules);
	profile->rules = NULL;
	profile->n_rules = 0;
}

static int read_argument(const struct document *d, const struct json *j, struct seccomp_argument *arg,
		struct error *err)
{
	static const struct key keys[] = {
		{ "index", KEY_COUNT, AT(struct seccomp_argument, index), .min = 0, .max = 5 },
		{ "op", KEY_ENUM, AT(struct seccomp_argument, compare), .names = compares },
		{ "value", KEY_CUSTOM, AT(struct seccomp_argument, value), .read = read_register },
		{ "value_two", KEY_CUSTOM, AT(struct seccomp_argument, value_two), .read = read_register },
		{ .name = NULL },
	};
	int r = schema_read(d, j, keys, arg, err);

	if (r < 0)
		return r;
	if (!json_get(j, "index") || !json_get(j, "op") || !json_get(j, "value"))
		return schema_refuse(d, j, err, "\"index\", \"op\" and \"value\" are required");
	if ((arg->compare == SECCOMP_MASKED_EQ) != (json_get(j, "value_two") != NULL))
		return schema_refuse(d, j, err,
			"\"value_two\" belongs to \"masked_eq\": (argument & value) == value_two");
	if (arg->compare == SECCOMP_MASKED_EQ && (arg->value_two & ~arg->value) != 0)
		return schema_refuse(d, j, err, "\"value_two\" has bits outside the mask: it would never match");
	return 0;
}

/* out: struct seccomp_rule. */
static int read_arguments(const struct document *d, const struct json *j, void *out, struct error *err)
{
	struct seccomp_rule *rule = out;
	int r = schema_expect(d, j, JSON_ARRAY, err);

	if (r < 0)
		return r;
	if (j->n_items > MAX_ARGUMENTS)
		return schema_refuse(d, j, err, "%zu conditions: at most %d", j->n_items, MAX_ARGUMENTS);
	rule->arguments = xcalloc(j->n_items, sizeof *rule->arguments);
	rule->n_arguments = j->n_items;
	for (size_t i = 0; i < j->n_items; i++) {
		r = read_argument(d, j->items[i], &rule->arguments[i], err);
		if (r < 0)
			return r;
		for (size_t k = 0; k < i; k++)
			if (rule->arguments[k].index == rule->arguments[i].index)
				return schema_refuse(d, j->items[i], err, "argument %llu a second time: "
						"write alternatives as rules of their own",
						(unsigned long long)rule->arguments[i].index);
	}
	return 0;
}

/* What only reading a rule needs beside the rule; the rule comes first. */
struct rule_text {
	struct seccomp_rule rule;
	char **except;
};

static const struct key rule_keys[] = {
	{ "comment", KEY_CUSTOM, 0, .read = read_comment },
	{ "syscalls", KEY_ARRAY, AT(struct seccomp_rule, syscalls) },
	{ "except", KEY_ARRAY, AT(struct rule_text, except) },
	{ "action", KEY_ENUM, AT(struct seccomp_rule, action), .names = rule_actions },
	{ "errno", KEY_CUSTOM, AT(struct seccomp_rule, error), .read = read_errno },
	{ "arguments", KEY_CUSTOM, 0, .read = read_arguments },
	{ "capability", KEY_CUSTOM, 0, .read = read_capability },
	{ .name = NULL },
};

/* A preset names it: a call of newer kernels. Who copies a preset and edits it keeps it. */
static bool named_by_preset(const char *syscall)
{
	_cleanup_free_ char *quoted = xasprintf("\"%s\"", syscall);

	for (const char *const *name = policy_presets(); *name; name++)
		if (strstr(preset_text(*name), quoted))
			return true;
	return false;
}

static int refuse_group(const struct document *d, const struct json *name, struct error *err)
{
	const char *near = schema_nearest(name->string, syscall_group_names());

	if (near)
		return schema_refuse(d, name, err, "\"%s\": no such group: did you mean \"%s\"?", name->string, near);
	return schema_refuse(d, name, err, "\"%s\": no such group: see `bivalve policy list --groups`", name->string);
}

/* In a preset a call that this libseccomp does not know is simply not there; in a user's document it is a slip. */
static int check_syscalls(const struct document *d, const struct json *names, struct error *err)
{
	for (size_t i = 0; i < names->n_items; i++) {
		const char *name = names->items[i]->string;

		if (*name == '@' && !syscall_group_find(name))
			return refuse_group(d, names->items[i], err);
		if (*name == '@' || d->builtin || seccomp_syscall_known(name) || named_by_preset(name))
			continue;
		return schema_refuse(d, names->items[i], err, "\"%s\": no such system call: names as in syscalls(2), "
				"known to this libseccomp, and groups (`bivalve policy list --groups`)", name);
	}
	return 0;
}

/* Groups become what they hold, each name once. Takes names and returns what they have become. */
static char **expand_groups(char **names)
{
	char **all = NULL;

	strv_foreach(name, names) {
		bool known = false;

		if (*name == '@') {
			(void)syscall_group_expand(name, &all); /* checked: it exists */
			continue;
		}
		strv_foreach(other, all)
			known = known || !strcmp(other, name);
		if (!known)
			strv_push(&all, xstrdup(name));
	}
	strv_free(names);
	return all ? all : xcalloc(1, sizeof *all);
}

static bool has_name(char *const *names, const char *name)
{
	strv_foreach(other, names)
		if (!strcmp(other, name))
			return true;
	return false;
}

/* names, without what is in except. */
static void take_out(char ***names, char *const *except)
{
	char **left = xcalloc(1, sizeof *left);

	strv_foreach(name, *names)
		if (!has_name(except, name))
			strv_push(&left, xstrdup(name));
	strv_free(*names);
	*names = left;
}

static int read_names(const struct document *d, const struct json *j, struct rule_text *text, struct error *err)
{
	const struct json *except = json_get(j, "except");
	int r = check_syscalls(d, json_get(j, "syscalls"), err);

	if (r == 0 && except)
		r = check_syscalls(d, except, err);
	if (r < 0)
		return r;
	text->rule.syscalls = expand_groups(text->rule.syscalls);
	if (!except)
		return 0;
	text->except = expand_groups(text->except);
	strv_foreach(name, text->except)
		if (!has_name(text->rule.syscalls, name))
			return schema_refuse(d, except, err, "%s is not among the rule's syscalls: nothing to except",
					name);
	take_out(&text->rule.syscalls, text->except);
	return text->rule.syscalls[0] ? 0 : schema_refuse(d, except, err, "nothing is left of the rule's syscalls");
}

static int read_rule_text(const struct document *d, const struct json *j, struct rule_text *text, struct error *err)
{
	struct seccomp_rule *rule = &text->rule;
	int r = schema_read(d, j, rule_keys, text, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < j->n_items; i++) /* a rule is whole in itself: there is nothing to take back */
		if (j->items[i]->type == JSON_NULL)
			return schema_refuse(d, j->items[i], err, "null: leave the key out");
	if (!rule->syscalls || !rule->syscalls[0])
		return schema_refuse(d, j, err, "\"syscalls\" is required: the names that the rule is for");
	if (!json_get(j, "action"))
		return schema_refuse(d, j, err, "\"action\" is required: allow, errno, kill, log, default, notify");
	if (rule->error && rule->action != SECCOMP_ERRNO)
		return schema_refuse(d, json_get(j, "errno"), err, "belongs to the action \"errno\"");
	return read_names(d, j, text, err);
}

static int read_rule(const struct document *d, const struct json *j, struct seccomp_rule *rule, struct error *err)
{
	struct rule_text text = { .rule = *rule };
	int r = read_rule_text(d, j, &text, err);

	*rule = text.rule;
	strv_free(text.except);
	return r;
}

static int append_rules(const struct document *d, const struct json *j, struct seccomp_profile *profile,
		struct error *err)
{
	int r = schema_expect(d, j, JSON_ARRAY, err);

	if (r < 0)
		return r;
	if (j->n_items + profile->n_rules > MAX_RULES)
		return schema_refuse(d, j, err, "%zu rules in all: at most %d",
			j->n_items + profile->n_rules, MAX_RULES);
	profile->rules = xreallocarray(profile->rules, profile->n_rules + j->n_items, sizeof *profile->rules);
	for (size_t i = 0; i < j->n_items; i++) {
		struct seccomp_rule rule = { .document = d->name, .line = j->items[i]->line };

		r = read_rule(d, j->items[i], &rule, err);
		if (r < 0) {
			release_rule(&rule);
			return r;
		}
		profile->rules[profile->n_rules++] = rule;
	}
	return 0;
}

static int read_added_rules(const struct document *d, const struct json *j, void *out, struct error *err)
{
	return j->type == JSON_NULL ? 0 : append_rules(d, j, out, err);
}

/* An array replaces the rules; {"add": […]} puts rules behind them, where they win. out: struct seccomp_profile. */
static int read_rules(const struct document *d, const struct json *j, void *out, struct error *err)
{
	static const struct key keys[] = {
		{ "add", KEY_CUSTOM, 0, .read = read_added_rules },
		{ .name = NULL },
	};

	if (j->type == JSON_OBJECT)
		return schema_read(d, j, keys, out, err);
	policy_release_rules(out);
	return j->type == JSON_NULL ? 0 : append_rules(d, j, out, err);
}

static const struct key seccomp_keys[] = {
	{ "default", KEY_ENUM, AT(struct seccomp_profile, default_action), .names = actions },
	{ "errno", KEY_CUSTOM, AT(struct seccomp_profile, default_error), .read = read_errno },
	{ "rules", KEY_CUSTOM, 0, .read = read_rules },
	{ .name = NULL },
};

/* out: struct policy. */
int policy_read_seccomp(const struct document *d, const struct json *j, void *out, struct error *err)
{
	struct policy *p = out;
	const struct json *action = json_get(j, "default");
	int r;

	if (j->type == JSON_BOOL && !j->boolean) {
		p->seccomp_off = true;
		p->seccomp.default_action = SECCOMP_ALLOW;
		p->seccomp.default_error = 0;
		p->seccomp.default_document = d->name;
		p->seccomp.default_line = j->line;
		policy_release_rules(&p->seccomp);
		return 0;
	}
	if (j->type != JSON_OBJECT)
		return schema_refuse(d, j, err, "%s: expected false or an object", json_type_name(j->type));
	/* Without a default the filter would be open, which nobody means who forgets it. */
	if (p->seccomp_off && !action)
		return schema_refuse(d, j, err, "\"default\" is required where no filter is extended: "
				"allow, errno, kill, log");
	if (action && action->type == JSON_NULL)
		return schema_refuse(d, action, err, "null: one of allow, errno, kill, log");
	p->seccomp_off = false;
	if (action) {
		p->seccomp.default_error = 0; /* the errno of another default is no part of this one */
		p->seccomp.default_document = d->name;
		p->seccomp.default_line = action->line;
	}
	r = schema_read(d, j, seccomp_keys, &p->seccomp, err);
	if (r == 0 && json_get(j, "errno") && p->seccomp.default_error && p->seccomp.default_action != SECCOMP_ERRNO)
		r = schema_refuse(d, json_get(j, "errno"), err, "belongs to the default \"errno\"");
	return r;
}

/* ---- writing ---- */

static void write_register(struct json_writer *w, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof text, "0x%llx", (unsigned long long)value); /* fits */
	json_put_string(w, key, text);
}

static void write_error(struct json_writer *w, uint64_t error)
{
	const char *name = strerrorname_np((int)error);

	if (error && name)
		json_put_string(w, "errno", name);
	else if (error)
		json_put_uint(w, "errno", error);
}

static void write_capability(struct json_writer *w, const struct seccomp_rule *rule)
{
	_cleanup_free_ char *text = rule->capability ? xasprintf("%s%s", rule->without_capability ? "!" : "",
			caps_name((unsigned)rule->capability - 1)) : NULL;

	if (text)
		json_put_string(w, "capability", text);
}

static void write_rule(struct json_writer *w, const struct seccomp_rule *rule)
{
	json_begin_object(w, NULL);
	if (rule->document) {
		_cleanup_free_ char *comment = xasprintf("%s:%u", rule->document, rule->line);

		json_put_string(w, "comment", comment);
	}
	json_begin_array(w, "syscalls");
	strv_foreach(name, rule->syscalls)
		json_put_string(w, NULL, name);
	json_end(w);
	json_put_string(w, "action", rule_actions[rule->action]);
	if (rule->action == SECCOMP_ERRNO)
		write_error(w, rule->error);
	if (rule->n_arguments)
		json_begin_array(w, "arguments");
	for (size_t i = 0; i < rule->n_arguments; i++) {
		json_begin_object(w, NULL);
		json_put_uint(w, "index", rule->arguments[i].index);
		json_put_string(w, "op", compares[rule->arguments[i].compare]);
		write_register(w, "value", rule->arguments[i].value);
		if (rule->arguments[i].compare == SECCOMP_MASKED_EQ)
			write_register(w, "value_two", rule->arguments[i].value_two);
		json_end(w);
	}
	if (rule->n_arguments)
		json_end(w);
	write_capability(w, rule);
	json_end(w);
}

void policy_write_seccomp(struct json_writer *w, const char *key, const void *in)
{
	const struct policy *p = in;

	if (p->seccomp_off) {
		json_put_bool(w, key, false);
		return;
	}
	json_begin_object(w, key);
	json_put_string(w, "default", actions[p->seccomp.default_action]);
	if (p->seccomp.default_action == SECCOMP_ERRNO)
		write_error(w, p->seccomp.default_error);
	json_begin_array(w, "rules");
	for (size_t i = 0; i < p->seccomp.n_rules; i++)
		write_rule(w, &p->seccomp.rules[i]);
	json_end(w);
	json_end(w);
}
