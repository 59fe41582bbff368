/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json's linux.resources (runtime-spec config-linux.md, "Control groups") as the plan's; also what update's
 * --resources reads. Numbers of the specification are signed and -1 means "no limit"; the plan's say that otherwise.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/oci/spec_reader.h"

/* Bytes: -1 is UINT64_MAX; 0 is as good as not said. */
static int read_bytes(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	static const struct spec_row number = { .key = "", .min = -1, .max = INT64_MAX };
	int64_t value = 0;
	int r = spec_int(s, j, &number, &value);

	if (r == 0)
		*(uint64_t *)spec_at(out, row) = value < 0 ? UINT64_MAX : (uint64_t)value;
	return r;
}

static const struct spec_row memory_rows[] = {
	{ SPEC_ROW("limit", read_bytes, plan_resources, memory_bytes) },
	{ SPEC_ROW("reservation", read_bytes, plan_resources, memory_reservation_bytes) },
	{ SPEC_ROW("swap", read_bytes, plan_resources, memory_swap_bytes) },
	{ SPEC_ROW("kernel", read_bytes, plan_resources, memory_kernel_bytes) },
	{ SPEC_ROW("kernelTCP", read_bytes, plan_resources, memory_kernel_tcp_bytes) },
	{ SPEC_ROW("swappiness", spec_uint, plan_resources, memory_swappiness), .max = 100,
		.set_offset = offsetof(struct plan_resources, memory_swappiness_set) },
	{ SPEC_ROW("disableOOMKiller", spec_bool, plan_resources, memory_oom_kill_off) },
	{ SPEC_ROW("checkBeforeUpdate", spec_bool, plan_resources, memory_check_before_update) },
	{ 0 },
};

static int read_part(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return spec_members(s, j, row->rows, out);
}

static int read_memory(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan_resources *res = out;
	int r = spec_members(s, j, row->rows, out);

	if (r == 0 && res->memory_swap_bytes && res->memory_swap_bytes != UINT64_MAX &&
			res->memory_bytes && res->memory_swap_bytes < res->memory_bytes)
		return spec_refuse_member(s, j, "swap", "%llu is below memory's limit %llu: it counts both",
				(unsigned long long)res->memory_swap_bytes, (unsigned long long)res->memory_bytes);
	return r;
}

/* Microseconds per period: below 1 there is no limit. */
static int read_quota(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	static const struct spec_row number = { .key = "" };
	int64_t value = 0;
	int r = spec_int(s, j, &number, &value);

	if (r == 0)
		*(uint64_t *)spec_at(out, row) = value > 0 ? (uint64_t)value : 0;
	return r;
}

static const struct spec_row cpu_rows[] = {
	{ SPEC_ROW("shares", spec_uint, plan_resources, cpu_shares) },
	{ SPEC_ROW("quota", read_quota, plan_resources, cpu_quota_us) },
	{ SPEC_ROW("period", spec_uint, plan_resources, cpu_period_us) },
	{ SPEC_ROW("burst", spec_uint, plan_resources, cpu_burst_us) },
	{ SPEC_ROW("realtimeRuntime", spec_int, plan_resources, cpu_realtime_runtime_us) },
	{ SPEC_ROW("realtimePeriod", spec_uint, plan_resources, cpu_realtime_period_us) },
	{ SPEC_ROW("cpus", spec_string, plan_resources, cpu_set) },
	{ SPEC_ROW("mems", spec_string, plan_resources, memory_nodes) },
	{ SPEC_ROW("idle", spec_int, plan_resources, cpu_idle), .min = 0, .max = 1 },
	{ 0 },
};

static int read_pids(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	static const struct spec_row number = { .key = "" };
	struct plan_resources *res = out;
	int64_t value = 0;
	int r = spec_int(s, j, &number, &value);

	if (r < 0)
		return r;
	res->pids = value > 0 ? (uint64_t)value : 0;
	res->pids_unlimited = value < 0;
	return 0;
}

static const struct spec_row pids_rows[] = {
	{ .key = "limit", .read = read_pids },
	{ 0 },
};

static const struct spec_row weight_rows[] = {
	{ SPEC_ROW("major", spec_uint, plan_device_rate, major), .max = UINT32_MAX, .required = true },
	{ SPEC_ROW("minor", spec_uint, plan_device_rate, minor), .max = UINT32_MAX, .required = true },
	{ SPEC_ROW("weight", spec_uint, plan_device_rate, rate), .max = 1000 },
	{ SPEC_ROW("leafWeight", spec_uint, plan_device_rate, leaf_rate), .max = 1000 },
	{ 0 },
};
static const struct spec_row rate_rows[] = {
	{ SPEC_ROW("major", spec_uint, plan_device_rate, major), .max = UINT32_MAX, .required = true },
	{ SPEC_ROW("minor", spec_uint, plan_device_rate, minor), .max = UINT32_MAX, .required = true },
	{ SPEC_ROW("rate", spec_uint, plan_device_rate, rate) },
	{ 0 },
};

static const struct spec_row io_rows[] = {
	{ SPEC_ROW("weight", spec_uint, plan_resources, io_weight), .max = 1000 },
	{ SPEC_ROW("leafWeight", spec_uint, plan_resources, io_leaf_weight), .max = 1000 },
	{ SPEC_LIST("weightDevice", plan_resources, io_weights, weight_rows) },
	{ SPEC_LIST("throttleReadBpsDevice", plan_resources, io_read_bytes, rate_rows) },
	{ SPEC_LIST("throttleWriteBpsDevice", plan_resources, io_write_bytes, rate_rows) },
	{ SPEC_LIST("throttleReadIOPSDevice", plan_resources, io_read_ops, rate_rows) },
	{ SPEC_LIST("throttleWriteIOPSDevice", plan_resources, io_write_ops, rate_rows) },
	{ 0 },
};

