/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a policy document. A new key needs a row here, a field in struct policy (released in policy.c), a line
 * in apply.c that takes it into the plan, a paragraph in README.md and a test in tests/unit/test_policy.c.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "policies/enforce/caps.h"
#include "policies/enforce/rlimits.h"
#include "policies/schema.h"
#include "policies/units.h"
#include "runtime/base/alloc.h"

#define MIB        (UINT64_C(1) << 20)
#define EXBIBYTE   (UINT64_C(1) << 60)
#define YEAR_US    (UINT64_C(366) * 86400 * 1000000)
#define PERIOD_US  100000

/* ---- values ---- */

static const char *check_capability(const char *value, char **ret)
{
	int number;

	if (!strcmp(value, "ALL")) {
		*ret = xstrdup(value);
		return NULL;
	}
	number = caps_from_name(value);
	if (number < 0 || !caps_name((unsigned)number))
		return "not a capability: names as in capabilities(7), \"CAP_NET_RAW\", or \"ALL\"";
	*ret = xstrdup(caps_name((unsigned)number));
	return NULL;
}

const char *policy_check_path(const char *value, char **ret)
{
	size_t len = strlen(value);

	if (*value != '/' || strstr(value, "/../") || (len >= 3 && !strcmp(value + len - 3, "/..")))
		return "not an absolute path without \"..\": it is taken from the workload's root";
	*ret = xstrdup(value);
	return NULL;
}

static const char *check_user(const char *value, char **ret)
{
	const char *colon = strchr(value, ':');

	for (const char *s = value; *s; s++)
		if (*s <= ' ' || *s == 0x7f || *s == '/')
			return "not a user: \"name\", \"uid\", with \":group\" or \":gid\" behind it if wanted";
	if (*value == '\0' || colon == value || (colon && (colon[1] == '\0' || strchr(colon + 1, ':'))))
		return "not a user: \"name\", \"uid\", with \":group\" or \":gid\" behind it if wanted";
	*ret = xstrdup(value);
	return NULL;
}

static int read_version(const struct document *d, const struct json *j, void *out, struct error *err)
{
	int r = schema_expect(d, j, JSON_INT, err);

	if (r == 0 && j->integer != 1)
		r = schema_refuse(d, j, err, "version %lld: this program reads version 1", (long long)j->integer);
	return r;
}

/* policy.c follows it before the other keys are read. */
static int read_extends(const struct document *d, const struct json *j, void *out, struct error *err)
{
	return 0;
}

/* CPUs are a share of time: 1.5 is 150 ms in each 100 ms. out: struct plan_resources. */
static int read_cpus(const struct document *d, const struct json *j, void *out, struct error *err)
{
	struct plan_resources *res = out;
	double cpus;

	if (j->type == JSON_NULL) {
		res->cpu_quota_us = res->cpu_period_us = 0;
		return 0;
	}
	if (j->type != JSON_INT && j->type != JSON_DOUBLE)
		return schema_refuse(d, j, err, "%s: expected a number such as 1.5", json_type_name(j->type));
	cpus = j->type == JSON_INT ? (double)j->integer : j->number;
	if (!(cpus >= 0.01 && cpus <= 4096)) /* the kernel takes no quota below 1 ms */
		return schema_refuse(d, j, err, "out of range: 0.01 to 4096");
	res->cpu_quota_us = (uint64_t)(cpus * PERIOD_US + 0.5);
	res->cpu_period_us = PERIOD_US;
	return 0;
}

/* ---- rlimits ---- */

static int read_rlimit_value(const struct document *d, const struct json *j, uint64_t *ret, struct error *err)
{
	if (j->type == JSON_STRING && !strcmp(j->string, "unlimited")) {
		*ret = UINT64_MAX;
		return 0;
	}
	if (j->type != JSON_INT && j->type != JSON_STRING)
		return schema_refuse(d, j, err, "%s: expected a number, \"unlimited\" or a size such as \"64m\"",
				json_type_name(j->type));
	return schema_size(d, j, 0, UINT64_MAX, ret, err);
}

static int read_soft_or_hard(const struct document *d, const struct json *j, void *out, struct error *err)
{
	return read_rlimit_value(d, j, out, err);
}

