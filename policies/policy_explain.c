/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers from a policy, with the rules that give them. Each thing that has a say adds a reason; one that says no makes
 * the answer no.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/caps.h"
#include "policies/enforce/syscall_names.h"
#include "policies/policy_explain.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

static void add(struct explanation *e, int answer, char *what, char *rule)
{
	if (answer == EXPLAIN_NO || (answer == EXPLAIN_DEPENDS && e->answer == EXPLAIN_YES))
		e->answer = answer;
	e->reasons = xreallocarray(e->reasons, e->n_reasons + 1, sizeof *e->reasons);
	e->reasons[e->n_reasons++] = (struct explain_reason){ what, rule };
}

void explanation_release(struct explanation *e)
{
	for (size_t i = 0; i < e->n_reasons; i++) {
		free(e->reasons[i].what);
		free(e->reasons[i].rule);
	}
	free(e->reasons);
	*e = (struct explanation){ 0 };
}

/* ---- calls ---- */

static uint64_t capabilities_of(const struct policy *p)
{
	uint64_t set = 0;

	strv_foreach(name, p->capabilities) {
		int number = strcmp(name, "ALL") ? caps_from_name(name) : 64;

		set |= number == 64 ? UINT64_MAX : number >= 0 && number < 64 ? UINT64_C(1) << number : 0;
	}
	return set;
}

static bool rule_names(const struct seccomp_rule *rule, const char *syscall)
{
	strv_foreach(name, rule->syscalls)
		if (!strcmp(name, syscall))
			return true;
	return false;
}

static bool rule_applies(const struct seccomp_rule *rule, uint64_t capabilities)
{
	bool granted = rule->capability && rule->capability <= 64 && capabilities >> (rule->capability - 1) & 1;

	return !rule->capability || granted != rule->without_capability;
}

static char *source_of(const char *document, unsigned line)
{
	return document ? xasprintf("%s:%u", document, line) : NULL;
}

static void say(struct explanation *e, const char *syscall, int action, uint64_t error, const char *condition,
		char *rule, bool decides)
{
	const char *name = action == SECCOMP_ERRNO ? strerrorname_np((int)error) : NULL;
	bool yes = action == SECCOMP_ALLOW || action == SECCOMP_LOG || action == SECCOMP_NOTIFY;
	static const char *const words[] = { [SECCOMP_ALLOW] = "allowed", [SECCOMP_ERRNO] = "denied",
		[SECCOMP_KILL] = "ends the process", [SECCOMP_LOG] = "allowed, and logged",
		[SECCOMP_NOTIFY] = "allowed, and noted" };

	add(e, !decides ? EXPLAIN_DEPENDS : yes ? EXPLAIN_YES : EXPLAIN_NO,
		xasprintf("%s%s: %s%s%s", syscall, condition, words[action], name ? ", " : "", name ? name : ""), rule);
}

static char *conditions_of(const struct seccomp_rule *rule)
{
	static const char *const ops[] = { "!=", "<", "<=", "==", ">=", ">" };
	char *text = xstrdup("");

	for (size_t i = 0; i < rule->n_arguments; i++) {
		const struct seccomp_argument *a = &rule->arguments[i];
		char *more = a->compare == SECCOMP_MASKED_EQ ?
			xasprintf("%s%s argument %u & %#llx == %#llx", text, i ? " and" : " with", (unsigned)a->index,
				(unsigned long long)a->value, (unsigned long long)a->value_two) :
			xasprintf("%s%s argument %u %s %#llx", text, i ? " and" : " with", (unsigned)a->index,
				ops[a->compare], (unsigned long long)a->value);

		free(text);
		text = more;
	}
	return text;
}

/* Every rule that can still decide, when the arguments are not known. */
static void explain_any(const struct policy *p, const char *syscall, uint64_t capabilities, struct explanation *e)
{
	const struct seccomp_profile *s = &p->seccomp;
	size_t first = 0, conditional = 0;
	bool whole = false;

	for (size_t i = 0; i < s->n_rules; i++)
		if (rule_applies(&s->rules[i], capabilities) && rule_names(&s->rules[i], syscall) &&
				!s->rules[i].n_arguments) {
			first = i;
			whole = true;
		}
	for (size_t i = first; i < s->n_rules; i++)
		conditional += s->rules[i].n_arguments && rule_applies(&s->rules[i], capabilities) &&
			rule_names(&s->rules[i], syscall);
	for (size_t i = first; i < s->n_rules; i++) {
		const struct seccomp_rule *rule = &s->rules[i];
		_cleanup_free_ char *condition = NULL;

		if (!rule->n_arguments || !rule_applies(rule, capabilities) || !rule_names(rule, syscall))
			continue;
		condition = conditions_of(rule);
		say(e, syscall, rule->action == SECCOMP_DEFAULT ? s->default_action : rule->action,
			rule->error ? rule->error : EPERM, condition, source_of(rule->document, rule->line), false);
	}
	if (whole && s->rules[first].action != SECCOMP_DEFAULT)
		say(e, syscall, s->rules[first].action, s->rules[first].error ? s->rules[first].error : EPERM, "",
			source_of(s->rules[first].document, s->rules[first].line), conditional == 0);
	else
		say(e, syscall, s->default_action, s->default_error ? s->default_error : EPERM,
			conditional ? " otherwise (the default)" : " (the default)",
			source_of(s->default_document, s->default_line), conditional == 0);
}

int explain_call(const struct policy *p, const char *syscall, const uint64_t *args, size_t n_args,
		struct explanation *ret, struct error *err)
{
	uint64_t six[6] = { 0 }, capabilities = capabilities_of(p);
	struct seccomp_decision d;

