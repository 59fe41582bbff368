/* SPDX-License-Identifier: Apache-2.0 */
/* Reading objects of the specification by tables: the kinds of members, their limits, and how a refusal reads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/oci/spec_reader.h"

enum { PATH_SIZE = 512, TEXT_SIZE = 400 };

static int refuse(const struct spec *s, const struct json *j, const char *key, const char *fmt, va_list args)
{
	char path[PATH_SIZE], text[TEXT_SIZE];

	(void)vsnprintf(text, sizeof text, fmt, args); /* cut where it is too long */
	(void)json_path(j, path, sizeof path);
	return error_set(s->err, EINVAL, "%s:%u: %s%s%s%s%s", s->file, j->line, path, path[0] && key ? "." : "",
			key ? key : "", path[0] || key ? ": " : "", text);
}

int spec_refuse(const struct spec *s, const struct json *j, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = refuse(s, j, NULL, fmt, args);
	va_end(args);
	return r;
}

int spec_refuse_member(const struct spec *s, const struct json *j, const char *key, const char *fmt, ...)
{
	const struct json *member = json_get(j, key);
	va_list args;
	int r;

	va_start(args, fmt);
	r = member ? refuse(s, member, NULL, fmt, args) : refuse(s, j, key, fmt, args);
	va_end(args);
	return r;
}

int spec_wrong(const struct spec *s, const struct json *j, const char *expected)
{
	return spec_refuse(s, j, "expected %s, found %s", expected, json_type_name(j->type));
}

static const struct spec_row *find_row(const struct spec_row *rows, const char *key)
{
	for (const struct spec_row *row = rows; row->key; row++)
		if (!strcmp(row->key, key))
			return row;
	return NULL;
}

int spec_members(const struct spec *s, const struct json *j, const struct spec_row *rows, void *out)
{
	if (j->type != JSON_OBJECT)
		return spec_wrong(s, j, "an object");
	json_foreach(item, j) {
		const struct spec_row *row = find_row(rows, item->key);
		int r;

		if (!row || item->type == JSON_NULL)
			continue;
		r = row->read(s, item, row, out);
		if (r < 0)
			return r;
		if (row->set_offset)
			*(bool *)((char *)out + row->set_offset) = true;
	}
	for (const struct spec_row *row = rows; row->key; row++) {
		const struct json *member = row->required ? json_get(j, row->key) : NULL;

		if (row->required && (!member || member->type == JSON_NULL))
			return spec_refuse_member(s, j, row->key, "missing: it is required");
	}
	return 0;
}

int spec_bool(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	if (j->type != JSON_BOOL)
		return spec_wrong(s, j, "true or false");
	*(bool *)spec_at(out, row) = j->boolean;
	return 0;
}

int spec_uint(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	uint64_t max = row->max ? row->max : UINT64_MAX, value;

	if (!json_uint(j, &value)) {
		if (j->type != JSON_INT && j->type != JSON_DOUBLE)
			return spec_wrong(s, j, "a whole number");
		return spec_refuse(s, j, "expected a whole number, 0 to %llu", (unsigned long long)max);
	}
	if (value > max)
		return spec_refuse(s, j, "%llu is too large: at most %llu", (unsigned long long)value,
				(unsigned long long)max);
	*(uint64_t *)spec_at(out, row) = value;
	return 0;
}

int spec_int(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	int64_t max = row->max ? (int64_t)row->max : INT64_MAX, min = row->min || row->max ? row->min : INT64_MIN;

	if (j->type != JSON_INT && j->type != JSON_DOUBLE)
		return spec_wrong(s, j, "a whole number");
	if (j->type != JSON_INT || j->integer < min || j->integer > max)
		return spec_refuse(s, j, "expected a whole number, %lld to %lld", (long long)min, (long long)max);
	*(int64_t *)spec_at(out, row) = j->integer;
	return 0;
}

/* An update replaces what the record has. */
static void forget(const struct spec *s, const struct spec_row *row, void *out)
{
	if (s->type)
		record_release_field(s->type, row->offset, out);
}

int spec_string(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	if (j->type != JSON_STRING)
		return spec_wrong(s, j, "a string");
	forget(s, row, out);
	if (j->string[0]) /* empty: as if it were not there */
		*(char **)spec_at(out, row) = xstrdup(j->string);
	else if (row->required)
		return spec_refuse(s, j, "empty");
	return 0;
}