static int read_rlimit(const struct document *d, const struct json *j, struct plan_rlimit *limit, struct error *err)
{
	static const struct key keys[] = {
		{ "soft", KEY_CUSTOM, AT(struct plan_rlimit, soft), .read = read_soft_or_hard },
		{ "hard", KEY_CUSTOM, AT(struct plan_rlimit, hard), .read = read_soft_or_hard },
		{ .name = NULL },
	};
	int r;

	if (j->type != JSON_OBJECT) {
		r = read_rlimit_value(d, j, &limit->soft, err);
		limit->hard = limit->soft;
		return r;
	}
	if (!json_get(j, "soft") || !json_get(j, "hard"))
		return schema_refuse(d, j, err, "both \"soft\" and \"hard\" are required");
	r = schema_read(d, j, keys, limit, err);
	if (r == 0 && limit->soft > limit->hard)
		r = schema_refuse(d, j, err, "soft is above hard: at most hard");
	return r;
}

static struct plan_rlimit *find_rlimit(struct policy *p, const char *type)
{
	for (size_t i = 0; i < p->n_rlimits; i++)
		if (!strcmp(p->rlimits[i].type, type))
			return &p->rlimits[i];
	return NULL;
}

static void drop_rlimit(struct policy *p, struct plan_rlimit *limit)
{
	free(limit->type);
	p->n_rlimits--;
	memmove(limit, limit + 1, (size_t)(p->rlimits + p->n_rlimits - limit) * sizeof *limit);
}

/* Merges limit by limit; null takes one back. out: struct policy. */
static int read_rlimits(const struct document *d, const struct json *j, void *out, struct error *err)
{
	struct policy *p = out;
	int r;

	if (j->type == JSON_NULL) {
		while (p->n_rlimits > 0)
			drop_rlimit(p, &p->rlimits[p->n_rlimits - 1]);
		return 0;
	}
	r = schema_expect(d, j, JSON_OBJECT, err);
	for (size_t i = 0; r == 0 && i < j->n_items; i++) {
		const struct json *item = j->items[i];
		struct plan_rlimit value = { 0 }, *limit = find_rlimit(p, item->key);

		if (rlimits_from_name(item->key) < 0)
			return schema_refuse(d, item, err, "unknown limit: names as in getrlimit(2), in lower case "
					"without RLIMIT_, such as \"nofile\"");
		if (item->type == JSON_NULL) {
			if (limit)
				drop_rlimit(p, limit);
			continue;
		}
		r = read_rlimit(d, item, &value, err);
		if (r < 0)
			break;
		if (!limit) {
			p->rlimits = xreallocarray(p->rlimits, p->n_rlimits + 1, sizeof *p->rlimits);
			limit = &p->rlimits[p->n_rlimits++];
			limit->type = xstrdup(item->key);
		}
		limit->soft = value.soft;
		limit->hard = value.hard;
	}
	return r;
}

/* ---- writing ---- */

static void write_version(struct json_writer *w, const char *key, const void *in)
{
	json_put_uint(w, key, 1);
}

static void write_extends(struct json_writer *w, const char *key, const void *in)
{
	json_put_null(w, key);
}

static void write_cpus(struct json_writer *w, const char *key, const void *in)
{
	const struct plan_resources *res = in;

	if (res->cpu_period_us)
		json_put_double(w, key, (double)res->cpu_quota_us / (double)res->cpu_period_us);
}

static void write_rlimit_value(struct json_writer *w, const char *key, uint64_t value)
{
	if (value == UINT64_MAX)
		json_put_string(w, key, "unlimited");
	else
		json_put_uint(w, key, value);
}

static void write_rlimits(struct json_writer *w, const char *key, const void *in)
{
	const struct policy *p = in;

	json_begin_object(w, key);
	for (size_t i = 0; i < p->n_rlimits; i++) {
		json_begin_object(w, p->rlimits[i].type);
		write_rlimit_value(w, "soft", p->rlimits[i].soft);
		write_rlimit_value(w, "hard", p->rlimits[i].hard);
		json_end(w);
	}
	json_end(w);
}

/* ---- the tables ---- */

static const char *const networks[] = { [NETWORK_NONE] = "none", [NETWORK_HOST] = "host", [NETWORK_USER] = "user",
	NULL };

