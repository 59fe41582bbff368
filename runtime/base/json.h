/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_JSON_H
#define BIVALVE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/*
 * JSON as a tree, strictly: duplicate keys, NUL bytes in strings, depth over 64, trailing text and documents over the
 * caller's limit are errors that name the document and line. The only user of yajl.
 */
enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	unsigned line;              /* where it starts, from 1 */
	char *key;                  /* in an object, else NULL */
	const struct json *parent;
	union {
		bool boolean;
		int64_t integer;
		double number;
		char *string;
		struct {                /* arrays and objects: their text is [begin, end) of the document */
			uint32_t begin, end;
		};
	};
	union {
		struct json **items;    /* arrays and objects, in document order */
		uint64_t whole;         /* JSON_DOUBLE: a whole number over INT64_MAX, exactly; else 0 */
	};
	size_t n_items;
	struct json_chunk *chunks;  /* of the document itself: where all of it lies */
};

/* Parses text; name stands in errors ("policy.json:12: …"). Returns 0 and a tree for json_free(), or -EINVAL. */
int json_parse(const char *text, size_t len, const char *name, struct json **ret, struct error *err);
/* Reads and parses a file of at most max bytes. */
int json_parse_file(int dirfd, const char *path, size_t max, struct json **ret, struct error *err);
void json_free(struct json *j);
static inline void json_cleanup(struct json **j)
{
	json_free(*j);
}
#define _cleanup_json_ __attribute__((cleanup(json_cleanup)))

const struct json *json_get(const struct json *object, const char *key); /* NULL: none, or not an object */
const char *json_string(const struct json *object, const char *key);     /* NULL: none, or not a string */
/* Writes where j stands, "process.rlimits[2].type", into buf; returns buf. The document itself is "". */
const char *json_path(const struct json *j, char *buf, size_t size);
/* A whole number, 0 to UINT64_MAX (also one beyond, "unlimited" to whoever wrote it). False: it is none. */
bool json_uint(const struct json *j, uint64_t *ret);
const char *json_type_name(enum json_type type);
#define json_foreach(item, j) for (size_t item##_i = 0; (j) && item##_i < (j)->n_items; item##_i++) \
	for (const struct json *item = (j)->items[item##_i]; item; item = NULL)

/* The writer. Pretty unless compact. Strings that are not UTF-8 are written with U+FFFD for what is broken. */
struct json_writer;
struct json_writer *json_writer_new(bool compact);
void json_begin_object(struct json_writer *w, const char *key); /* key: NULL at the top and in arrays */
void json_begin_array(struct json_writer *w, const char *key);
void json_end(struct json_writer *w);                           /* whichever is open */
void json_put_string(struct json_writer *w, const char *key, const char *value); /* NULL value: null */
void json_put_int(struct json_writer *w, const char *key, int64_t value);
void json_put_uint(struct json_writer *w, const char *key, uint64_t value);
void json_put_double(struct json_writer *w, const char *key, double value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);
/* Ends the document: its text (owned by the caller; *ret_len without the NUL) and frees the writer. */
char *json_writer_finish(struct json_writer *w, size_t *ret_len);

#endif
