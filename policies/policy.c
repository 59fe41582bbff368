/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a policy.
 *
 * Theory of operation. A policy is a chain of documents, from the one that was asked for through what each `extends`.
 * The chain is walked to its end first (which is where cycles are seen), then read from the far end: each document
 * overwrites, key by key, what those before it have set, so merging needs no step of its own.
 *
 *   leaf.json --extends--> site.json --extends--> preset default
 *   read:  default, site.json, leaf.json
 *
 * A user's document that does not say what it extends extends `default`: a document of three lines about memory must
 * not be a sandbox without a filter. `"extends": null` starts from nothing, and then has to speak of seccomp.
 *
 * Policies are written by whoever runs the program and are as trusted as its command line; the strictness is there to
 * catch slips, which in a policy are holes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policies/presets.h"
#include "policies/schema.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { MAX_DEPTH = 8, MAX_BYTES = 1 << 20 };

struct link {
	char *name;         /* in errors: the path, or "preset NAME" */
	char *path;         /* NULL: a preset, or text in memory */
	const char *preset; /* its name, in the preset's table or a document of the chain */
	struct json *root;
	dev_t dev;          /* of the file */
	ino_t ino;
};

struct chain {
	struct link links[MAX_DEPTH];
	size_t n;
};

static void chain_release(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->links[i].name);
		free(c->links[i].path);
		json_free(c->links[i].root);
	}
}

/* A file has a slash in its name or ends in .json; everything else is a preset. */
static bool is_file(const char *name)
{
	size_t len = strlen(name);

	return strchr(name, '/') || (len > 5 && !strcmp(name + len - 5, ".json"));
}

static int unknown_preset(const char *name, struct error *err)
{
	const char *near = schema_nearest(name, policy_presets());
	char list[256] = "";

	if (near)
		return error_set(err, EINVAL, "no preset is called \"%s\": did you mean \"%s\"?", name, near);
	for (const char *const *p = policy_presets(); *p; p++)
		(void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ", " : "", *p);
	return error_set(err, EINVAL,
		"no preset is called \"%s\": one of %s, or a file (FILE.json, ./FILE)", name, list);
}

/* Finds the document and names the link; reads nothing yet. */
static int link_find(struct link *link, const char *name, struct error *err)
{
	struct stat st;

	if (!is_file(name)) {
		if (!preset_text(name))
			return unknown_preset(name, err);
		link->preset = name;
		link->name = xasprintf("preset %s", name);
		return 0;
	}
	if (stat(name, &st) < 0)
		return error_sys(err, "policy %s", name);
	if (S_ISDIR(st.st_mode))
		return error_set(err, EISDIR, "policy %s: a folder: expected a JSON file", name);
	link->dev = st.st_dev;
	link->ino = st.st_ino;
	link->path = xstrdup(name);
	link->name = xstrdup(name);
	return 0;
}

static int link_parse(struct link *link, struct error *err)
{
	const char *text = link->preset ? preset_text(link->preset) : NULL;

	if (text)
		return json_parse(text, strlen(text), link->name, &link->root, err);
	return json_parse_file(AT_FDCWD, link->path, MAX_BYTES, &link->root, err);
}

static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	if (*name == '/' || !slash)
		return xstrdup(name);
	return xasprintf("%.*s%s", (int)(slash - path + 1), path, name);
}

static bool same(const struct link *a, const struct link *b)
{
	if (a->preset || b->preset)
		return a->preset && b->preset && !strcmp(a->preset, b->preset);
	return a->path && b->path && a->dev == b->dev && a->ino == b->ino;
}

/* The name that this document extends, NULL: none. at: where it says so, NULL: by default. */
static int extended(const struct link *link, const char **ret, const struct json **at, struct error *err)
{
	const struct document d = { .name = link->name };
	int r = schema_expect(&d, link->root, JSON_OBJECT, err);

	if (r < 0)
		return r;
	*at = json_get(link->root, "extends");
	*ret = *at || link->preset ? NULL : "default";
	if (!*at || (*at)->type == JSON_NULL)
		return 0;
	r = schema_expect(&d, *at, JSON_STRING, err);
	if (r == 0)
		*ret = (*at)->string;
	return r;
}

/* Opens what the last link extends. Returns 1 if there is one more link, 0 at the chain's end. */
static int chain_extend(struct chain *c, struct error *err)
{
	struct link *from = &c->links[c->n - 1], *to = &c->links[c->n];
	const struct document d = { .name = from->name };
	_cleanup_free_ char *path = NULL;
	const struct json *at;
	const char *name;
	int r = extended(from, &name, &at, err);

	if (r < 0 || !name)
		return r;
	if (c->n == MAX_DEPTH)
		return schema_refuse(&d, at ? at : from->root, err, "a chain of more than %d documents", MAX_DEPTH);
	if (is_file(name) && !from->path)
		return schema_refuse(&d, at, err, "\"%s\": only a file can extend a file: one of the presets", name);
	path = is_file(name) ? beside(from->path, name) : NULL;
	r = link_find(to, path ? path : name, err);
	if (r < 0)
		return at ? schema_refuse(&d, at, err, "%s", err->message) : r;
	c->n++;
	for (size_t i = 0; i + 1 < c->n; i++)
		if (same(&c->links[i], to))
			return schema_refuse(&d, at, err, "\"%s\" extends itself in the end: "
					"a chain of documents without a circle", name);
	r = link_parse(to, err);
	return r < 0 ? r : 1;
}