static const struct spec_row hugepage_rows[] = {
	{ SPEC_ROW("pageSize", spec_string, plan_hugepage_limit, page_size), .required = true },
	{ SPEC_ROW("limit", spec_uint, plan_hugepage_limit, bytes), .required = true },
	{ 0 },
};

/* It becomes part of a file's name. */
static int check_hugepage(const struct spec *s, const struct json *j, void *record)
{
	const char *size = ((struct plan_hugepage_limit *)record)->page_size;
	size_t digits = strspn(size, "0123456789");

	if (digits == 0 || digits > 6 || size[0] == '0' || (strcmp(size + digits, "KB") &&
			strcmp(size + digits, "MB") && strcmp(size + digits, "GB")))
		return spec_refuse_member(s, j, "pageSize", "expected a size such as 2MB: %s", size);
	return 0;
}

static const struct spec_row priority_rows[] = {
	{ SPEC_ROW("name", spec_string, plan_net_priority, interface), .required = true },
	{ SPEC_ROW("priority", spec_uint, plan_net_priority, priority), .max = UINT32_MAX, .required = true },
	{ 0 },
};

static const struct spec_row network_rows[] = {
	{ SPEC_ROW("classID", spec_uint, plan_resources, net_class), .max = UINT32_MAX },
	{ SPEC_LIST("priorities", plan_resources, net_priorities, priority_rows) },
	{ 0 },
};

static const struct spec_row rdma_rows[] = {
	{ SPEC_ROW("hcaHandles", spec_uint, plan_rdma_limit, handles), .max = UINT32_MAX },
	{ SPEC_ROW("hcaObjects", spec_uint, plan_rdma_limit, objects), .max = UINT32_MAX },
	{ 0 },
};

static int read_rdma(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan_resources *res = out;

	if (j->type != JSON_OBJECT)
		return spec_wrong(s, j, "an object");
	if (j->n_items > SPEC_MAX_ENTRIES)
		return spec_refuse(s, j, "%zu entries: at most %d", j->n_items, SPEC_MAX_ENTRIES);
	if (s->type)
		record_release_field(s->type, offsetof(struct plan_resources, rdma), res);
	if (j->n_items == 0)
		return 0;
	res->rdma = xcalloc(j->n_items, sizeof *res->rdma);
	for (size_t i = 0; i < j->n_items; i++) {
		struct plan_rdma_limit *limit = &res->rdma[i];
		int r;

		res->n_rdma = i + 1;
		*limit = (struct plan_rdma_limit){ xstrdup(j->items[i]->key), UINT64_MAX, UINT64_MAX };
		r = spec_members(s, j->items[i], rdma_rows, limit);
		if (r < 0)
			return r;
		if (strchr(limit->device, ' ') || strchr(limit->device, '\n'))
			return spec_refuse(s, j->items[i], "not the name of a device");
	}
	return 0;
}

/* ---- devices ---- */

static const char *const device_types[] = { "a", "b", "c", NULL };

static const struct spec_row device_rows[] = {
	{ SPEC_ROW("allow", spec_bool, plan_device_rule, allow), .required = true },
	{ SPEC_ROW("type", spec_word, plan_device_rule, type), .words = device_types },
	{ SPEC_ROW("access", spec_string, plan_device_rule, access) },
	{ 0 },
};

/* Absent is -1, "all": so they are not rows of a zeroed struct. */
static int read_number(const struct spec *s, const struct json *j, const char *key, int64_t *ret)
{
	static const struct spec_row number = { .key = "", .min = -1, .max = UINT32_MAX };
	const struct json *member = json_get(j, key);

	*ret = -1;
	return member && member->type != JSON_NULL ? spec_int(s, member, &number, ret) : 0;
}

static int check_device(const struct spec *s, const struct json *j, void *record)
{
	struct plan_device_rule *rule = record;
	int r = read_number(s, j, "major", &rule->major);

	if (r == 0)
		r = read_number(s, j, "minor", &rule->minor);
	if (r < 0)
		return r;
	if (!rule->type)
		rule->type = xstrdup("a");
	if (!rule->access)
		rule->access = xstrdup("rwm");
	if (rule->access[strspn(rule->access, "rwm")])
		return spec_refuse_member(s, j, "access", "expected letters of r, w and m: %s", rule->access);
	return 0;
}

static int read_unified(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	if (j->type != JSON_OBJECT) /* items of an array have no key */
		return spec_wrong(s, j, "an object");
	json_foreach(item, j)
		if (strchr(item->key, '/') || item->key[0] == '.' || !strchr(item->key, '.'))
			return spec_refuse(s, item, "not the name of a control group's file");
	return spec_pairs(s, j, row, out);
}

const struct spec_row spec_resources_rows[] = {
	{ .key = "memory", .read = read_memory, .rows = memory_rows },
	{ .key = "cpu", .read = read_part, .rows = cpu_rows },
	{ .key = "pids", .read = read_part, .rows = pids_rows },
	{ .key = "blockIO", .read = read_part, .rows = io_rows },
	{ SPEC_LIST("hugepageLimits", plan_resources, hugepages, hugepage_rows), .check = check_hugepage },
	{ .key = "network", .read = read_part, .rows = network_rows },
	{ .key = "rdma", .read = read_rdma },
	{ SPEC_LIST("devices", plan_resources, devices, device_rows), .check = check_device },
	{ SPEC_ROW("unified", read_unified, plan_resources, unified),
		.count_offset = offsetof(struct plan_resources, n_unified) },
	{ 0 },
};
