/* SPDX-License-Identifier: Apache-2.0 */
/* Structs described by tables: reading, writing and freeing them. See record.h for the kinds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/base64.h"
#include "runtime/base/record.h"

enum { MAX_RECORDS = 100000 };

static void *at(const void *record, size_t offset)
{
	return (char *)(uintptr_t)record + offset;
}

static const char *document(const struct json *j, char *buf, size_t size)
{
	(void)json_path(j, buf, size);
	return buf[0] ? buf : "the document";
}

static int wrong(const struct json *j, const char *expected, struct error *err)
{
	char path[512];

	return error_set(err, EINVAL, "line %u: %s: expected %s, found %s", j->line,
			document(j, path, sizeof path), expected, json_type_name(j->type));
}

static const char *name_at(const char *const *names, size_t index)
{
	for (size_t i = 0; names[i]; i++)
		if (i == index)
			return names[i];
	return NULL;
}

static int name_index(const struct json *j, const char *const *names, size_t *ret, struct error *err)
{
	char path[512];

	if (j->type != JSON_STRING)
		return wrong(j, "a name", err);
	for (size_t i = 0; names[i]; i++)
		if (!strcmp(names[i], j->string)) {
			*ret = i;
			return 0;
		}
	return error_set(err, EINVAL, "line %u: %s: unknown value: %s", j->line, document(j, path, sizeof path),
			j->string);
}

static int read_uint(const struct json *j, uint64_t *ret, struct error *err)
{
	return json_uint(j, ret) ? 0 : wrong(j, "a whole number, 0 or more", err);
}

static int read_strings(const struct json *j, char ***ret, struct error *err)
{
	char **list;

	if (j->type != JSON_ARRAY)
		return wrong(j, "an array of strings", err);
	json_foreach(item, j)
		if (item->type != JSON_STRING)
			return wrong(item, "a string", err);
	list = xcalloc(j->n_items + 1, sizeof *list);
	for (size_t i = 0; i < j->n_items; i++)
		list[i] = xstrdup(j->items[i]->string);
	*ret = list;
	return 0;
}

static int read_records(const struct json *j, const struct field *f, void *out, struct error *err)
{
	size_t *count = at(out, f->count_offset);
	char *items;

	if (j->type != JSON_ARRAY)
		return wrong(j, "an array", err);
	if (j->n_items > MAX_RECORDS)
		return error_set(err, EINVAL, "line %u: %s: more than %d entries", j->line, f->key, MAX_RECORDS);
	items = xcalloc(j->n_items, f->record->size);
	*(char **)at(out, f->offset) = items;
	*count = 0;
	for (size_t i = 0; i < j->n_items; i++) {
		int r = record_read(j->items[i], f->record, items + i * f->record->size, err);

		if (r < 0)
			return r;
		*count = i + 1;
	}
	return 0;
}

static int read_flags(const struct json *j, const struct field *f, uint64_t *ret, struct error *err)
{
	uint64_t bits = 0;

	if (j->type != JSON_ARRAY)
		return wrong(j, "an array of names", err);
	json_foreach(item, j) {
		size_t index;
		int r = name_index(item, f->names, &index, err);

		if (r < 0)
			return r;
		bits |= UINT64_C(1) << index;
	}
	*ret = bits;
	return 0;
}

static int read_field(const struct json *j, const struct field *f, void *out, struct error *err)
{
	void *to = at(out, f->offset);
	struct bytes *bytes;
	size_t index;
	int r;

	switch (f->kind) {
	case FIELD_BOOL:
		if (j->type != JSON_BOOL)
			return wrong(j, "true or false", err);
		*(bool *)to = j->boolean;
		return 0;
	case FIELD_INT:
		if (j->type != JSON_INT)
			return wrong(j, "a whole number", err);
		*(int64_t *)to = j->integer;
		return 0;
	case FIELD_UINT:
		return read_uint(j, to, err);
	case FIELD_DOUBLE:
		if (j->type != JSON_INT && j->type != JSON_DOUBLE)
			return wrong(j, "a number", err);
		*(double *)to = j->type == JSON_INT ? (double)j->integer : j->number;
		return 0;
	case FIELD_STRING:
		if (j->type != JSON_STRING)
			return wrong(j, "a string", err);
		*(char **)to = xstrdup(j->string);
		return 0;
	case FIELD_STRINGS:
		return read_strings(j, to, err);
	case FIELD_BYTES:
		bytes = to;
		if (j->type != JSON_STRING || base64_decode(j->string, &bytes->data, &bytes->len) < 0)
			return wrong(j, "base64 text", err);
		return 0;
	case FIELD_ENUM:
		r = name_index(j, f->names, &index, err);
		if (r == 0)
			*(int *)to = (int)index;
		return r;
	case FIELD_FLAGS:
		return read_flags(j, f, to, err);
	case FIELD_RECORD:
		return record_read(j, f->record, to, err);
	case FIELD_RECORDS:
		return read_records(j, f, out, err);
	}
	return error_set(err, EINVAL, "%s: a field of no known kind", f->key);
}

static const struct field *find_field(const struct record_type *type, const char *key)
{
	for (const struct field *f = type->fields; f->key; f++)
		if (!strcmp(f->key, key))
			return f;
	return NULL;
}

static int read_all(const struct json *j, const struct record_type *type, void *out, struct error *err)
{
	char path[512];

	if (j->type != JSON_OBJECT)
		return wrong(j, "an object", err);
	json_foreach(item, j) {
		const struct field *f = find_field(type, item->key);
		int r;

		if (!f)
			return error_set(err, EINVAL, "line %u: %s: unknown key", item->line,
					json_path(item, path, sizeof path));
		if (item->type == JSON_NULL)
			continue;
		r = read_field(item, f, out, err);
		if (r < 0)
			return r;
	}
	for (const struct field *f = type->fields; f->key; f++)
		if (f->required && !json_get(j, f->key))
			return error_set(err, EINVAL, "line %u: %s: missing key: %s", j->line,
					document(j, path, sizeof path), f->key);
	return 0;
}

int record_read(const struct json *j, const struct record_type *type, void *out, struct error *err)
{
	int r = read_all(j, type, out, err);

	if (r < 0)
		record_release(type, out);
	return r;
}

static bool is_empty(const struct field *f, const void *in)
{
	const void *from = at(in, f->offset);

	switch (f->kind) {
	case FIELD_BOOL: return !*(const bool *)from;
	case FIELD_INT: return !*(const int64_t *)from;
	case FIELD_UINT: case FIELD_FLAGS: return !*(const uint64_t *)from;
	case FIELD_DOUBLE: return *(const double *)from == 0;
	case FIELD_STRING: return !*(char *const *)from;
	case FIELD_STRINGS: return !strv_len(*(char **const *)from);
	case FIELD_BYTES: return !((const struct bytes *)from)->len;
	case FIELD_RECORDS: return !*(const size_t *)at(in, f->count_offset);
	case FIELD_ENUM: return false; /* a name says more than its absence */
	case FIELD_RECORD: break;
	}
	for (const struct field *g = f->record->fields; g->key; g++)
		if (g->kind == FIELD_ENUM ? *(const int *)at(from, g->offset) != 0 : !is_empty(g, from))
			return false;
	return true;
}

