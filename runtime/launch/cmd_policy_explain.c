/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve policy explain` and `bivalve policy diff`: what a policy says to a question, and where two differ. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/syscall_names.h"
#include "policies/policy_explain.h"
#include "runtime/base/alloc.h"
#include "runtime/base/options.h"
#include "runtime/launch/cmd_policy.h"

static const char *const answers[] = { [EXPLAIN_YES] = "yes", [EXPLAIN_NO] = "no", [EXPLAIN_DEPENDS] = "depends" };

static int ask_call(const struct policy *p, char **words, int n, struct explanation *e, struct error *err)
{
	uint64_t args[6] = { 0 };

	if (n > 7)
		return error_set(err, EINVAL, "policy explain: a system call has at most 6 arguments");
	for (int i = 1; i < n; i++) {
		char *end;

		errno = 0;
		args[i - 1] = strtoull(words[i], &end, 0);
		if (errno || *end || end == words[i])
			return error_set(err, EINVAL, "policy explain: %s: expected a number", words[i]);
	}
	return explain_call(p, words[0], args, (size_t)n - 1, e, err);
}

static int ask_read(const struct policy *p, char **words, int n, struct explanation *e, struct error *err)
{
	return explain_path(p, EXPLAIN_READ, words[0], e, err);
}

static int ask_write(const struct policy *p, char **words, int n, struct explanation *e, struct error *err)
{
	return explain_path(p, EXPLAIN_WRITE, words[0], e, err);
}

static int ask_execute(const struct policy *p, char **words, int n, struct explanation *e, struct error *err)
{
	return explain_path(p, EXPLAIN_EXECUTE, words[0], e, err);
}

static int ask_list(const struct policy *p, char **words, int n, struct explanation *e, struct error *err)
{
	return explain_path(p, EXPLAIN_LIST, words[0], e, err);
}

static int ask_reach(const struct policy *p, char **words, int n, struct explanation *e, struct error *err)
{
	return explain_reach(p, words[0], e, err);
}

static const struct {
	const char *word;
	int (*ask)(const struct policy *p, char **words, int n, struct explanation *e, struct error *err);
} questions[] = {
	{ "call", ask_call }, { "read", ask_read }, { "write", ask_write }, { "execute", ask_execute },
	{ "list", ask_list }, { "reach", ask_reach },
};

static void print_text(const struct policy *p, const struct explanation *e)
{
	printf("%s\n", answers[e->answer]);
	for (size_t i = 0; i < e->n_reasons; i++)
		printf("  %s%s%s\n", e->reasons[i].what, e->reasons[i].rule ? "   " : "",
			e->reasons[i].rule ? e->reasons[i].rule : "");
	printf("  chain:");
	for (size_t i = strv_len(p->documents); i-- > 0;)
		printf(" %s%s", p->documents[i], i ? " →" : "\n");
}

static void print_json(const struct policy *p, const struct explanation *e)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_object(w, NULL);
	json_put_string(w, "answer", answers[e->answer]);
	json_begin_array(w, "reasons");
	for (size_t i = 0; i < e->n_reasons; i++) {
		json_begin_object(w, NULL);
		json_put_string(w, "what", e->reasons[i].what);
		json_put_string(w, "rule", e->reasons[i].rule);
		json_end(w);
	}
	json_end(w);
	json_begin_array(w, "chain");
	for (size_t i = strv_len(p->documents); i-- > 0;)
		json_put_string(w, NULL, p->documents[i]);
	json_end(w);
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
}

int policy_verb_explain(int argc, char **argv, struct error *err)
{
	bool json = false, help;
	const struct option_row rows[] = {
		{ .name = "json", .kind = OPTION_FLAG, .target = &json, .help = "as JSON" },
		{ .name = NULL },
	};
	struct explanation e = { 0 };
	struct policy p = { 0 };
	int at, r = options_parse(rows, argc, argv, &at, &help, err);
	size_t i = 0;

	if (r < 0)
		return r;
	while (argc - at >= 3 && i < ARRAY_LEN(questions) && strcmp(argv[at + 1], questions[i].word))
		i++;
	if (argc - at < 3 || i == ARRAY_LEN(questions))
		return error_set(err, EINVAL, "policy explain: expected POLICY and call NAME [ARG…], read PATH, "
				"write PATH, execute PATH, list PATH or reach HOST:PORT");
	r = policy_load(argv[at], &p, err);
	if (r == 0)
		r = questions[i].ask(&p, argv + at + 2, argc - at - 2, &e, err);
	if (r == 0 && json)
		print_json(&p, &e);
	else if (r == 0)
		print_text(&p, &e);
	explanation_release(&e);
	policy_release(&p);
	return r;
}

/* ---- diff ---- */

/* One line for all that the policy says to one call. */
static char *call_line(const struct policy *p, const char *name)
{
	struct explanation e = { 0 };
	char *text = xstrdup("");

	(void)explain_call(p, name, NULL, 0, &e, NULL); /* the name is known */
	for (size_t i = 0; i < e.n_reasons; i++) {
		const char *what = p->seccomp_off ? "allowed" : e.reasons[i].what + strlen(name);
		char *more = xasprintf("%s%s%s", text, i ? ";" : "", what + (*what == ':' ? 2 : 0));

		free(text);
		text = more;
	}
	explanation_release(&e);
	return text;
}

/* How a difference is told: as lines, or as a member of a list of JSON (w). key NULL: the line names its own. */
static void tell(struct json_writer *w, const char *key, const char *left, const char *right)
{
	if (!w) {
		if (key)
			printf("%s\n", key);
		if (left)
			printf("- %s\n", left);
		if (right)
			printf("+ %s\n", right);
		return;
	}
	json_begin_object(w, NULL);
	if (key)
		json_put_string(w, "key", key);
	json_put_string(w, "left", left);
	json_put_string(w, "right", right);
	json_end(w);
}

static bool diff_calls(const struct policy *a, const struct policy *b, struct json_writer *w)
{
	bool any = false;

	for (int nr = 0; nr <= SYSCALL_LAST; nr++) {
		char name[64];
		_cleanup_free_ char *left = NULL, *right = NULL, *key = NULL;

		if (syscall_number(syscall_name(nr, name, sizeof name)) != nr)
			continue;
		left = call_line(a, name);
		right = call_line(b, name);
		key = xasprintf("seccomp %s", name);
		if (!strcmp(left, right))
			continue;
		tell(w, key, left, right);
		any = true;
	}
	return any;
}

static bool has_line(char *const *lines, const char *line)
{
	strv_foreach(other, lines)
		if (!strcmp(line, other))
			return true;
	return false;
}

/* The lines of the effective documents that only one of them has. */
static bool diff_keys(const struct policy *a, const struct policy *b, struct json_writer *w)
{
	_cleanup_strv_ char **left = policy_effective_lines(a), **right = policy_effective_lines(b);
	bool any = false;

	strv_foreach(line, left)
		if (!has_line(right, line)) {
			tell(w, NULL, line, NULL);
			any = true;
		}
	strv_foreach(line, right)
		if (!has_line(left, line)) {
			tell(w, NULL, NULL, line);
			any = true;
		}
	return any;
}

static bool diff(const struct policy *a, const struct policy *b, bool json)
{
	struct json_writer *w = json ? json_writer_new(false) : NULL;
	_cleanup_free_ char *text = NULL;
	bool any;

	if (w)
		json_begin_array(w, NULL);
	any = diff_keys(a, b, w);
	any = diff_calls(a, b, w) || any;
	if (w) {
		json_end(w);
		text = json_writer_finish(w, NULL);
		fputs(text, stdout);
	}
	return any;
}

int policy_verb_diff(int argc, char **argv, struct error *err)
{
	bool json = false, help;
	const struct option_row rows[] = {
		{ .name = "json", .kind = OPTION_FLAG, .target = &json, .help = "as JSON" },
		{ .name = NULL },
	};
	struct policy a = { 0 }, b = { 0 };
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r < 0)
		return r;
	if (argc - at != 2)
		return error_set(err, EINVAL, "policy diff: expected two policies");
	r = policy_load(argv[at], &a, err);
	if (r == 0)
		r = policy_load(argv[at + 1], &b, err);
	if (r == 0)
		r = diff(&a, &b, json);
	policy_release(&a);
	policy_release(&b);
	return r;
}