int spec_path(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	if (j->type == JSON_STRING && j->string[0] && j->string[0] != '/')
		return spec_refuse(s, j, "not an absolute path: %s", j->string);
	return spec_string(s, j, row, out);
}

int spec_word(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	if (j->type != JSON_STRING)
		return spec_wrong(s, j, "a string");
	if (!j->string[0] && !row->required)
		return 0;
	for (size_t i = 0; row->words[i]; i++)
		if (!strcmp(row->words[i], j->string))
			return spec_string(s, j, row, out);
	return spec_refuse(s, j, "unknown value: %s", j->string);
}

static int read_strings(const struct spec *s, const struct json *j, const struct spec_row *row, void *out, bool paths)
{
	size_t max = row->max ? row->max : SPEC_MAX_STRINGS;
	char **list;

	if (j->type != JSON_ARRAY)
		return spec_wrong(s, j, "an array of strings");
	if (j->n_items > max)
		return spec_refuse(s, j, "%zu entries: at most %zu", j->n_items, max);
	json_foreach(item, j) {
		if (item->type != JSON_STRING)
			return spec_wrong(s, item, "a string");
		if (paths && item->string[0] != '/')
			return spec_refuse(s, item, "not an absolute path: %s", item->string);
	}
	list = xcalloc(j->n_items + 1, sizeof *list);
	for (size_t i = 0; i < j->n_items; i++)
		list[i] = xstrdup(j->items[i]->string);
	*(char ***)spec_at(out, row) = list;
	return 0;
}

int spec_strings(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return read_strings(s, j, row, out, false);
}

int spec_paths(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return read_strings(s, j, row, out, true);
}

int spec_record(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	int r = spec_members(s, j, row->rows, spec_at(out, row));

	return r < 0 || !row->check ? r : row->check(s, j, spec_at(out, row));
}

int spec_list(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	size_t *count = (size_t *)(void *)((char *)out + row->count_offset);
	size_t max = row->max ? row->max : SPEC_MAX_ENTRIES;
	char *items;

	if (j->type != JSON_ARRAY)
		return spec_wrong(s, j, "an array");
	if (j->n_items > max)
		return spec_refuse(s, j, "%zu entries: at most %zu", j->n_items, max);
	forget(s, row, out);
	if (j->n_items == 0)
		return 0;
	items = xcalloc(j->n_items, row->size);
	*(char **)spec_at(out, row) = items;
	for (size_t i = 0; i < j->n_items; i++) {
		int r;

		*count = i + 1; /* so that a half-read entry is released too */
		r = spec_members(s, j->items[i], row->rows, items + i * row->size);
		if (r == 0 && row->check)
			r = row->check(s, j->items[i], items + i * row->size);
		if (r < 0)
			return r;
	}
	return 0;
}

int spec_pairs(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	size_t *count = (size_t *)(void *)((char *)out + row->count_offset);
	size_t max = row->max ? row->max : SPEC_MAX_ENTRIES;
	struct plan_pair *pairs;

	if (j->type != JSON_OBJECT)
		return spec_wrong(s, j, "an object");
	if (j->n_items > max)
		return spec_refuse(s, j, "%zu entries: at most %zu", j->n_items, max);
	json_foreach(item, j) {
		if (item->key[0] == '\0')
			return spec_refuse(s, item, "an empty key");
		if (item->type != JSON_STRING)
			return spec_wrong(s, item, "a string");
	}
	forget(s, row, out);
	if (j->n_items == 0)
		return 0;
	pairs = xcalloc(j->n_items, sizeof *pairs);
	for (size_t i = 0; i < j->n_items; i++)
		pairs[i] = (struct plan_pair){ xstrdup(j->items[i]->key), xstrdup(j->items[i]->string) };
	*(struct plan_pair **)spec_at(out, row) = pairs;
	*count = j->n_items;
	return 0;
}

int spec_unsupported(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	bool empty = j->type == JSON_STRING ? !j->string[0] : (j->type == JSON_OBJECT || j->type == JSON_ARRAY) &&
			j->n_items == 0;

	return empty ? 0 : spec_refuse(s, j, "not supported");
}
