/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON by yajl's generator. Texts from outside may be no UTF-8: what is broken becomes U+FFFD. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/base/strbuf.h"

enum { MAX_OPEN = 64 };

struct json_writer {
	yajl_gen gen;
	bool array[MAX_OPEN];
	unsigned depth;
};

struct json_writer *json_writer_new(bool compact)
{
	struct json_writer *w = xcalloc(1, sizeof *w);

	w->gen = yajl_gen_alloc(NULL);
	if (!w->gen)
		abort(); /* out of memory */
	(void)yajl_gen_config(w->gen, yajl_gen_beautify, !compact);
	(void)yajl_gen_config(w->gen, yajl_gen_indent_string, "  ");
	return w;
}

/* The length of the UTF-8 sequence at s (no overlong forms, no surrogates), 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		: s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
			(s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void put_text(struct json_writer *w, const char *text)
{
	_cleanup_strbuf_ struct strbuf clean = { 0 };
	const unsigned char *s = (const unsigned char *)text;
	bool broken = false;

	for (const unsigned char *p = s; *p && !broken;) {
		size_t n = utf8_length(p);

		broken = n == 0;
		p += n;
	}
	if (!broken) {
		(void)yajl_gen_string(w->gen, s, strlen(text));
		return;
	}
	while (*s) {
		size_t n = utf8_length(s);

		strbuf_add(&clean, n ? (const char *)s : "\xef\xbf\xbd", n ? n : 3);
		s += n ? n : 1;
	}
	(void)yajl_gen_string(w->gen, (const unsigned char *)clean.text, clean.len);
}

static void put_key(struct json_writer *w, const char *key)
{
	if (key)
		put_text(w, key);
}

static void begin(struct json_writer *w, bool array)
{
	if (w->depth == MAX_OPEN)
		abort(); /* a bug: our documents are shallow */
	w->array[w->depth++] = array;
}

void json_begin_object(struct json_writer *w, const char *key)
{
	put_key(w, key);
	(void)yajl_gen_map_open(w->gen);
	begin(w, false);
}

void json_begin_array(struct json_writer *w, const char *key)
{
	put_key(w, key);
	(void)yajl_gen_array_open(w->gen);
	begin(w, true);
}

void json_end(struct json_writer *w)
{
	if (w->array[--w->depth])
		(void)yajl_gen_array_close(w->gen);
	else
		(void)yajl_gen_map_close(w->gen);
}

void json_put_string(struct json_writer *w, const char *key, const char *value)
{
	put_key(w, key);
	if (value)
		put_text(w, value);
	else
		(void)yajl_gen_null(w->gen);
}

void json_put_int(struct json_writer *w, const char *key, int64_t value)
{
	put_key(w, key);
	(void)yajl_gen_integer(w->gen, value);
}

void json_put_uint(struct json_writer *w, const char *key, uint64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);

	put_key(w, key);
	(void)yajl_gen_number(w->gen, text, (size_t)n);
}

void json_put_double(struct json_writer *w, const char *key, double value)
{
	char text[40];
	int n = snprintf(text, sizeof text, "%.10g", value);

	put_key(w, key);
	if (isfinite(value))
		(void)yajl_gen_number(w->gen, text, (size_t)n);
	else
		(void)yajl_gen_null(w->gen);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
	put_key(w, key);
	(void)yajl_gen_bool(w->gen, value);
}

void json_put_null(struct json_writer *w, const char *key)
{
	put_key(w, key);
	(void)yajl_gen_null(w->gen);
}

char *json_writer_finish(struct json_writer *w, size_t *ret_len)
{
	const unsigned char *text = NULL;
	size_t len = 0;
	char *copy;

	(void)yajl_gen_get_buf(w->gen, &text, &len);
	copy = xstrndup(text ? (const char *)text : "", len);
	if (ret_len)
		*ret_len = strlen(copy);
	yajl_gen_free(w->gen);
	free(w);
	return copy;
}
