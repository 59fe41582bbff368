/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan's tables. A new member of struct plan needs a row here, a line in the backends' check (enforce or refuse),
 * and whatever in runtime/launch/prepare.c fills it.
 */
#include "runtime/model/plan.h"

static const char *const namespace_names[] = { "pid", "mount", "uts", "ipc", "net", "cgroup", "user", NULL };
static const char *const engine_names[] = { "auto", "kvm", "qemu", NULL };
static const char *const network_names[] = { "none", "host", NULL };

#define ROW(type, member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct type, member)

static const struct field rlimit_fields[] = {
	{ ROW(plan_rlimit, type, FIELD_STRING), .required = true },
	{ ROW(plan_rlimit, soft, FIELD_UINT) },
	{ ROW(plan_rlimit, hard, FIELD_UINT) },
	{ 0 },
};
static const struct record_type rlimit_type = { "rlimit", sizeof(struct plan_rlimit), rlimit_fields };

static const struct field capabilities_fields[] = {
	{ ROW(plan_capabilities, bounding, FIELD_UINT) },
	{ ROW(plan_capabilities, effective, FIELD_UINT) },
	{ ROW(plan_capabilities, inheritable, FIELD_UINT) },
	{ ROW(plan_capabilities, permitted, FIELD_UINT) },
	{ ROW(plan_capabilities, ambient, FIELD_UINT) },
	{ 0 },
};
static const struct record_type capabilities_type = { "capabilities", sizeof(struct plan_capabilities),
	capabilities_fields };

static const struct field process_fields[] = {
	{ ROW(plan_process, argv, FIELD_STRINGS), .required = true },
	{ ROW(plan_process, env, FIELD_STRINGS) },
	{ ROW(plan_process, cwd, FIELD_STRING) },
	{ ROW(plan_process, user, FIELD_STRING) },
	{ ROW(plan_process, terminal, FIELD_BOOL) },
	{ ROW(plan_process, rows, FIELD_UINT) },
	{ ROW(plan_process, columns, FIELD_UINT) },
	{ ROW(plan_process, init, FIELD_BOOL) },
	{ ROW(plan_process, no_new_privs, FIELD_BOOL) },
	{ ROW(plan_process, capabilities, FIELD_RECORD), .record = &capabilities_type },
	{ ROW(plan_process, rlimits, FIELD_RECORDS), .record = &rlimit_type,
		.count_offset = offsetof(struct plan_process, n_rlimits) },
	{ ROW(plan_process, umask, FIELD_UINT) },
	{ 0 },
};
static const struct record_type process_type = { "process", sizeof(struct plan_process), process_fields };

static const struct field mount_fields[] = {
	{ ROW(plan_mount, destination, FIELD_STRING), .required = true },
	{ ROW(plan_mount, type, FIELD_STRING), .required = true },
	{ ROW(plan_mount, source, FIELD_STRING) },
	{ ROW(plan_mount, options, FIELD_STRINGS) },
	{ 0 },
};
static const struct record_type mount_type = { "mount", sizeof(struct plan_mount), mount_fields };

static const struct field device_fields[] = {
	{ ROW(plan_device, path, FIELD_STRING), .required = true },
	{ ROW(plan_device, major, FIELD_UINT) },
	{ ROW(plan_device, minor, FIELD_UINT) },
	{ ROW(plan_device, mode, FIELD_UINT) },
	{ 0 },
};
static const struct record_type device_type = { "device", sizeof(struct plan_device), device_fields };

static const struct field id_map_fields[] = {
	{ ROW(plan_id_map, inside, FIELD_UINT) },
	{ ROW(plan_id_map, outside, FIELD_UINT) },
	{ ROW(plan_id_map, count, FIELD_UINT) },
	{ 0 },
};
static const struct record_type id_map_type = { "id map", sizeof(struct plan_id_map), id_map_fields };

static const struct field root_fields[] = {
	{ ROW(plan_root, image, FIELD_STRING) },
	{ ROW(plan_root, digest, FIELD_STRING) },
	{ ROW(plan_root, lowers, FIELD_STRINGS) },
	{ ROW(plan_root, disk, FIELD_STRING) },
	{ ROW(plan_root, upper_bytes, FIELD_UINT) },
	{ ROW(plan_root, read_only, FIELD_BOOL) },
	{ 0 },
};
static const struct record_type root_type = { "root", sizeof(struct plan_root), root_fields };

static const struct field resources_fields[] = {
	{ ROW(plan_resources, memory_bytes, FIELD_UINT) },
	{ ROW(plan_resources, cpu_quota_us, FIELD_UINT) },
	{ ROW(plan_resources, cpu_period_us, FIELD_UINT) },
	{ ROW(plan_resources, cpu_weight, FIELD_UINT) },
	{ ROW(plan_resources, pids, FIELD_UINT) },
	{ 0 },
};
static const struct record_type resources_type = { "resources", sizeof(struct plan_resources), resources_fields };

static const struct field limits_fields[] = {
	{ ROW(plan_limits, wall_us, FIELD_UINT) },
	{ 0 },
};
static const struct record_type limits_type = { "limits", sizeof(struct plan_limits), limits_fields };

static const struct field vm_fields[] = {
	{ ROW(plan_vm, memory_bytes, FIELD_UINT) },
	{ ROW(plan_vm, vcpus, FIELD_UINT) },
	{ ROW(plan_vm, engine, FIELD_ENUM), .names = engine_names },
	{ ROW(plan_vm, kernel, FIELD_STRING) },
	{ ROW(plan_vm, kernel_path, FIELD_STRING) },
	{ ROW(plan_vm, initramfs_path, FIELD_STRING) },
	{ ROW(plan_vm, vmlinux_path, FIELD_STRING) },
	{ 0 },
};
static const struct record_type vm_type = { "vm", sizeof(struct plan_vm), vm_fields };

static const struct field plan_fields[] = {
	{ ROW(plan, id, FIELD_STRING) },
	{ ROW(plan, backend, FIELD_STRING) },
	{ ROW(plan, hostname, FIELD_STRING) },
	{ ROW(plan, policy, FIELD_STRING) },
	{ ROW(plan, namespaces, FIELD_FLAGS), .names = namespace_names },
	{ ROW(plan, network, FIELD_ENUM), .names = network_names },
	{ ROW(plan, root, FIELD_RECORD), .record = &root_type },
	{ ROW(plan, process, FIELD_RECORD), .record = &process_type },
	{ ROW(plan, mounts, FIELD_RECORDS), .record = &mount_type, .count_offset = offsetof(struct plan, n_mounts) },
	{ ROW(plan, devices, FIELD_RECORDS), .record = &device_type,
		.count_offset = offsetof(struct plan, n_devices) },
	{ ROW(plan, uid_maps, FIELD_RECORDS), .record = &id_map_type,
		.count_offset = offsetof(struct plan, n_uid_maps) },
	{ ROW(plan, gid_maps, FIELD_RECORDS), .record = &id_map_type,
		.count_offset = offsetof(struct plan, n_gid_maps) },
	{ ROW(plan, masked_paths, FIELD_STRINGS) },
	{ ROW(plan, readonly_paths, FIELD_STRINGS) },
	{ ROW(plan, seccomp, FIELD_BYTES) },
	{ ROW(plan, resources, FIELD_RECORD), .record = &resources_type },
	{ ROW(plan, limits, FIELD_RECORD), .record = &limits_type },
	{ ROW(plan, vm, FIELD_RECORD), .record = &vm_type },
	{ 0 },
};
const struct record_type plan_type = { "plan", sizeof(struct plan), plan_fields };