	if (!seccomp_syscall_known(syscall))
		return error_set(err, EINVAL, "\"%s\": no such system call", syscall);
	if (p->seccomp_off) {
		add(ret, EXPLAIN_YES, xstrdup("seccomp: false"), policy_source(p, "seccomp", NULL));
		return 0;
	}
	if (n_args == 0) {
		explain_any(p, syscall, capabilities, ret);
		return 0;
	}
	memcpy(six, args, (n_args < 6 ? n_args : 6) * sizeof *six);
	d = seccomp_decide(&p->seccomp, capabilities, syscall, six);
	say(ret, syscall, d.action, d.error, d.rule ? "" : " (the default)",
		d.rule ? source_of(d.rule->document, d.rule->line) :
			source_of(p->seccomp.default_document, p->seccomp.default_line), true);
	return 0;
}

/* ---- paths ---- */

/* Where the documents last name a path in a list. */
static char *source_of_path(const struct policy *p, const char *key, const char *path)
{
	for (size_t i = strv_len(p->documents); i-- > 0;) {
		const struct json *list = json_get(p->trees[i], key);

		if (list && list->type == JSON_OBJECT)
			list = json_get(list, "add");
		json_foreach(item, list)
			if (item->type == JSON_STRING && !strcmp(item->string, path))
				return xasprintf("%s:%u", p->documents[i], item->line);
	}
	return policy_source(p, key, NULL);
}

static void explain_mounts(const struct policy *p, bool write, const char *path, struct explanation *e)
{
	strv_foreach(masked, p->masked_paths)
		if (path_beneath(path, masked))
			add(e, EXPLAIN_NO, xasprintf("masked_paths: %s", masked),
				source_of_path(p, "masked_paths", masked));
	if (!write)
		return;
	strv_foreach(readonly, p->readonly_paths)
		if (path_beneath(path, readonly))
			add(e, EXPLAIN_NO, xasprintf("readonly_paths: %s", readonly),
				source_of_path(p, "readonly_paths", readonly));
	if (p->read_only_root && !path_beneath(path, "/dev") && !path_beneath(path, "/proc"))
		add(e, EXPLAIN_DEPENDS, xstrdup("root.read_only: only what the command line mounts takes writes"),
			policy_source(p, "root", "read_only"));
}

int explain_path(const struct policy *p, enum explain_access access, const char *path, struct explanation *ret,
		struct error *err)
{
	const struct {
		const char *key;
		char *const *list;
	} lists[] = {
		[EXPLAIN_READ] = { "read", p->landlock.read }, [EXPLAIN_WRITE] = { "write", p->landlock.write },
		[EXPLAIN_EXECUTE] = { "execute", p->landlock.execute }, [EXPLAIN_LIST] = { "list", p->landlock.list },
	};
	_cleanup_free_ char *rule = policy_source(p, "landlock", lists[access].key);
	const char *by = NULL;

	if (path[0] != '/')
		return error_set(err, EINVAL, "%s: expected an absolute path of the workload's root", path);
	explain_mounts(p, access == EXPLAIN_WRITE, path, ret);
	strv_foreach(folder, lists[access].list)
		if (path_beneath(path, folder))
			by = folder;
	strv_foreach(folder, access == EXPLAIN_READ && !by ? p->landlock.execute : NULL)
		if (path_beneath(path, folder)) /* what may be executed may be read for it */
			by = folder;
	if (by)
		add(ret, EXPLAIN_YES, xasprintf("landlock.%s: %s", lists[access].key, by), steal_ptr(rule));
	else if (lists[access].list)
		add(ret, EXPLAIN_NO, xasprintf("landlock.%s: not beneath any of its paths", lists[access].key),
			steal_ptr(rule));
	if (ret->n_reasons == 0)
		add(ret, EXPLAIN_YES, xstrdup("nothing in the policy is against it"), NULL);
	return 0;
}

/* ---- the network ---- */

int explain_reach(const struct policy *p, const char *address, struct explanation *ret, struct error *err)
{
	static const char *const networks[] = { "none", "host", "user" };
	const char *colon = strrchr(address, ':');
	const uint64_t socket_args[] = { address[0] == '[' ? 10 : 2, 1, 0 };
	bool local = !strncmp(address, "127.", 4) || !strncmp(address, "[::1]", 5) ||
		!strncmp(address, "localhost:", 10);
	char *end;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (!colon || colon == address || !colon[1] || *end || port > 65535)
		return error_set(err, EINVAL, "%s: expected HOST:PORT or [ADDRESS]:PORT", address);
	add(ret, p->network == NETWORK_NONE && !local ? EXPLAIN_NO : EXPLAIN_YES,
		xasprintf("network: %s%s", (size_t)p->network < ARRAY_LEN(networks) ? networks[p->network] : "?",
			local && p->network != NETWORK_HOST ? " (a loopback of its own)" : ""),
		policy_source(p, "network", NULL));
	if (explain_call(p, "socket", socket_args, ARRAY_LEN(socket_args), ret, err) < 0 ||
			explain_call(p, "connect", NULL, 0, ret, err) < 0)
		return -EINVAL;
	if (p->landlock.connect_tcp) {
		bool listed = false;

		strv_foreach(item, p->landlock.connect_tcp)
			listed = listed || strtoul(item, NULL, 10) == port;
		add(ret, listed ? EXPLAIN_YES : EXPLAIN_NO, xasprintf("landlock.connect_tcp: %lu is %slisted", port,
				listed ? "" : "not "), policy_source(p, "landlock", "connect_tcp"));
	}
	return 0;
}
