/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy as a document that extends nothing: what is in force, whatever chain it came from. Written by the same
 * tables that read it; a key of kind KEY_CUSTOM writes itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/schema.h"
#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/base/sha256.h"
#include "runtime/base/strbuf.h"

static void write_list(struct json_writer *w, const char *key, char *const *list)
{
	json_begin_array(w, key);
	strv_foreach(item, list)
		json_put_string(w, NULL, item);
	json_end(w);
}

static void write_key(struct json_writer *w, const struct key *key, const void *in)
{
	const void *at = (const char *)in + key->offset;

	switch (key->kind) {
	case KEY_BOOL:
		json_put_bool(w, key->name, *(const bool *)at);
		break;
	case KEY_STRING:
		if (*(char *const *)at)
			json_put_string(w, key->name, *(char *const *)at);
		break;
	case KEY_COUNT:
	case KEY_SIZE:
		if (*(const uint64_t *)at)
			json_put_uint(w, key->name, *(const uint64_t *)at);
		break;
	case KEY_DURATION:
		if (*(const uint64_t *)at) {
			_cleanup_free_ char *text = xasprintf("%lluus", (unsigned long long)*(const uint64_t *)at);

			json_put_string(w, key->name, text);
		}
		break;
	case KEY_ENUM:
		json_put_string(w, key->name, key->names[*(const int *)at]);
		break;
	case KEY_ARRAY:
	case KEY_LIST:
		if (*(char **const *)at)
			write_list(w, key->name, *(char **const *)at);
		break;
	case KEY_OBJECT:
		json_begin_object(w, key->name);
		schema_write(w, key->keys, at);
		json_end(w);
		break;
	case KEY_CUSTOM:
		if (key->write)
			key->write(w, key->name, at);
		break;
	}
}

void schema_write(struct json_writer *w, const struct key *keys, const void *in)
{
	for (; keys->name; keys++)
		write_key(w, keys, in);
}

static char *write_document(const struct policy *p, bool compact)
{
	struct json_writer *w = json_writer_new(compact);

	json_begin_object(w, NULL);
	schema_write(w, policy_keys, p);
	json_end(w);
	return json_writer_finish(w, NULL);
}

char *policy_effective(const struct policy *p)
{
	return write_document(p, false);
}

char *policy_canonical(const struct policy *p)
{
	struct policy same = *p; /* borrowed */
	size_t bytes = p->seccomp.n_rules * sizeof *p->seccomp.rules;
	char *text;

	/* What it is called and where it is kept is no part of what it says. */
	same.description = same.name = NULL;
	same.seccomp.rules = bytes ? xmemdup(p->seccomp.rules, bytes) : NULL;
	for (size_t i = 0; i < same.seccomp.n_rules; i++)
		same.seccomp.rules[i].document = NULL;
	text = write_document(&same, true);
	free(same.seccomp.rules);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

char *policy_digest(const struct policy *p)
{
	_cleanup_free_ char *text = policy_canonical(p);
	char hex[SHA256_HEX];

	sha256_hex(text, strlen(text), hex);
	return xasprintf("sha256:%s", hex);
}

static void flatten(const struct json *j, char ***lines)
{
	char path[256];

	if (j->type == JSON_OBJECT || (j->type == JSON_ARRAY && j->n_items && j->items[0]->type != JSON_STRING)) {
		json_foreach(item, j)
			flatten(item, lines);
		return;
	}
	(void)json_path(j, path, sizeof path); /* cut: a path that long is one of ours no more */
	if (j->type == JSON_ARRAY) {
		if (j->n_items == 0)
			strv_push(lines, xasprintf("%s: []", path));
		json_foreach(item, j)
			strv_push(lines, xasprintf("%s: %s", path, item->string));
	} else if (j->type == JSON_STRING) {
		strv_push(lines, xasprintf("%s: %s", path, j->string));
	} else if (j->type == JSON_INT) {
		strv_push(lines, xasprintf("%s: %lld", path, (long long)j->integer));
	} else if (j->type == JSON_BOOL) {
		strv_push(lines, xasprintf("%s: %s", path, j->boolean ? "true" : "false"));
	} else if (j->type == JSON_DOUBLE) {
		strv_push(lines, xasprintf("%s: %g", path, j->number));
	}
}

char **policy_effective_lines(const struct policy *p)
{
	_cleanup_free_ char *text = policy_effective(p);
	_cleanup_json_ struct json *root = NULL;
	char **lines = NULL;

	if (json_parse(text, strlen(text), "policy", &root, NULL) < 0)
		return NULL;
	json_foreach(item, root)
		if (strcmp(item->key, "seccomp") && strcmp(item->key, "description") && strcmp(item->key, "extends"))
			flatten(item, &lines);
	return lines;
}
