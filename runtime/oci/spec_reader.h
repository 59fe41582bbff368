/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_OCI_SPEC_READER_H
#define BIVALVE_OCI_SPEC_READER_H

#include "runtime/base/json.h"
#include "runtime/oci/spec.h"

/*
 * Reading an object of the specification by a table of its members. Members without a row are ignored, as the
 * specification wants it, and so are nulls. Every refusal names file, line and JSON path.
 */
struct spec {
	const struct oci_spec_request *request;
	const char *file;           /* in errors */
	const char *text;           /* of the document */
	struct plan *plan;          /* NULL while only a part is read: a process, resources */
	const struct record_type *type; /* of a record whose values the document replaces; else NULL */
	struct error *err;
};

struct spec_row {
	const char *key;
	/* out is the struct that the object is read into, row the member's own. 0 or what spec_refuse() returned. */
	int (*read)(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);
	size_t offset;
	size_t set_offset;          /* a bool that becomes true with the member; 0: none */
	bool required;
	uint64_t max;               /* of numbers, and of entries in lists; 0: the kind's own */
	int64_t min;                /* spec_int */
	const struct spec_row *rows; /* spec_record, spec_list */
	size_t count_offset, size;  /* spec_list */
	const char *const *words;   /* spec_word: what is allowed, NULL-terminated */
	/* spec_record and spec_list: looks over what was read into the record (list: the element) at j. */
	int (*check)(const struct spec *s, const struct json *j, void *record);
};

/* "FILE:12: process.rlimits[2].type: …". Returns -EINVAL. */
int spec_refuse(const struct spec *s, const struct json *j, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same of a member of j that need not be there. */
int spec_refuse_member(const struct spec *s, const struct json *j, const char *key, const char *fmt, ...)
		__attribute__((format(printf, 4, 5)));
/* "expected WHAT, found a number". */
int spec_wrong(const struct spec *s, const struct json *j, const char *expected);

/* Reads the members of j. The table ends with a row without a key. */
int spec_members(const struct spec *s, const struct json *j, const struct spec_row *rows, void *out);

int spec_bool(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);    /* bool */
int spec_uint(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);    /* uint64_t */
int spec_int(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);     /* int64_t */
int spec_string(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);  /* char * */
int spec_path(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);    /* absolute */
int spec_word(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);    /* one of words */
int spec_strings(const struct spec *s, const struct json *j, const struct spec_row *row, void *out); /* char ** */
int spec_paths(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);   /* absolute ones */
int spec_record(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);
int spec_list(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);
int spec_pairs(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);   /* plan_pair * */
/* A member that asks for something we do not have: refused, unless it is empty. */
int spec_unsupported(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);

static inline void *spec_at(void *out, const struct spec_row *row)
{
	return (char *)out + row->offset;
}

#define SPEC_ROW(name, reader, type, member) .key = name, .read = reader, .offset = offsetof(struct type, member)
#define SPEC_LIST(name, type, member, element_rows) SPEC_ROW(name, spec_list, type, member), .rows = element_rows, \
	.count_offset = offsetof(struct type, n_##member), .size = sizeof *((struct type *)0)->member
#define SPEC_PAIRS(name, type, member) SPEC_ROW(name, spec_pairs, type, member), \
	.count_offset = offsetof(struct type, n_##member)

enum { SPEC_MAX_FILE = 16 << 20, SPEC_MAX_ENTRIES = 4096, SPEC_MAX_STRINGS = 65536 };

/* The parts, each in the file of its name. */
extern const struct spec_row spec_process_rows[];   /* of struct plan_process */
extern const struct spec_row spec_mount_rows[];     /* of struct plan_mount */
extern const struct spec_row spec_id_map_rows[];    /* of struct plan_id_map */
extern const struct spec_row spec_linux_rows[];     /* of struct plan */
extern const struct spec_row spec_resources_rows[]; /* of struct plan_resources */
int spec_mount_check(const struct spec *s, const struct json *j, void *mount);
int spec_id_map_check(const struct spec *s, const struct json *j, void *map);
int spec_hooks(const struct spec *s, const struct json *j, const struct spec_row *row, void *out);
int spec_seccomp(const struct spec *s, const struct json *j, const struct spec_row *row, void *plan);
/* Once all of the document is read: what follows from several members together. */
int spec_linux_finish(const struct spec *s, const struct json *root);
int spec_cgroup_finish(const struct spec *s, const struct json *root);
int spec_vm_finish(const struct spec *s, const struct json *root);

#endif