static const struct key root_keys[] = {
	{ "read_only", KEY_BOOL, AT(struct policy, read_only_root) },
	{ "upper", KEY_SIZE, AT(struct policy, upper_bytes), .min = 65536, .max = EXBIBYTE },
	{ .name = NULL },
};

static const struct key io_keys[] = {
	{ "read_bytes", KEY_SIZE, AT(struct plan_resources, disk_read_bytes), .min = 4096, .max = EXBIBYTE },
	{ "write_bytes", KEY_SIZE, AT(struct plan_resources, disk_write_bytes), .min = 4096, .max = EXBIBYTE },
	{ "read_ops", KEY_COUNT, AT(struct plan_resources, disk_read_ops), .min = 1, .max = UINT32_MAX },
	{ "write_ops", KEY_COUNT, AT(struct plan_resources, disk_write_ops), .min = 1, .max = UINT32_MAX },
	{ .name = NULL },
};

static const struct key resource_keys[] = {
	{ "memory", KEY_SIZE, AT(struct plan_resources, memory_bytes), .min = MIB, .max = EXBIBYTE },
	{ "cpus", KEY_CUSTOM, 0, .read = read_cpus, .write = write_cpus },
	{ "cpu_weight", KEY_COUNT, AT(struct plan_resources, cpu_weight), .min = 1, .max = 10000 },
	{ "pids", KEY_COUNT, AT(struct plan_resources, pids), .min = 1, .max = 4194304 }, /* PID_MAX_LIMIT */
	{ "io", KEY_OBJECT, 0, .keys = io_keys },
	{ .name = NULL },
};

static const struct key disk_keys[] = {
	{ "bytes", KEY_SIZE, AT(struct policy, disk_bytes), .min = 65536, .max = EXBIBYTE },
	{ "inodes", KEY_COUNT, AT(struct policy, upper_inodes), .min = 16, .max = INT64_MAX },
	{ .name = NULL },
};

static const struct key limit_keys[] = {
	{ "wall_time", KEY_DURATION, AT(struct plan_limits, wall_us), .min = 1000, .max = YEAR_US },
	{ "cpu_time", KEY_DURATION, AT(struct plan_limits, cpu_us), .min = 1000, .max = YEAR_US },
	{ "output", KEY_SIZE, AT(struct plan_limits, output_bytes), .min = 1, .max = EXBIBYTE },
	{ "file_size", KEY_SIZE, AT(struct plan_limits, file_bytes), .min = 1, .max = EXBIBYTE },
	{ "open_files", KEY_COUNT, AT(struct plan_limits, open_files), .min = 3, .max = 1 << 30 },
	{ .name = NULL },
};

const struct key policy_keys[] = {
	{ "version", KEY_CUSTOM, 0, .read = read_version, .write = write_version },
	{ "description", KEY_STRING, AT(struct policy, description) },
	{ "extends", KEY_CUSTOM, 0, .read = read_extends, .write = write_extends },
	{ "capabilities", KEY_LIST, AT(struct policy, capabilities), .check = check_capability },
	{ "no_new_privs", KEY_BOOL, AT(struct policy, no_new_privs) },
	{ "user", KEY_STRING, AT(struct policy, user), .check = check_user },
	{ "user_namespace", KEY_BOOL, AT(struct policy, user_namespace) },
	{ "root", KEY_OBJECT, 0, .keys = root_keys },
	{ "disk", KEY_OBJECT, 0, .keys = disk_keys },
	{ "rlimits", KEY_CUSTOM, 0, .read = read_rlimits, .write = write_rlimits },
	{ "resources", KEY_OBJECT, AT(struct policy, resources), .keys = resource_keys },
	{ "limits", KEY_OBJECT, AT(struct policy, limits), .keys = limit_keys },
	{ "network", KEY_ENUM, AT(struct policy, network), .names = networks },
	{ "masked_paths", KEY_LIST, AT(struct policy, masked_paths), .check = policy_check_path },
	{ "readonly_paths", KEY_LIST, AT(struct policy, readonly_paths), .check = policy_check_path },
	{ "landlock", KEY_CUSTOM, AT(struct policy, landlock), .read = policy_read_landlock,
		.write = policy_write_landlock },
	{ "seccomp", KEY_CUSTOM, 0, .read = policy_read_seccomp, .write = policy_write_seccomp },
	{ .name = NULL },
};
