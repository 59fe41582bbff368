/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of struct machine_stats. A new member needs a row here and a line in docs/report.md. */
#include "runtime/model/machine_stats.h"

#define ROW(type, member, field_kind) { .key = #member, .kind = field_kind, .offset = offsetof(struct type, member) }
#define LIST(type, member, element) { .key = #member, .kind = FIELD_RECORDS, .offset = offsetof(struct type, member), \
	.record = &(element), .count_offset = offsetof(struct type, n_##member) }

static const struct field exit_fields[] = {
	ROW(machine_exit, reason, FIELD_STRING),
	ROW(machine_exit, count, FIELD_UINT),
	{ 0 },
};
static const struct record_type exit_type = { "exit", sizeof(struct machine_exit), exit_fields };

static const struct field vcpu_fields[] = {
	ROW(machine_vcpu, cpu_us, FIELD_UINT),
	LIST(machine_vcpu, exits, exit_type),
	{ 0 },
};
static const struct record_type vcpu_type = { "vcpu", sizeof(struct machine_vcpu), vcpu_fields };

static const struct field queue_fields[] = {
	ROW(machine_queue, device, FIELD_STRING),
	ROW(machine_queue, queue, FIELD_UINT),
	ROW(machine_queue, notifications, FIELD_UINT),
	ROW(machine_queue, requests, FIELD_UINT),
	ROW(machine_queue, descriptors, FIELD_UINT),
	ROW(machine_queue, read_bytes, FIELD_UINT),
	ROW(machine_queue, written_bytes, FIELD_UINT),
	ROW(machine_queue, interrupts, FIELD_UINT),
	ROW(machine_queue, throttled, FIELD_UINT),
	ROW(machine_queue, throttled_us, FIELD_UINT),
	{ 0 },
};
static const struct record_type queue_type = { "queue", sizeof(struct machine_queue), queue_fields };

static const struct field disk_fields[] = {
	ROW(machine_disk, device, FIELD_STRING),
	ROW(machine_disk, reads, FIELD_UINT),
	ROW(machine_disk, writes, FIELD_UINT),
	ROW(machine_disk, flushes, FIELD_UINT),
	ROW(machine_disk, read_bytes, FIELD_UINT),
	ROW(machine_disk, written_bytes, FIELD_UINT),
	{ 0 },
};
static const struct record_type disk_type = { "disk", sizeof(struct machine_disk), disk_fields };

static const struct field machine_fields[] = {
	LIST(machine_stats, vcpus, vcpu_type),
	ROW(machine_stats, dirty_bytes, FIELD_UINT),
	ROW(machine_stats, shared_bytes, FIELD_UINT),
	ROW(machine_stats, returned_bytes, FIELD_UINT),
	LIST(machine_stats, queues, queue_type),
	LIST(machine_stats, disks, disk_type),
	ROW(machine_stats, not_counted, FIELD_STRINGS),
	{ 0 },
};
const struct record_type machine_stats_type = { "machine", sizeof(struct machine_stats), machine_fields };

static const struct field usage_fields[] = {
	ROW(machine_usage, cpu_us, FIELD_UINT),
	ROW(machine_usage, peak_rss_bytes, FIELD_UINT),
	{ .key = "machine", .kind = FIELD_RECORD, .offset = offsetof(struct machine_usage, machine),
		.record = &machine_stats_type },
	{ 0 },
};
const struct record_type machine_usage_type = { "usage", sizeof(struct machine_usage), usage_fields };
