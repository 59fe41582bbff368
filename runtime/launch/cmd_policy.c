/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve policy`: what the built-in policies are, and what a document says. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policies/policy.h"
#include "policies/presets.h"
#include "policies/syscall_groups.h"
#include "runtime/base/alloc.h"
#include "runtime/base/options.h"
#include "runtime/launch/cmd_policy.h"
#include "runtime/launch/commands.h"

static const char usage[] =
	"Usage: bivalve policy list [--groups] [--json]      the policies built in; the groups of system calls\n"
	"       bivalve policy show NAME                     the document of one of them\n"
	"       bivalve policy show --effective P            all that P says, with what it extends, as one document\n"
	"       bivalve policy show --digest P               the name of that, which reports have: policy_digest\n"
	"       bivalve policy show --canonical P            what it is the SHA-256 of\n"
	"       bivalve policy check [--json] FILE           is this document valid? Says where it is not\n"
	"       bivalve policy diff [--json] P Q             what Q says otherwise than P (status 1 if anything)\n"
	"       bivalve policy explain [--json] P QUESTION   yes, no or depends, and which rules say so\n"
	"            QUESTION: call NAME [ARG…]   read|write|execute|list PATH   reach HOST:PORT\n"
	"       bivalve policy learn [-o FILE] [OPTIONS] IMAGE [COMMAND…] | -- PROGRAM [ARG…]\n"
	"                                                    runs it and writes the policy that it took\n";

static void print_json(struct json_writer *w)
{
	_cleanup_free_ char *text = json_writer_finish(w, NULL);

	fputs(text, stdout);
}

static int list_presets(bool json)
{
	struct json_writer *w = json ? json_writer_new(false) : NULL;

	if (json)
		json_begin_array(w, NULL);
	for (const char *const *name = policy_presets(); *name; name++) {
		struct policy p = { 0 };
		struct error err;

		(void)policy_load(*name, &p, &err); /* tests load them all */
		if (json) {
			json_begin_object(w, NULL);
			json_put_string(w, "name", *name);
			json_put_string(w, "description", p.description);
			json_end(w);
		} else {
			printf("%-12s %s\n", *name, p.description ? p.description : "");
		}
		policy_release(&p);
	}
	if (json) {
		json_end(w);
		print_json(w);
	}
	return 0;
}

static void print_members(char *const *names)
{
	size_t column = 0;

	strv_foreach(name, names) {
		if (column == 0 || column + strlen(name) + 1 > 100)
			column = (size_t)printf("%s   ", column ? "\n" : "") - (column != 0);
		column += (size_t)printf(" %s", name);
	}
	printf("\n");
}

static int list_groups(bool json)
{
	struct json_writer *w = json ? json_writer_new(false) : NULL;

	if (json)
		json_begin_array(w, NULL);
	for (const struct syscall_group *g = syscall_groups; g->name; g++) {
		_cleanup_strv_ char **names = NULL;

		(void)syscall_group_expand(g->name, &names); /* it exists */
		if (!json) {
			printf("%-14s %s\n", g->name, g->description);
			if (strcmp(g->name, "@all"))
				print_members(names);
			continue;
		}
		json_begin_object(w, NULL);
		json_put_string(w, "name", g->name);
		json_put_string(w, "description", g->description);
		json_begin_array(w, "syscalls");
		strv_foreach(name, names)
			json_put_string(w, NULL, name);
		json_end(w);
		json_end(w);
	}
	if (json) {
		json_end(w);
		print_json(w);
	}
	return 0;
}

static int verb_list(int argc, char **argv, struct error *err)
{
	bool groups = false, json = false, help;
	const struct option_row rows[] = {
		{ .name = "groups", .kind = OPTION_FLAG, .target = &groups,
			.help = "the groups of system calls instead" },
		{ .name = "json", .kind = OPTION_FLAG, .target = &json, .help = "as JSON" },
		{ .name = NULL },
	};
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r < 0)
		return r;
	if (at < argc)
		return error_set(err, EINVAL, "policy list: unexpected \"%s\"", argv[at]);
	return groups ? list_groups(json) : list_presets(json);
}

/* Forms of what is in force, whichever documents it came from. */
static char *(*const forms[])(const struct policy *) = { policy_effective, policy_canonical, policy_digest };

static int show_form(const char *name, size_t form, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct policy p = { 0 };
	int r = policy_load(name, &p, err);

	if (r < 0)
		return r;
	text = forms[form](&p);
	printf("%s%s", text, forms[form] == policy_digest ? "\n" : "");
	policy_release(&p);
	return 0;
}

static int verb_show(int argc, char **argv, struct error *err)
{
	bool wanted[ARRAY_LEN(forms)] = { false }, help;
	const struct option_row rows[] = {
		{ .name = "effective", .kind = OPTION_FLAG, .target = &wanted[0], .help = "all that is in force" },
		{ .name = "canonical", .kind = OPTION_FLAG, .target = &wanted[1],
			.help = "the same as one line, without what says nothing" },
		{ .name = "digest", .kind = OPTION_FLAG, .target = &wanted[2], .help = "the SHA-256 of that line" },
		{ .name = NULL },
	};
	int at, r = options_parse(rows, argc, argv, &at, &help, err);
	const char *text;

	if (r < 0)
		return r;
	if (argc - at != 1)
		return error_set(err, EINVAL, "policy show: expected the name of a policy");
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (wanted[i])
			return show_form(argv[at], i, err);
	text = preset_text(argv[at]);
	if (!text)
		return error_set(err, ENOENT, "no policy named %s is built in: see `bivalve policy list`", argv[at]);
	fputs(text, stdout);
	return 0;
}

/* The verdict as JSON stands on standard output either way; the status says the same. */
static void print_verdict(const char *name, const struct policy *p, const struct error *why)
{
	_cleanup_free_ char *digest = why ? NULL : policy_digest(p);
	struct json_writer *w = json_writer_new(false);

	json_begin_object(w, NULL);
	json_put_string(w, "policy", name);
	json_put_bool(w, "valid", !why);
	if (why)
		json_put_string(w, "error", why->message);
	else
		json_put_string(w, "digest", digest);
	json_end(w);
	print_json(w);
}

static int verb_check(int argc, char **argv, struct error *err)
{
	bool json = false, help;
	const struct option_row rows[] = {
		{ .name = "json", .kind = OPTION_FLAG, .target = &json, .help = "as JSON" },
		{ .name = NULL },
	};
	struct policy p = { 0 };
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r < 0)
		return r;
	if (argc - at != 1)
		return error_set(err, EINVAL, "policy check: expected a FILE");
	r = policy_load(argv[at], &p, err);
	if (json)
		print_verdict(argv[at], &p, r < 0 ? err : NULL);
	else if (r == 0)
		printf("%s: valid\n", argv[at]);
	policy_release(&p);
	return r;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, struct error *err); /* argv[0]: the verb */
} verbs[] = {
	{ "list", verb_list },
	{ "show", verb_show },
	{ "check", verb_check },
	{ "diff", policy_verb_diff },
	{ "explain", policy_verb_explain },
	{ "learn", policy_verb_learn },
};

int cmd_policy(int argc, char **argv, struct error *err)
{
	const char *verb = argc > 1 ? argv[1] : "", *word = argc > 2 && strcmp(verb, "learn") ? argv[2] : verb;

	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		fputs(usage, stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1, err);
	return error_set(err, EINVAL, "policy: expected list, show, check, diff, explain or learn: see "
			"`bivalve policy --help`");
}