static void write_list(struct json_writer *w, const struct field *f, const void *from)
{
	json_begin_array(w, f->key);
	if (f->kind == FIELD_STRINGS) {
		strv_foreach(s, *(char **const *)from)
			json_put_string(w, NULL, s);
	} else {
		for (size_t i = 0; f->names[i]; i++)
			if (*(const uint64_t *)from >> i & 1)
				json_put_string(w, NULL, f->names[i]);
	}
	json_end(w);
}

static void write_records(struct json_writer *w, const struct field *f, const void *in, bool all)
{
	size_t count = *(const size_t *)at(in, f->count_offset);
	const char *items = *(char *const *)at(in, f->offset);

	json_begin_array(w, f->key);
	for (size_t i = 0; i < count; i++)
		record_write(w, NULL, f->record, items + i * f->record->size, all);
	json_end(w);
}

static void write_bytes(struct json_writer *w, const struct field *f, const struct bytes *bytes)
{
	_cleanup_free_ char *text = base64_encode(bytes->data, bytes->len);

	json_put_string(w, f->key, text);
}

static void write_field(struct json_writer *w, const struct field *f, const void *in, bool all)
{
	const void *from = at(in, f->offset);

	switch (f->kind) {
	case FIELD_BOOL: json_put_bool(w, f->key, *(const bool *)from); break;
	case FIELD_INT: json_put_int(w, f->key, *(const int64_t *)from); break;
	case FIELD_UINT: json_put_uint(w, f->key, *(const uint64_t *)from); break;
	case FIELD_DOUBLE: json_put_double(w, f->key, *(const double *)from); break;
	case FIELD_STRING: json_put_string(w, f->key, *(char *const *)from); break;
	case FIELD_STRINGS: case FIELD_FLAGS: write_list(w, f, from); break;
	case FIELD_BYTES: write_bytes(w, f, from); break;
	case FIELD_ENUM: json_put_string(w, f->key, name_at(f->names, (size_t)*(const int *)from)); break;
	case FIELD_RECORD: record_write(w, f->key, f->record, from, all); break;
	case FIELD_RECORDS: write_records(w, f, in, all); break;
	}
}

void record_write(struct json_writer *w, const char *key, const struct record_type *type, const void *in, bool all)
{
	json_begin_object(w, key);
	for (const struct field *f = type->fields; f->key; f++)
		if (all || !is_empty(f, in))
			write_field(w, f, in, all);
	json_end(w);
}

static void release_records(const struct field *f, void *record)
{
	size_t count = *(size_t *)at(record, f->count_offset);
	char *items = *(char **)at(record, f->offset);

	for (size_t i = 0; i < count; i++)
		record_release(f->record, items + i * f->record->size);
	free(items);
	*(size_t *)at(record, f->count_offset) = 0;
}

static void release_field(const struct field *f, void *record)
{
	void *p = at(record, f->offset);

	if (f->kind == FIELD_STRING)
		free(*(char **)p);
	else if (f->kind == FIELD_STRINGS)
		strv_free(*(char ***)p);
	else if (f->kind == FIELD_BYTES)
		free(((struct bytes *)p)->data);
	else if (f->kind == FIELD_RECORD)
		record_release(f->record, p);
	else if (f->kind == FIELD_RECORDS)
		release_records(f, record);
}

void record_release(const struct record_type *type, void *record)
{
	for (const struct field *f = type->fields; f->key; f++)
		release_field(f, record);
	memset(record, 0, type->size);
}

void record_release_field(const struct record_type *type, size_t offset, void *record)
{
	for (const struct field *f = type->fields; f->key; f++) {
		if (f->offset != offset)
			continue;
		release_field(f, record);
		if (f->kind == FIELD_BYTES)
			*(struct bytes *)at(record, offset) = (struct bytes){ 0 };
		else if (f->kind == FIELD_STRING || f->kind == FIELD_STRINGS || f->kind == FIELD_RECORDS)
			*(void **)at(record, offset) = NULL;
	}
}
