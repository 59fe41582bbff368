/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON, strictly, by yajl's callbacks into our own tree (yajl's own tree keeps neither lines nor duplicate
 * keys). yajl checks UTF-8 and the grammar; depth, duplicates, NUL bytes and size are checked here.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/base/path.h"

enum { MAX_DEPTH = 64, LINEAR_KEYS = 16, CHUNK_BYTES = 16384 };

/*
 * All of a tree lies in a few chunks that go at once: a document of a thousand nodes would otherwise cost three
 * thousand allocations, which was a third of a policy's reading.
 */
struct json_chunk {
	struct json_chunk *next;
	size_t used, size;
	char bytes[] __attribute__((aligned(16)));
};

struct builder {
	struct json_chunk *chunks;
	yajl_handle parser;
	const char *text, *name;
	size_t len;
	size_t counted;     /* bytes of text whose newlines are in line */
	unsigned line, depth;
	struct json *root, *open;
	char *key;          /* of the next value */
	struct error *err;
	bool failed;
};

static void *take(struct builder *b, size_t size)
{
	struct json_chunk *c = b->chunks;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

		c = xcalloc(1, sizeof *c + room);
		c->size = room;
		c->next = b->chunks;
		b->chunks = c;
	}
	p = c->bytes + c->used;
	c->used += size;
	return p;
}

static char *take_text(struct builder *b, const void *text, size_t len)
{
	char *copy = take(b, len + 1);

	memcpy(copy, text, len);
	return copy; /* chunks are zeroed: it ends with NUL */
}

static void free_chunks(struct json_chunk *c)
{
	while (c) {
		struct json_chunk *next = c->next;

		free(c);
		c = next;
	}
}

static unsigned line_now(struct builder *b)
{
	size_t at = yajl_get_bytes_consumed(b->parser);

	/* At the end yajl counts a blank of its own. */
	for (; b->counted < at && b->counted < b->len; b->counted++)
		b->line += b->text[b->counted] == '\n';
	return b->line;
}

static int refuse(struct builder *b, const char *what, const char *detail)
{
	(void)error_set(b->err, EINVAL, "%s:%u: %s%s%s", b->name, line_now(b), what, detail ? ": " : "",
			detail ? detail : "");
	b->failed = true;
	return 0;
}

static struct json *add(struct builder *b, enum json_type type)
{
	struct json *j = take(b, sizeof *j), *parent = b->open;

	j->type = type;
	j->line = line_now(b);
	j->parent = parent;
	j->key = steal_ptr(b->key);
	if (!parent) {
		b->root = j;
		return j;
	}
	if ((parent->n_items & (parent->n_items - 1)) == 0) { /* full at each power of two */
		struct json **more = take(b, (parent->n_items ? parent->n_items * 2 : 1) * sizeof *more);

		if (parent->n_items)
			memcpy(more, parent->items, parent->n_items * sizeof *more);
		parent->items = more;
	}
	parent->items[parent->n_items++] = j;
	return j;
}

static int on_null(void *ctx)
{
	(void)add(ctx, JSON_NULL);
	return 1;
}

static int on_boolean(void *ctx, int value)
{
	add(ctx, JSON_BOOL)->boolean = value;
	return 1;
}

static int on_number(void *ctx, const char *text, size_t len)
{
	char copy[64], *end;
	unsigned long long whole;
	struct json *j;

	if (len >= sizeof copy)
		return refuse(ctx, "a number of more than 63 digits", NULL);
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!strpbrk(copy, ".eE")) {
		long long value;

		errno = 0;
		value = strtoll(copy, &end, 10);
		if (errno == 0 && *end == '\0') {
			add(ctx, JSON_INT)->integer = value;
			return 1;
		}
	}
	j = add(ctx, JSON_DOUBLE); /* also integers beyond 64 bits: the reader of the field refuses them */
	j->number = strtod(copy, &end);
	errno = 0;
	whole = strtoull(copy, &end, 10);
	if (errno == 0 && *end == '\0' && copy[0] != '-')
		j->whole = whole;
	return 1;
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
	if (memchr(text, '\0', len))
		return refuse(ctx, "a string holds a NUL byte", NULL);
	add(ctx, JSON_STRING)->string = take_text(ctx, text, len);
	return 1;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Small objects are checked as they grow; large ones once at their end, sorted, so that 100,000 keys stay cheap. */
static int on_key(void *ctx, const unsigned char *text, size_t len)
{
	struct builder *b = ctx;

	if (memchr(text, '\0', len))
		return refuse(b, "a key holds a NUL byte", NULL);
	b->key = take_text(b, text, len);
	for (size_t i = 0; i < b->open->n_items && b->open->n_items < LINEAR_KEYS; i++)
		if (!strcmp(b->open->items[i]->key, b->key))
			return refuse(b, "duplicate key", b->key);
	return 1;
}

