/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_SCHEMA_H
#define BIVALVE_POLICIES_SCHEMA_H

#include "policies/policy.h"
#include "runtime/base/json.h"

/*
 * Policy documents by tables: each key of an object is a row that says of what kind its value is, where it goes and
 * how a document that extends another overrules it. Private to policies/.
 */
enum key_kind {
	KEY_BOOL,     /* bool; replaces */
	KEY_STRING,   /* char *; replaces */
	KEY_COUNT,    /* uint64_t, an integer in min..max; replaces */
	KEY_SIZE,     /* uint64_t, bytes or "64m", in min..max; replaces */
	KEY_DURATION, /* uint64_t microseconds, "10s" or milliseconds, in min..max; replaces */
	KEY_ENUM,     /* int, the index in names; replaces */
	KEY_ARRAY,    /* char **; replaces */
	KEY_LIST,     /* char **; an array replaces, {"add": [], "drop": []} changes what is there */
	KEY_OBJECT,   /* the fields of keys; merges key by key */
	KEY_CUSTOM,   /* read() does it all */
};

struct document {
	const char *name; /* in errors */
	bool builtin;     /* a preset: what this machine's libraries do not know yet is skipped */
};

struct key {
	const char *name;
	enum key_kind kind;
	size_t offset;                 /* in the struct that the table describes */
	uint64_t min, max;             /* COUNT, SIZE, DURATION */
	const char *const *names;      /* ENUM: NULL-terminated */
	const struct key *keys;        /* OBJECT: ends with name NULL */
	/* STRING, ARRAY, LIST: NULL if the value is good (*ret: its canonical form), else what is allowed. */
	const char *(*check)(const char *value, char **ret);
	/* CUSTOM. j may be JSON_NULL: back to the state without the key. */
	int (*read)(const struct document *d, const struct json *j, void *out, struct error *err);
	/* CUSTOM: writes what read() read, with the key; nothing if nothing was said. */
	void (*write)(struct json_writer *w, const char *key, const void *in);
};

#define AT(type, field) .offset = offsetof(type, field)

/* Reads the object j by the table into out. A null value takes back what an extended document has set. */
int schema_read(const struct document *d, const struct json *j, const struct key *keys, void *out, struct error *err);
/* Writes the members of an object that the table describes: what schema_read() would read back. */
void schema_write(struct json_writer *w, const struct key *keys, const void *in);
/* -EINVAL and "FILE:LINE: key.path: …". */
int schema_refuse(const struct document *d, const struct json *j, struct error *err, const char *fmt, ...)
		__attribute__((format(printf, 4, 5)));
/* Keys, values and file names can hold anything; an error is one line. */
void schema_one_line(char *text);
/* Refuses j unless it is of this type. */
int schema_expect(const struct document *d, const struct json *j, enum json_type type, struct error *err);
/* The value of j as bytes: an integer or a string. */
int schema_size(const struct document *d, const struct json *j, uint64_t min, uint64_t max, uint64_t *ret,
		struct error *err);
/* Of candidates (NULL-terminated) the one nearest to word, if it is near enough to be meant; else NULL. */
const char *schema_nearest(const char *word, const char *const *candidates);

/* The tables: policy_keys.c, policy_seccomp.c. */
extern const struct key policy_keys[];
void policy_write_seccomp(struct json_writer *w, const char *key, const void *in);
void policy_write_landlock(struct json_writer *w, const char *key, const void *in);
int policy_read_seccomp(const struct document *d, const struct json *j, void *out, struct error *err);
void policy_release_rules(struct seccomp_profile *profile);
/* An absolute path without "..", as of masked_paths. */
const char *policy_check_path(const char *value, char **ret);
int policy_read_landlock(const struct document *d, const struct json *j, void *out, struct error *err);
void policy_release_landlock(struct plan_landlock *l);

#endif
