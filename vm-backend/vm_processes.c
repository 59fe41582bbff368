/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's processes as JSON. A new member of struct backend_process: a row here, and guest_answer.c fills it. */
#include "vm-backend/vm_processes.h"

#define ROW(member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct backend_process, member)

static const struct field process_fields[] = {
	{ ROW(pid, FIELD_UINT) },
	{ ROW(parent, FIELD_UINT) },
	{ ROW(uid, FIELD_UINT) },
	{ ROW(cpu_us, FIELD_UINT) },
	{ ROW(start_ns, FIELD_UINT) },
	{ ROW(command, FIELD_STRING) },
	{ 0 },
};
static const struct record_type process_type = { "process", sizeof(struct backend_process), process_fields };

static const struct field list_fields[] = {
	{ .key = "processes", .kind = FIELD_RECORDS, .offset = offsetof(struct vm_processes, list),
		.record = &process_type, .count_offset = offsetof(struct vm_processes, n) },
	{ 0 },
};
const struct record_type vm_processes_type = { "processes", sizeof(struct vm_processes), list_fields };
