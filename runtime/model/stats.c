/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of struct stats. */
#include "runtime/model/stats.h"

#define ROW(type, member, field_kind) { .key = #member, .kind = field_kind, .offset = offsetof(struct type, member) }
#define LIST(member, element) { .key = #member, .kind = FIELD_RECORDS, .offset = offsetof(struct stats, member), \
	.record = &(element), .count_offset = offsetof(struct stats, n_##member) }

static const struct field io_fields[] = {
	ROW(stats_io, major, FIELD_UINT),
	ROW(stats_io, minor, FIELD_UINT),
	ROW(stats_io, operation, FIELD_STRING),
	ROW(stats_io, bytes, FIELD_UINT),
	ROW(stats_io, operations, FIELD_UINT),
	{ 0 },
};
static const struct record_type io_type = { "io", sizeof(struct stats_io), io_fields };

static const struct field pair_fields[] = {
	ROW(stats_pair, key, FIELD_STRING),
	ROW(stats_pair, value, FIELD_UINT),
	{ 0 },
};
static const struct record_type pair_type = { "pair", sizeof(struct stats_pair), pair_fields };

static const struct field hugepages_fields[] = {
	ROW(stats_hugepages, page_size, FIELD_STRING),
	ROW(stats_hugepages, usage_bytes, FIELD_UINT),
	ROW(stats_hugepages, max_bytes, FIELD_UINT),
	ROW(stats_hugepages, failures, FIELD_UINT),
	{ 0 },
};
static const struct record_type hugepages_type = { "hugepages", sizeof(struct stats_hugepages), hugepages_fields };

static const struct field stats_fields[] = {
	ROW(stats, cpu_us, FIELD_UINT),
	ROW(stats, cpu_user_us, FIELD_UINT),
	ROW(stats, cpu_system_us, FIELD_UINT),
	ROW(stats, throttle_periods, FIELD_UINT),
	ROW(stats, throttled_periods, FIELD_UINT),
	ROW(stats, throttled_us, FIELD_UINT),
	ROW(stats, memory_bytes, FIELD_UINT),
	ROW(stats, memory_peak_bytes, FIELD_UINT),
	ROW(stats, memory_limit_bytes, FIELD_UINT),
	ROW(stats, memory_failures, FIELD_UINT),
	ROW(stats, swap_bytes, FIELD_UINT),
	ROW(stats, swap_limit_bytes, FIELD_UINT),
	ROW(stats, memory_cache_bytes, FIELD_UINT),
	ROW(stats, oom_kills, FIELD_UINT),
	LIST(memory, pair_type),
	ROW(stats, pids, FIELD_UINT),
	ROW(stats, pids_limit, FIELD_UINT),
	LIST(io, io_type),
	LIST(hugepages, hugepages_type),
	{ 0 },
};
const struct record_type stats_type = { "stats", sizeof(struct stats), stats_fields };
