/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bivalve update`: new limits for a running instance.
 *
 * The flags are written down as a resources object of the specification and read like one of --resources: what -1
 * means,
 * and which key makes which limit, is decided in one place (runtime/oci). Numbers are taken from the words as they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/oci/spec.h"

enum kind { BYTES, NUMBER, TEXT };
enum group { MEMORY, CPU, PIDS, BLOCK_IO, GROUPS };

static const char *const groups[GROUPS] = { "memory", "cpu", "pids", "blockIO" };

/* A new flag: a row, a line in docs/oci.md, an assertion in tests/integration/update.bats. */
static const struct {
	const char *flag, *argument, *help;
	enum group group;
	const char *key;
	enum kind kind;
} flags[] = {
	{ "memory", "SIZE", "memory", MEMORY, "limit", BYTES },
	{ "memory-reservation", "SIZE", "memory that is left to it when the host is short", MEMORY, "reservation",
		BYTES },
	{ "memory-swap", "SIZE", "memory and swap together; -1: not limited", MEMORY, "swap", BYTES },
	{ "kernel-memory", "SIZE", "of the kernel's memory (obsolete)", MEMORY, "kernel", BYTES },
	{ "kernel-memory-tcp", "SIZE", "of the kernel's TCP buffers (v1)", MEMORY, "kernelTCP", BYTES },
	{ "cpu-period", "US", "length of a period", CPU, "period", NUMBER },
	{ "cpu-quota", "US", "processor time in a period; -1: not limited", CPU, "quota", NUMBER },
	{ "cpu-burst", "US", "unused time that may be saved up", CPU, "burst", NUMBER },
	{ "cpu-share", "N", "relative weight, 2 to 262144", CPU, "shares", NUMBER },
	{ "cpu-rt-period", "US", "real-time period (v1)", CPU, "realtimePeriod", NUMBER },
	{ "cpu-rt-runtime", "US", "real-time run time (v1)", CPU, "realtimeRuntime", NUMBER },
	{ "cpu-idle", "N", "1: runs only when nobody else would", CPU, "idle", NUMBER },
	{ "cpuset-cpus", "LIST", "processors, 0-3,5", CPU, "cpus", TEXT },
	{ "cpuset-mems", "LIST", "memory nodes", CPU, "mems", TEXT },
	{ "pids-limit", "N", "processes and threads; -1: not limited", PIDS, "limit", NUMBER },
	{ "blkio-weight", "N", "relative weight of disk I/O, 10 to 1000", BLOCK_IO, "weight", NUMBER },
};
enum { FLAGS = ARRAY_LEN(flags) };

static int put_number(struct json_writer *w, size_t i, const char *text, struct error *err)
{
	uint64_t bytes;
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (*text && !*end && errno == 0) {
		json_put_int(w, flags[i].key, value);
		return 0;
	}
	if (flags[i].kind != BYTES || size_parse(text, &bytes) < 0 || bytes > INT64_MAX)
		return error_set(err, EINVAL, "--%s %s: expected %s", flags[i].flag, text,
				flags[i].kind == BYTES ? "a size such as 64m, or -1" : "a number");
	json_put_uint(w, flags[i].key, bytes);
	return 0;
}

static int write_flags(const char *const values[FLAGS], char **ret_text, struct error *err)
{
	struct json_writer *w = json_writer_new(true);
	int r = 0;

	json_begin_object(w, NULL);
	for (enum group g = 0; g < GROUPS; g++) {
		bool any = false;

		for (size_t i = 0; i < FLAGS; i++)
			any |= values[i] && flags[i].group == g;
		if (!any)
			continue;
		json_begin_object(w, groups[g]);
		for (size_t i = 0; r == 0 && i < FLAGS; i++) {
			if (!values[i] || flags[i].group != g)
				continue;
			if (flags[i].kind == TEXT)
				json_put_string(w, flags[i].key, values[i]);
			else
				r = put_number(w, i, values[i], err);
		}
		json_end(w);
	}
	json_end(w);
	*ret_text = json_writer_finish(w, NULL);
	return r;
}

/* Both plans are of the same file: the new one gets what changes. */
static int read_resources(const struct verb_target *t, const char *path, const char *const values[FLAGS],
		struct plan *ret_old, struct plan *ret_new, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = instance_load_plan(&t->in, ret_old, err);

	if (r == 0)
		r = instance_load_plan(&t->in, ret_new, err);
	if (r == 0 && path)
		r = oci_spec_resources(path, &ret_new->resources, err);
	if (r == 0)
		r = write_flags(values, &text, err);
	return r < 0 ? r : oci_spec_resources_text("update", text, strlen(text), &ret_new->resources, err);
}

static int update(struct verb_target *t, const char *path, const char *const values[FLAGS], struct error *err)
{
	struct plan old = { 0 }, new = { 0 };
	int r;

	if (t->status == INSTANCE_STOPPED || t->status == INSTANCE_CREATING)
		return error_set(err, EINVAL, "container not running: %s is %s", t->in.id,
				instance_status_name(t->status));
	if (!t->backend->update)
		return error_set(err, EOPNOTSUPP, "update: the shell %s cannot do that", t->in.backend);
	r = read_resources(t, path, values, &old, &new, err);
	if (r == 0)
		r = t->backend->update(&t->in, &old, &new.resources, err);
	if (r == 0)
		r = instance_save_plan(&t->in, &new, err);
	record_release(&plan_type, &old);
	record_release(&plan_type, &new);
	return r;
}

int cmd_update(int argc, char **argv, struct error *err)
{
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	const char *values[FLAGS] = { NULL }, *path = NULL, *cache = NULL, *bandwidth = NULL;
	struct option_row rows[FLAGS + 4] = {
		{ 'r', "resources", OPTION_STRING, &path, "FILE",
			"a resources object as in config.json; -: standard input", NULL },
		{ 0, "l3-cache-schema", OPTION_STRING, &cache, "TEXT", "not supported: Intel RDT", NULL },
		{ 0, "mem-bw-schema", OPTION_STRING, &bandwidth, "TEXT", "not supported: Intel RDT", NULL },
	};
	int at, r;

	for (size_t i = 0; i < FLAGS; i++)
		rows[3 + i] = (struct option_row){ 0, flags[i].flag, OPTION_STRING, &values[i], flags[i].argument,
			flags[i].help, NULL };
	r = verb_parse(rows, argc, argv, "update [OPTIONS] ID", 1, 1, &at, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (cache || bandwidth)
		return error_set(err, EOPNOTSUPP, "--l3-cache-schema, --mem-bw-schema: not supported");
	r = verb_open(argv[at], true, &t, err);
	return r < 0 ? r : update(&t, path, values, err);
}
