/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_RECORD_H
#define BIVALVE_BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/json.h"

/*
 * Structs described by tables, so that reading from JSON, writing to JSON and freeing are written once. A field's C
 * type follows from its kind:
 *
 *   FIELD_BOOL bool   FIELD_INT int64_t   FIELD_UINT uint64_t   FIELD_DOUBLE double   FIELD_STRING char *
 *   FIELD_STRINGS char ** (NULL-terminated)   FIELD_BYTES struct bytes (base64 in JSON)
 *   FIELD_ENUM int (index in names)
 *   FIELD_RECORD an embedded struct   FIELD_RECORDS pointer to an array, its size_t count at count_offset
 *   FIELD_FLAGS uint64_t, a bit per entry of names; an array of strings in JSON
 */
enum field_kind {
	FIELD_BOOL, FIELD_INT, FIELD_UINT, FIELD_DOUBLE, FIELD_STRING, FIELD_STRINGS, FIELD_BYTES, FIELD_ENUM,
	FIELD_RECORD, FIELD_RECORDS, FIELD_FLAGS,
};

struct bytes {
	uint8_t *data;
	size_t len;
};

struct record_type;
struct field {
	const char *key;
	enum field_kind kind;
	size_t offset;
	const struct record_type *record; /* RECORD, RECORDS */
	size_t count_offset;              /* RECORDS */
	const char *const *names;         /* ENUM, FLAGS: NULL-terminated */
	bool required;
};
struct record_type {
	const char *name;
	size_t size;
	const struct field *fields; /* ends with key NULL */
};

/*
 * Reads an object into the zeroed struct at out. Unknown keys, wrong types, numbers out of range and missing required
 * keys are errors that name the key's path and line. On failure out is released. Returns 0 or -EINVAL.
 */
int record_read(const struct json *j, const struct record_type *type, void *out, struct error *err);
/* Writes the struct as an object. Fields that are zero, NULL or empty are left out unless all is true. */
void record_write(struct json_writer *w, const char *key, const struct record_type *type, const void *in, bool all);
/* Frees what the struct owns and zeroes it. */
void record_release(const struct record_type *type, void *record);
/* Frees and empties the one field at this offset of the struct; nothing if there is none. */
void record_release_field(const struct record_type *type, size_t offset, void *record);

#endif