static int check_duplicates(struct builder *b, const struct json *object)
{
	_cleanup_free_ char **keys = NULL;

	if (object->n_items < LINEAR_KEYS)
		return 1;
	keys = xcalloc(object->n_items, sizeof *keys);
	for (size_t i = 0; i < object->n_items; i++)
		keys[i] = object->items[i]->key;
	qsort(keys, object->n_items, sizeof *keys, compare_keys);
	for (size_t i = 1; i < object->n_items; i++)
		if (!strcmp(keys[i - 1], keys[i]))
			return refuse(b, "duplicate key", keys[i]);
	return 1;
}

static int open_node(struct builder *b, enum json_type type)
{
	if (++b->depth > MAX_DEPTH)
		return refuse(b, "nested deeper than 64 levels", NULL);
	b->open = add(b, type);
	b->open->begin = (uint32_t)yajl_get_bytes_consumed(b->parser) - 1; /* documents are limited well below 4 GiB */
	return 1;
}

static int close_node(struct builder *b)
{
	b->depth--;
	b->open->end = (uint32_t)yajl_get_bytes_consumed(b->parser);
	b->open = (struct json *)(uintptr_t)b->open->parent; /* the tree is still ours to build */
	return 1;
}

static int on_start_object(void *ctx)
{
	return open_node(ctx, JSON_OBJECT);
}

static int on_start_array(void *ctx)
{
	return open_node(ctx, JSON_ARRAY);
}

static int on_end_object(void *ctx)
{
	struct builder *b = ctx;

	return check_duplicates(b, b->open) && close_node(b);
}

static int on_end_array(void *ctx)
{
	return close_node(ctx);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null, .yajl_boolean = on_boolean, .yajl_number = on_number, .yajl_string = on_string,
	.yajl_start_map = on_start_object, .yajl_map_key = on_key, .yajl_end_map = on_end_object,
	.yajl_start_array = on_start_array, .yajl_end_array = on_end_array,
};

/* yajl's own message without its quotation of the text: "parse error: trailing garbage". */
static void tell_syntax(struct builder *b)
{
	unsigned char *text = yajl_get_error(b->parser, 0, NULL, 0);
	size_t len = strcspn((char *)text, "\n");

	(void)error_set(b->err, EINVAL, "%s:%u: not JSON: %.*s", b->name, line_now(b), (int)len, text);
	yajl_free_error(b->parser, text);
}

int json_parse(const char *text, size_t len, const char *name, struct json **ret, struct error *err)
{
	struct builder b = { .text = text, .len = len, .name = name, .line = 1, .err = err };
	yajl_status status;

	b.parser = yajl_alloc(&callbacks, NULL, &b);
	if (!b.parser)
		return error_set(err, ENOMEM, "%s: out of memory", name);
	status = yajl_parse(b.parser, (const unsigned char *)text, len);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(b.parser);
	if (status != yajl_status_ok && !b.failed)
		tell_syntax(&b);
	if (status == yajl_status_ok && !b.root) {
		(void)error_set(err, EINVAL, "%s: empty: expected a JSON document", name);
		status = yajl_status_error;
	}
	yajl_free(b.parser);
	if (status != yajl_status_ok) {
		free_chunks(b.chunks);
		return -EINVAL;
	}
	b.root->chunks = b.chunks;
	*ret = b.root;
	return 0;
}

int json_parse_file(int dirfd, const char *path, size_t max, struct json **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read_at(dirfd, path, max, &text, &len, err);

	return r < 0 ? r : json_parse(text, len, path, ret, err);
}

void json_free(struct json *j)
{
	if (j)
		free_chunks(j->chunks);
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (size_t i = 0; i < object->n_items; i++)
		if (!strcmp(object->items[i]->key, key))
			return object->items[i];
	return NULL;
}

const char *json_string(const struct json *object, const char *key)
{
	const struct json *j = json_get(object, key);

	return j && j->type == JSON_STRING ? j->string : NULL;
}

bool json_uint(const struct json *j, uint64_t *ret)
{
	if (j->type == JSON_INT && j->integer >= 0)
		*ret = (uint64_t)j->integer;
	else if (j->type == JSON_DOUBLE && j->whole)
		*ret = j->whole;
	else if (j->type == JSON_DOUBLE && j->number >= 18446744073709551615.0)
		*ret = UINT64_MAX;
	else if (j->type == JSON_DOUBLE && j->number >= 9223372036854775808.0)
		*ret = (uint64_t)j->number;
	else
		return false;
	return true;
}

const char *json_path(const struct json *j, char *buf, size_t size)
{
	size_t len;

	buf[0] = '\0';
	if (!j || !j->parent)
		return buf;
	(void)json_path(j->parent, buf, size);
	len = strlen(buf);
	if (j->parent->type == JSON_OBJECT) {
		(void)snprintf(buf + len, size - len, "%s%s", len ? "." : "", j->key);
		return buf;
	}
	for (size_t i = 0; i < j->parent->n_items; i++)
		if (j->parent->items[i] == j)
			(void)snprintf(buf + len, size - len, "[%zu]", i);
	return buf;
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = { "null", "a boolean", "an integer", "a number", "a string", "an array",
		"an object" };

	return names[type];
}
