/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an object of a policy document by a table of keys, and the errors that this can give. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policies/schema.h"
#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/base/strbuf.h"

enum { MAX_ITEMS = 1024, MAX_WORD = 32 };

void schema_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int schema_refuse(const struct document *d, const struct json *j, struct error *err, const char *fmt, ...)
{
	char path[256], what[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	(void)json_path(j, path, sizeof path);
	schema_one_line(path);
	schema_one_line(what);
	return error_set(err, EINVAL, "%s:%u: %s%s%s", d->name, j->line, path, *path ? ": " : "", what);
}

int schema_expect(const struct document *d, const struct json *j, enum json_type type, struct error *err)
{
	if (j->type == type)
		return 0;
	return schema_refuse(d, j, err, "%s: expected %s", json_type_name(j->type), json_type_name(type));
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, for words shorter than MAX_WORD. */
static size_t distance(const char *a, const char *b)
{
	size_t row[MAX_WORD + 1], a_len = strlen(a), b_len = strlen(b);

	if (a_len > MAX_WORD || b_len > MAX_WORD)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t above = row[j];

			row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

const char *schema_nearest(const char *word, const char *const *candidates)
{
	const char *best = NULL;
	size_t best_distance = strlen(word) / 3 + 2; /* further off is a guess, not a help */

	for (; *candidates; candidates++) {
		size_t d = distance(word, *candidates);

		if (d < best_distance) {
			best = *candidates;
			best_distance = d;
		}
	}
	return best;
}

static void list_words(struct strbuf *b, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		strbuf_printf(b, "%s%s", i ? ", " : "", words[i]);
}

/* ---- one value of each kind ---- */

static int read_string(const struct document *d, const struct json *j, const struct key *key, char **ret,
		struct error *err)
{
	const char *allowed;
	char *value = NULL;
	int r = schema_expect(d, j, JSON_STRING, err);

	if (r < 0)
		return r;
	allowed = key->check ? key->check(j->string, &value) : NULL;
	if (allowed)
		return schema_refuse(d, j, err, "\"%s\": %s", j->string, allowed);
	*ret = key->check ? value : xstrdup(j->string);
	return 0;
}

static int check_range(const struct document *d, const struct json *j, uint64_t value, const struct key *key,
		struct error *err)
{
	if (value >= key->min && value <= key->max)
		return 0;
	return schema_refuse(d, j, err, "out of range: %llu to %llu%s", (unsigned long long)key->min,
			(unsigned long long)key->max,
			key->kind == KEY_SIZE ? " bytes" : key->kind == KEY_DURATION ? " microseconds" : "");
}

static int read_count(const struct document *d, const struct json *j, const struct key *key, uint64_t *ret,
		struct error *err)
{
	int r = schema_expect(d, j, JSON_INT, err);

	if (r < 0)
		return r;
	if (j->integer < 0)
		return schema_refuse(d, j, err, "negative: %llu to %llu", (unsigned long long)key->min,
				(unsigned long long)key->max);
	r = check_range(d, j, (uint64_t)j->integer, key, err);
	if (r == 0)
		*ret = (uint64_t)j->integer;
	return r;
}

/* An integer of the unit that factor says, or a string for parse(). */
static int read_quantity(const struct document *d, const struct json *j, const struct key *key, uint64_t factor,
		int (*parse)(const char *, uint64_t *), const char *allowed, uint64_t *ret, struct error *err)
{
	uint64_t value = 0;
	int r;

	if (j->type == JSON_INT)
		r = j->integer < 0 ? -EINVAL :
		    __builtin_mul_overflow((uint64_t)j->integer, factor, &value) ? -ERANGE : 0;
	else if (j->type == JSON_STRING)
		r = parse(j->string, &value);
	else
		return schema_refuse(d, j, err, "%s: expected %s", json_type_name(j->type), allowed);
	if (r < 0)
		return schema_refuse(d, j, err, "%s%s%s%s: expected %s", j->type == JSON_STRING ? "\"" : "",
				j->type == JSON_STRING ? j->string : "", j->type == JSON_STRING ? "\" is " : "",
				r == -ERANGE ? "too large" : j->type == JSON_INT ? "negative" : "malformed", allowed);
	r = check_range(d, j, value, key, err);
	if (r == 0)
		*ret = value;
	return r;
}

int schema_size(const struct document *d, const struct json *j, uint64_t min, uint64_t max, uint64_t *ret,
		struct error *err)
{
	const struct key key = { .kind = KEY_SIZE, .min = min, .max = max };

	return read_quantity(d, j, &key, 1, size_parse, "bytes or a size such as \"64m\"", ret, err);
}

static int read_enum(const struct document *d, const struct json *j, const struct key *key, int *ret,
		struct error *err)
{
	_cleanup_strbuf_ struct strbuf allowed = { 0 };
	int r = schema_expect(d, j, JSON_STRING, err);

	if (r < 0)
		return r;
	for (int i = 0; key->names[i]; i++)
		if (!strcmp(j->string, key->names[i])) {
			*ret = i;
			return 0;
		}
	list_words(&allowed, key->names);
	return schema_refuse(d, j, err, "unknown value \"%s\": one of %s", j->string, allowed.text);
}

/* ---- lists ---- */

static int read_array(const struct document *d, const struct json *j, const struct key *key, char ***list,
		struct error *err)
{
	_cleanup_strv_ char **items = NULL;
	int r = schema_expect(d, j, JSON_ARRAY, err);

	if (r < 0)
		return r;
	if (j->n_items > MAX_ITEMS)
		return schema_refuse(d, j, err, "%zu items: at most %d", j->n_items, MAX_ITEMS);
	items = xcalloc(j->n_items + 1, sizeof *items);
	for (size_t i = 0; i < j->n_items; i++) {
		r = read_string(d, j->items[i], key, &items[i], err);
		if (r < 0)
			return r;
	}
	strv_free(*list);
	*list = steal_ptr(items);
	return 0;
}

static bool contains(char *const *list, const char *word)
{
	strv_foreach(item, list)
		if (!strcmp(item, word))
			return true;
	return false;
}

struct change {
	char **add, **drop;
};

/* *list without what is dropped, then what is added; each once. */
static void change_list(char ***list, const struct change *change)
{
	char **made = xcalloc(1, sizeof *made); /* nothing left is not the same as nothing said */

	strv_foreach(kept, *list)
		if (!contains(change->drop, kept) && !contains(made, kept))
			strv_push(&made, xstrdup(kept));
	strv_foreach(added, change->add)
		if (!contains(made, added))
			strv_push(&made, xstrdup(added));
	strv_free(*list);
	*list = made;
}

static int read_list(const struct document *d, const struct json *j, const struct key *key, char ***list,
		struct error *err)
{
	const struct key change_keys[] = {
		{ "add", KEY_ARRAY, AT(struct change, add), .check = key->check },
		{ "drop", KEY_ARRAY, AT(struct change, drop), .check = key->check },
		{ .name = NULL },
	};
	struct change change = { 0 };
	int r;

	if (j->type != JSON_OBJECT)
		return read_array(d, j, key, list, err);
	r = schema_read(d, j, change_keys, &change, err);
	strv_foreach(item, change.add)
		if (r == 0 && contains(change.drop, item))
			r = schema_refuse(d, j, err, "%s is both added and dropped: one of the two", item);
	if (r == 0)
		change_list(list, &change);
	strv_free(change.add);
	strv_free(change.drop);
	return r;
}

/* ---- objects ---- */

static void reset_strings(char ***list)
{
	strv_free(*list);
	*list = NULL;
}

/* null: as if no document had said anything. */
static int reset_key(const struct document *d, const struct json *j, const struct key *key, void *out,
		struct error *err)
{
	void *at = (char *)out + key->offset;
	int r = 0;

	switch (key->kind) {
	case KEY_BOOL:
		*(bool *)at = false;
		break;
	case KEY_STRING:
		free(*(char **)at);
		*(char **)at = NULL;
		break;
	case KEY_COUNT:
	case KEY_SIZE:
	case KEY_DURATION:
		*(uint64_t *)at = 0;
		break;
	case KEY_ENUM:
		*(int *)at = 0;
		break;
	case KEY_ARRAY:
	case KEY_LIST:
		reset_strings(at);
		break;
	case KEY_OBJECT:
		for (const struct key *k = key->keys; k->name && r == 0; k++)
			r = reset_key(d, j, k, at, err);
		break;
	case KEY_CUSTOM:
		r = key->read(d, j, at, err);
		break;
	}
	return r;
}

static int read_key(const struct document *d, const struct json *j, const struct key *key, void *out,
		struct error *err)
{
	void *at = (char *)out + key->offset;
	char *text = NULL;
	int r = 0;

	if (j->type == JSON_NULL)
		return reset_key(d, j, key, out, err);
	switch (key->kind) {
	case KEY_BOOL:
		r = schema_expect(d, j, JSON_BOOL, err);
		if (r == 0)
			*(bool *)at = j->boolean;
		break;
	case KEY_STRING:
		r = read_string(d, j, key, &text, err);
		if (r == 0) {
			free(*(char **)at);
			*(char **)at = text;
		}
		break;
	case KEY_COUNT:
		r = read_count(d, j, key, at, err);
		break;
	case KEY_SIZE:
		r = schema_size(d, j, key->min, key->max, at, err);
		break;
	case KEY_DURATION:
		r = read_quantity(d, j, key, 1000, duration_parse_us, "milliseconds or a duration such as \"10s\"", at,
				err);
		break;
	case KEY_ENUM:
		r = read_enum(d, j, key, at, err);
		break;
	case KEY_ARRAY:
		r = read_array(d, j, key, at, err);
		break;
	case KEY_LIST:
		r = read_list(d, j, key, at, err);
		break;
	case KEY_OBJECT:
		r = schema_read(d, j, key->keys, at, err);
		break;
	case KEY_CUSTOM:
		r = key->read(d, j, at, err);
		break;
	}
	return r;
}

static int refuse_key(const struct document *d, const struct json *j, const struct key *keys, struct error *err)
{
	_cleanup_free_ const char **names = NULL;
	_cleanup_strbuf_ struct strbuf allowed = { 0 };
	const char *near;
	size_t n = 0;

	while (keys[n].name)
		n++;
	names = xcalloc(n + 1, sizeof *names);
	for (size_t i = 0; i < n; i++)
		names[i] = keys[i].name;
	near = schema_nearest(j->key, names);
	if (near)
		return schema_refuse(d, j, err, "unknown key: did you mean \"%s\"?", near);
	list_words(&allowed, names);
	return schema_refuse(d, j, err, "unknown key: one of %s", allowed.text);
}

int schema_read(const struct document *d, const struct json *j, const struct key *keys, void *out, struct error *err)
{
	int r = schema_expect(d, j, JSON_OBJECT, err);

	for (size_t i = 0; r == 0 && i < j->n_items; i++) {
		const struct key *key = keys;

		while (key->name && strcmp(key->name, j->items[i]->key) != 0)
			key++;
		r = key->name ? read_key(d, j->items[i], key, out, err) : refuse_key(d, j->items[i], keys, err);
	}
	return r;
}
