/* SPDX-License-Identifier: Apache-2.0 */
/* The report's table. A new member of struct report needs a row here and a line in docs/report.md. */
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/model/report.h"

enum { MAX_MILESTONES = 64 };

static const char *const status_names[] = { "exited", "signaled", "oom", "timeout", "limit", "error", NULL };

#define ROW(type, member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct type, member)

static const struct field milestone_fields[] = {
	{ ROW(report_milestone, name, FIELD_STRING), .required = true },
	{ ROW(report_milestone, at_us, FIELD_UINT) },
	{ 0 },
};
static const struct record_type milestone_type = { "milestone", sizeof(struct report_milestone), milestone_fields };

static const struct field denied_fields[] = {
	{ ROW(report_denied, syscall, FIELD_STRING) },
	{ ROW(report_denied, path, FIELD_STRING) },
	{ ROW(report_denied, address, FIELD_STRING) },
	{ ROW(report_denied, action, FIELD_STRING) },
	{ ROW(report_denied, error, FIELD_STRING) },
	{ ROW(report_denied, rule, FIELD_STRING) },
	{ ROW(report_denied, count, FIELD_UINT) },
	{ 0 },
};
static const struct record_type denied_type = { "denied", sizeof(struct report_denied), denied_fields };

static const struct field change_fields[] = {
	{ ROW(report_change, path, FIELD_STRING) },
	{ ROW(report_change, change, FIELD_STRING) },
	{ ROW(report_change, type, FIELD_STRING) },
	{ ROW(report_change, target, FIELD_STRING) },
	{ ROW(report_change, size, FIELD_UINT) },
	{ ROW(report_change, mode, FIELD_UINT) },
	{ 0 },
};
static const struct record_type change_type = { "change", sizeof(struct report_change), change_fields };

static const struct field report_fields[] = {
	{ ROW(report, version, FIELD_UINT) },
	{ ROW(report, id, FIELD_STRING) },
	{ ROW(report, backend, FIELD_STRING) },
	{ ROW(report, engine, FIELD_STRING) },
	{ ROW(report, engine_reason, FIELD_STRING) },
	{ ROW(report, start, FIELD_STRING) },
	{ ROW(report, start_reason, FIELD_STRING) },
	{ ROW(report, image, FIELD_STRING) },
	{ ROW(report, digest, FIELD_STRING) },
	{ ROW(report, policy, FIELD_STRING) },
	{ ROW(report, policy_digest, FIELD_STRING) },
	{ ROW(report, command, FIELD_STRINGS) },
	{ ROW(report, status, FIELD_ENUM), .names = status_names },
	{ ROW(report, exit_code, FIELD_INT) },
	{ ROW(report, signal, FIELD_STRING) },
	{ ROW(report, limit, FIELD_STRING) },
	{ ROW(report, error, FIELD_STRING) },
	{ ROW(report, wall_us, FIELD_UINT) },
	{ ROW(report, cpu_user_us, FIELD_UINT) },
	{ ROW(report, cpu_system_us, FIELD_UINT) },
	{ ROW(report, peak_memory_bytes, FIELD_UINT) },
	{ ROW(report, max_rss_bytes, FIELD_UINT) },
	{ ROW(report, oom_kills, FIELD_UINT) },
	{ ROW(report, pids_denied, FIELD_UINT) },
	{ ROW(report, cpu_throttled, FIELD_UINT) },
	{ ROW(report, cpu_throttled_us, FIELD_UINT) },
	{ ROW(report, read_bytes, FIELD_UINT) },
	{ ROW(report, write_bytes, FIELD_UINT) },
	{ ROW(report, switches, FIELD_UINT) },
	{ ROW(report, preemptions, FIELD_UINT) },
	{ ROW(report, not_bound, FIELD_STRINGS) },
	{ ROW(report, scratch, FIELD_STRING) },
	{ ROW(report, scratch_reason, FIELD_STRING) },
	{ ROW(report, vmm_cpu_us, FIELD_UINT) },
	{ ROW(report, vmm_peak_rss_bytes, FIELD_UINT) },
	{ ROW(report, machine, FIELD_RECORD), .record = &machine_stats_type },
	{ ROW(report, audited, FIELD_BOOL) },
	{ ROW(report, denied, FIELD_RECORDS), .record = &denied_type,
		.count_offset = offsetof(struct report, n_denied) },
	{ ROW(report, denied_more, FIELD_UINT) },
	{ ROW(report, changes_known, FIELD_BOOL) },
	{ ROW(report, changes, FIELD_RECORDS), .record = &change_type,
		.count_offset = offsetof(struct report, n_changes) },
	{ ROW(report, changes_more, FIELD_UINT) },
	{ ROW(report, milestones, FIELD_RECORDS), .record = &milestone_type,
		.count_offset = offsetof(struct report, n_milestones) },
	{ 0 },
};
const struct record_type report_type = { "report", sizeof(struct report), report_fields };

void report_mark(struct report *r, const char *name, uint64_t at_ns)
{
	struct report_milestone *m;
	uint64_t at_us;

	if (r->n_milestones >= MAX_MILESTONES)
		return; /* a workload's side that talks too much */
	for (size_t i = 0; i < r->n_milestones; i++)
		if (!strcmp(r->milestones[i].name, name))
			return; /* seen from two sides: who told first was nearer */
	if (at_ns == 0)
		at_ns = clock_now_ns();
	r->milestones = xreallocarray(r->milestones, r->n_milestones + 1, sizeof *r->milestones);
	at_us = at_ns > r->start_ns ? (at_ns - r->start_ns) / 1000 : 0;
	m = &r->milestones[r->n_milestones++];
	for (; m > r->milestones && m[-1].at_us > at_us; m--) /* told late, but it was earlier */
		*m = m[-1];
	m->name = xstrdup(name);
	m->at_us = at_us;
}