static int read_link(const struct link *link, struct policy *p, struct error *err)
{
	struct document d = { .name = link->name, .builtin = link->preset != NULL };
	const struct json *version = json_get(link->root, "version");

	if (!version)
		return schema_refuse(&d, link->root, err, "version: missing: expected \"version\": 1");
	strv_push(&p->documents, xstrdup(link->name));
	d.name = p->documents[strv_len(p->documents) - 1]; /* rules remember it */
	free(p->description); /* speaks of its own document */
	p->description = NULL;
	return schema_read(&d, link->root, policy_keys, p, err);
}

/* Settings that cannot all be meant. */
static int check_whole(const struct chain *c, const struct policy *p, bool seccomp_said, struct error *err)
{
	const struct document d = { .name = c->links[0].name };

	if (!seccomp_said)
		return schema_refuse(&d, c->links[0].root, err, "seccomp: missing: this document extends nothing, "
				"so it says false or gives a filter");
	if (p->read_only_root && p->upper_bytes)
		return schema_refuse(&d, c->links[0].root, err, "root: \"upper\" has no use with \"read_only\": "
				"one of the two (null takes the other back)");
	return 0;
}

static int read_chain(struct chain *c, struct policy *ret, struct error *err)
{
	struct policy p = { .seccomp_off = true };
	bool seccomp_said = false;
	int r;

	while ((r = chain_extend(c, err)) > 0)
		;
	for (size_t i = c->n; i-- > 0 && r == 0;) {
		r = read_link(&c->links[i], &p, err);
		seccomp_said = seccomp_said || json_get(c->links[i].root, "seccomp");
	}
	if (r == 0)
		r = check_whole(c, &p, seccomp_said, err);
	if (r < 0) {
		policy_release(&p);
		return -EINVAL;
	}
	p.trees = xcalloc(c->n, sizeof *p.trees);
	for (size_t i = c->n; i-- > 0;)
		p.trees[c->n - 1 - i] = steal_ptr(c->links[i].root);
	*ret = p;
	return 0;
}

char *policy_source(const struct policy *p, const char *key, const char *below)
{
	for (size_t i = strv_len(p->documents); i-- > 0 && p->trees;) {
		const struct json *j = json_get(p->trees[i], key);

		j = j && below ? json_get(j, below) : j;
		if (j)
			return xasprintf("%s:%u", p->documents[i], j->line);
	}
	return NULL;
}

static int finish(int r, const char *name, struct policy *ret, struct error *err)
{
	if (r == 0)
		ret->name = xstrdup(name);
	else
		schema_one_line(err->message);
	return r;
}

int policy_load(const char *name, struct policy *ret, struct error *err)
{
	_cleanup_(chain_release) struct chain c = { .n = 1 };
	struct error own;
	int r;

	err = err ? err : &own;
	r = link_find(&c.links[0], name, err);
	if (r == 0)
		r = link_parse(&c.links[0], err);
	if (r == 0)
		r = read_chain(&c, ret, err);
	return finish(r, name, ret, err);
}

int policy_parse(const char *text, size_t len, const char *name, struct policy *ret, struct error *err)
{
	_cleanup_(chain_release) struct chain c = { .n = 1 };
	struct error own;
	int r;

	err = err ? err : &own;
	if (len > MAX_BYTES)
		return error_set(err, EFBIG, "%s is larger than %d bytes", name, MAX_BYTES);
	c.links[0].name = xstrdup(name);
	r = json_parse(text, len, name, &c.links[0].root, err);
	if (r == 0)
		r = read_chain(&c, ret, err);
	return finish(r, name, ret, err);
}

void policy_release(struct policy *p)
{
	free(p->name);
	free(p->description);
	free(p->user);
	strv_free(p->capabilities);
	strv_free(p->masked_paths);
	strv_free(p->readonly_paths);
	for (size_t i = 0; p->trees && i < strv_len(p->documents); i++)
		json_free(p->trees[i]);
	free(p->trees);
	strv_free(p->documents);
	policy_release_landlock(&p->landlock);
	for (size_t i = 0; i < p->n_rlimits; i++)
		free(p->rlimits[i].type);
	free(p->rlimits);
	policy_release_rules(&p->seccomp);
	*p = (struct policy){ 0 };
}
