/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan's tables. A new member of struct plan needs a row here, a line in the backends' check (enforce or refuse),
 * and whatever in runtime/launch/prepare.c fills it.
 */
#include <string.h>

#include "runtime/model/plan.h"

static const char *const landlock_names[] = { "read", "write", "execute", "list", "connect_tcp", "bind_tcp", NULL };
static const char *const audit_names[] = { "denied", "network", "files", "learn", NULL };
static const char *const namespace_names[] = { "pid", "mount", "uts", "ipc", "net", "cgroup", "user", "time", NULL };
static const char *const engine_names[] = { "auto", "kvm", "qemu", NULL };
static const char *const start_names[] = { "auto", "cold", "warm", NULL };
static const char *const changes_names[] = { "none", "list", "contents", NULL };
static const char *const network_names[] = { "none", "host", "user", NULL };

#define ROW(type, member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct type, member)
#define LIST(type, member, element) .key = #member, .kind = FIELD_RECORDS, .offset = offsetof(struct type, member), \
	.record = &(element), .count_offset = offsetof(struct type, n_##member)

static const struct field landlock_fields[] = {
	{ ROW(plan_landlock, restricts, FIELD_FLAGS), .names = landlock_names },
	{ ROW(plan_landlock, best_effort, FIELD_BOOL) },
	{ ROW(plan_landlock, read, FIELD_STRINGS) },
	{ ROW(plan_landlock, write, FIELD_STRINGS) },
	{ ROW(plan_landlock, execute, FIELD_STRINGS) },
	{ ROW(plan_landlock, list, FIELD_STRINGS) },
	{ ROW(plan_landlock, connect_tcp, FIELD_STRINGS) },
	{ ROW(plan_landlock, bind_tcp, FIELD_STRINGS) },
	{ 0 },
};
static const struct record_type landlock_type = { "landlock", sizeof(struct plan_landlock), landlock_fields };

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

static const struct field pair_fields[] = {
	{ ROW(plan_pair, key, FIELD_STRING), .required = true },
	{ ROW(plan_pair, value, FIELD_STRING) },
	{ 0 },
};
const struct record_type plan_pair_type = { "pair", sizeof(struct plan_pair), pair_fields };

static const struct field join_fields[] = {
	{ ROW(plan_join, type, FIELD_STRING), .required = true },
	{ ROW(plan_join, path, FIELD_STRING), .required = true },
	{ 0 },
};
static const struct record_type join_type = { "join", sizeof(struct plan_join), join_fields };

static const struct field time_offset_fields[] = {
	{ ROW(plan_time_offset, clock, FIELD_STRING), .required = true },
	{ ROW(plan_time_offset, seconds, FIELD_INT) },
	{ ROW(plan_time_offset, nanoseconds, FIELD_UINT) },
	{ 0 },
};
static const struct record_type time_offset_type = { "time offset", sizeof(struct plan_time_offset),
	time_offset_fields };

static const struct field scheduler_fields[] = {
	{ ROW(plan_scheduler, policy, FIELD_STRING) },
	{ ROW(plan_scheduler, nice, FIELD_INT) },
	{ ROW(plan_scheduler, priority, FIELD_INT) },
	{ ROW(plan_scheduler, flags, FIELD_STRINGS) },
	{ ROW(plan_scheduler, runtime_ns, FIELD_UINT) },
	{ ROW(plan_scheduler, deadline_ns, FIELD_UINT) },
	{ ROW(plan_scheduler, period_ns, FIELD_UINT) },
	{ 0 },
};
static const struct record_type scheduler_type = { "scheduler", sizeof(struct plan_scheduler), scheduler_fields };

static const struct field io_priority_fields[] = {
	{ ROW(plan_io_priority, class, FIELD_STRING) },
	{ ROW(plan_io_priority, priority, FIELD_INT) },
	{ 0 },
};
static const struct record_type io_priority_type = { "I/O priority", sizeof(struct plan_io_priority),
	io_priority_fields };

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
	{ LIST(plan_process, rlimits, rlimit_type) },
	{ ROW(plan_process, umask, FIELD_UINT) },
	{ ROW(plan_process, umask_set, FIELD_BOOL) },
	{ ROW(plan_process, groups, FIELD_STRINGS) },
	{ ROW(plan_process, apparmor_profile, FIELD_STRING) },
	{ ROW(plan_process, selinux_label, FIELD_STRING) },
	{ ROW(plan_process, oom_score_adj, FIELD_INT) },
	{ ROW(plan_process, oom_score_adj_set, FIELD_BOOL) },
	{ ROW(plan_process, personality, FIELD_UINT) },
	{ ROW(plan_process, personality_set, FIELD_BOOL) },
	{ ROW(plan_process, scheduler, FIELD_RECORD), .record = &scheduler_type },
	{ ROW(plan_process, io_priority, FIELD_RECORD), .record = &io_priority_type },
	{ ROW(plan_process, exec_cpus_initial, FIELD_STRING) },
	{ ROW(plan_process, exec_cpus_final, FIELD_STRING) },
	{ ROW(plan_process, keyring, FIELD_BOOL) },
	{ ROW(plan_process, preserve_fds, FIELD_UINT) },
	{ 0 },
};
const struct record_type plan_process_type = { "process", sizeof(struct plan_process), process_fields };

static const struct field id_map_fields[] = {
	{ ROW(plan_id_map, inside, FIELD_UINT) },
	{ ROW(plan_id_map, outside, FIELD_UINT) },
	{ ROW(plan_id_map, count, FIELD_UINT) },
	{ 0 },
};
static const struct record_type id_map_type = { "id map", sizeof(struct plan_id_map), id_map_fields };

static const struct field mount_fields[] = {
	{ ROW(plan_mount, destination, FIELD_STRING), .required = true },
	{ ROW(plan_mount, type, FIELD_STRING), .required = true },
	{ ROW(plan_mount, source, FIELD_STRING) },
	{ ROW(plan_mount, options, FIELD_STRINGS) },
	{ LIST(plan_mount, uid_maps, id_map_type) },
	{ LIST(plan_mount, gid_maps, id_map_type) },
	{ 0 },
};
static const struct record_type mount_type = { "mount", sizeof(struct plan_mount), mount_fields };

static const struct field device_fields[] = {
	{ ROW(plan_device, path, FIELD_STRING), .required = true },
	{ ROW(plan_device, type, FIELD_STRING) },
	{ ROW(plan_device, major, FIELD_UINT) },
	{ ROW(plan_device, minor, FIELD_UINT) },
	{ ROW(plan_device, mode, FIELD_UINT) },
	{ ROW(plan_device, uid, FIELD_UINT) },
	{ ROW(plan_device, gid, FIELD_UINT) },
	{ 0 },
};
static const struct record_type device_type = { "device", sizeof(struct plan_device), device_fields };

static const struct field root_fields[] = {
	{ ROW(plan_root, empty, FIELD_BOOL) },
	{ LIST(plan_root, links, plan_pair_type) },
	{ ROW(plan_root, image, FIELD_STRING) },
	{ ROW(plan_root, digest, FIELD_STRING) },
	{ ROW(plan_root, path, FIELD_STRING) },
	{ ROW(plan_root, lowers, FIELD_STRINGS) },
	{ ROW(plan_root, disk, FIELD_STRING) },
	{ ROW(plan_root, upper_bytes, FIELD_UINT) },
	{ ROW(plan_root, tmpfs_bytes, FIELD_UINT) },
	{ ROW(plan_root, upper_inodes, FIELD_UINT) },
	{ ROW(plan_root, upper_disk, FIELD_BOOL) },
	{ ROW(plan_root, scratch, FIELD_STRING) },
	{ ROW(plan_root, read_only, FIELD_BOOL) },
	{ ROW(plan_root, propagation, FIELD_STRING) },
	{ 0 },
};
static const struct record_type root_type = { "root", sizeof(struct plan_root), root_fields };

static const struct field device_rate_fields[] = {
	{ ROW(plan_device_rate, major, FIELD_UINT) },
	{ ROW(plan_device_rate, minor, FIELD_UINT) },
	{ ROW(plan_device_rate, rate, FIELD_UINT) },
	{ ROW(plan_device_rate, leaf_rate, FIELD_UINT) },
	{ 0 },
};
static const struct record_type device_rate_type = { "device rate", sizeof(struct plan_device_rate),
	device_rate_fields };

static const struct field device_rule_fields[] = {
	{ ROW(plan_device_rule, allow, FIELD_BOOL) },
	{ ROW(plan_device_rule, type, FIELD_STRING) },
	{ ROW(plan_device_rule, major, FIELD_INT) },
	{ ROW(plan_device_rule, minor, FIELD_INT) },
	{ ROW(plan_device_rule, access, FIELD_STRING) },
	{ 0 },
};
static const struct record_type device_rule_type = { "device rule", sizeof(struct plan_device_rule),
	device_rule_fields };

static const struct field hugepage_limit_fields[] = {
	{ ROW(plan_hugepage_limit, page_size, FIELD_STRING) },
	{ ROW(plan_hugepage_limit, bytes, FIELD_UINT) },
	{ 0 },
};
static const struct record_type hugepage_limit_type = { "huge page limit", sizeof(struct plan_hugepage_limit),
	hugepage_limit_fields };

static const struct field rdma_limit_fields[] = {
	{ ROW(plan_rdma_limit, device, FIELD_STRING) },
	{ ROW(plan_rdma_limit, handles, FIELD_UINT) },
	{ ROW(plan_rdma_limit, objects, FIELD_UINT) },
	{ 0 },
};
static const struct record_type rdma_limit_type = { "RDMA limit", sizeof(struct plan_rdma_limit), rdma_limit_fields };

static const struct field port_fields[] = {
	{ ROW(plan_port, address, FIELD_STRING) },
	{ ROW(plan_port, host, FIELD_UINT), .required = true },
	{ ROW(plan_port, guest, FIELD_UINT), .required = true },
	{ ROW(plan_port, udp, FIELD_BOOL) },
	{ 0 },
};
static const struct record_type port_type = { "port", sizeof(struct plan_port), port_fields };

static const struct field interface_fields[] = {
	{ ROW(plan_interface, mac, FIELD_STRING) },
	{ ROW(plan_interface, address, FIELD_STRING) },
	{ ROW(plan_interface, gateway, FIELD_STRING) },
	{ ROW(plan_interface, dns, FIELD_STRING) },
	{ ROW(plan_interface, prefix, FIELD_UINT) },
	{ LIST(plan_interface, ports, port_type) },
	{ 0 },
};
static const struct record_type interface_type = { "interface", sizeof(struct plan_interface), interface_fields };

static const struct field net_priority_fields[] = {
	{ ROW(plan_net_priority, interface, FIELD_STRING) },
	{ ROW(plan_net_priority, priority, FIELD_UINT) },
	{ 0 },
};
static const struct record_type net_priority_type = { "network priority", sizeof(struct plan_net_priority),
	net_priority_fields };

static const struct field resources_fields[] = {
	{ ROW(plan_resources, memory_bytes, FIELD_UINT) },
	{ ROW(plan_resources, memory_swap_bytes, FIELD_UINT) },
	{ ROW(plan_resources, memory_reservation_bytes, FIELD_UINT) },
	{ ROW(plan_resources, memory_kernel_bytes, FIELD_UINT) },
	{ ROW(plan_resources, memory_kernel_tcp_bytes, FIELD_UINT) },
	{ ROW(plan_resources, memory_swappiness, FIELD_UINT) },
	{ ROW(plan_resources, memory_swappiness_set, FIELD_BOOL) },
	{ ROW(plan_resources, memory_oom_kill_off, FIELD_BOOL) },
	{ ROW(plan_resources, memory_check_before_update, FIELD_BOOL) },
	{ ROW(plan_resources, cpu_shares, FIELD_UINT) },
	{ ROW(plan_resources, cpu_burst_us, FIELD_UINT) },
	{ ROW(plan_resources, cpu_realtime_runtime_us, FIELD_INT) },
	{ ROW(plan_resources, cpu_realtime_period_us, FIELD_UINT) },
	{ ROW(plan_resources, cpu_set, FIELD_STRING) },
	{ ROW(plan_resources, memory_nodes, FIELD_STRING) },
	{ ROW(plan_resources, cpu_idle, FIELD_INT) },
	{ ROW(plan_resources, pids_unlimited, FIELD_BOOL) },
	{ ROW(plan_resources, io_weight, FIELD_UINT) },
	{ ROW(plan_resources, io_leaf_weight, FIELD_UINT) },
	{ LIST(plan_resources, io_weights, device_rate_type) },
	{ ROW(plan_resources, disk_read_bytes, FIELD_UINT) },
	{ ROW(plan_resources, disk_write_bytes, FIELD_UINT) },
	{ ROW(plan_resources, disk_read_ops, FIELD_UINT) },
	{ ROW(plan_resources, disk_write_ops, FIELD_UINT) },
	{ LIST(plan_resources, io_read_bytes, device_rate_type) },
	{ LIST(plan_resources, io_write_bytes, device_rate_type) },
	{ LIST(plan_resources, io_read_ops, device_rate_type) },
	{ LIST(plan_resources, io_write_ops, device_rate_type) },
	{ LIST(plan_resources, hugepages, hugepage_limit_type) },
	{ ROW(plan_resources, net_class, FIELD_UINT) },
	{ LIST(plan_resources, net_priorities, net_priority_type) },
	{ LIST(plan_resources, rdma, rdma_limit_type) },
	{ LIST(plan_resources, devices, device_rule_type) },
	{ LIST(plan_resources, unified, plan_pair_type) },
	{ ROW(plan_resources, cpu_quota_us, FIELD_UINT) },
	{ ROW(plan_resources, cpu_period_us, FIELD_UINT) },
	{ ROW(plan_resources, cpu_weight, FIELD_UINT) },
	{ ROW(plan_resources, pids, FIELD_UINT) },
	{ 0 },
};
const struct record_type plan_resources_type = { "resources", sizeof(struct plan_resources), resources_fields };

static const struct field limits_fields[] = {
	{ ROW(plan_limits, wall_us, FIELD_UINT) },
	{ ROW(plan_limits, cpu_us, FIELD_UINT) },
	{ ROW(plan_limits, output_bytes, FIELD_UINT) },
	{ ROW(plan_limits, file_bytes, FIELD_UINT) },
	{ ROW(plan_limits, open_files, FIELD_UINT) },
	{ 0 },
};
static const struct record_type limits_type = { "limits", sizeof(struct plan_limits), limits_fields };

static const struct field vm_fields[] = {
	{ ROW(plan_vm, memory_bytes, FIELD_UINT) },
	{ ROW(plan_vm, vcpus, FIELD_UINT) },
	{ ROW(plan_vm, engine, FIELD_ENUM), .names = engine_names },
	{ ROW(plan_vm, start, FIELD_ENUM), .names = start_names },
	{ ROW(plan_vm, templates, FIELD_STRING) },
	{ ROW(plan_vm, from, FIELD_STRING) },
	{ ROW(plan_vm, kernel, FIELD_STRING) },
	{ ROW(plan_vm, kernel_path, FIELD_STRING) },
	{ ROW(plan_vm, initramfs_path, FIELD_STRING) },
	{ ROW(plan_vm, vmlinux_path, FIELD_STRING) },
	{ 0 },
};
static const struct record_type vm_type = { "vm", sizeof(struct plan_vm), vm_fields };

static const struct field hook_fields[] = {
	{ ROW(plan_hook, path, FIELD_STRING), .required = true },
	{ ROW(plan_hook, args, FIELD_STRINGS) },
	{ ROW(plan_hook, env, FIELD_STRINGS) },
	{ ROW(plan_hook, timeout_s, FIELD_UINT) },
	{ 0 },
};
static const struct record_type hook_type = { "hook", sizeof(struct plan_hook), hook_fields };

static const struct field hooks_fields[] = {
	{ LIST(plan_hooks, prestart, hook_type) },
	{ LIST(plan_hooks, create_runtime, hook_type) },
	{ LIST(plan_hooks, create_container, hook_type) },
	{ LIST(plan_hooks, start_container, hook_type) },
	{ LIST(plan_hooks, poststart, hook_type) },
	{ LIST(plan_hooks, poststop, hook_type) },
	{ 0 },
};
static const struct record_type hooks_type = { "hooks", sizeof(struct plan_hooks), hooks_fields };

static const struct field plan_fields[] = {
	{ ROW(plan, id, FIELD_STRING) },
	{ ROW(plan, backend, FIELD_STRING) },
	{ ROW(plan, hostname, FIELD_STRING) },
	{ ROW(plan, domainname, FIELD_STRING) },
	{ ROW(plan, policy, FIELD_STRING) },
	{ ROW(plan, policy_digest, FIELD_STRING) },
	{ ROW(plan, bundle, FIELD_STRING) },
	{ ROW(plan, namespaces, FIELD_FLAGS), .names = namespace_names },
	{ LIST(plan, joins, join_type) },
	{ LIST(plan, time_offsets, time_offset_type) },
	{ ROW(plan, network, FIELD_ENUM), .names = network_names },
	{ ROW(plan, interface, FIELD_RECORD), .record = &interface_type },
	{ ROW(plan, root, FIELD_RECORD), .record = &root_type },
	{ ROW(plan, process, FIELD_RECORD), .record = &plan_process_type },
	{ LIST(plan, mounts, mount_type) },
	{ LIST(plan, devices, device_type) },
	{ LIST(plan, uid_maps, id_map_type) },
	{ LIST(plan, gid_maps, id_map_type) },
	{ ROW(plan, mounts_exact, FIELD_BOOL) },
	{ ROW(plan, mount_label, FIELD_STRING) },
	{ ROW(plan, masked_paths, FIELD_STRINGS) },
	{ ROW(plan, readonly_paths, FIELD_STRINGS) },
	{ LIST(plan, sysctls, plan_pair_type) },
	{ ROW(plan, seccomp, FIELD_BYTES) },
	{ ROW(plan, seccomp_flags, FIELD_UINT) },
	{ ROW(plan, seccomp_listener, FIELD_STRING) },
	{ ROW(plan, seccomp_metadata, FIELD_STRING) },
	{ ROW(plan, landlock, FIELD_RECORD), .record = &landlock_type },
	{ ROW(plan, audit, FIELD_FLAGS), .names = audit_names },
	{ ROW(plan, hooks, FIELD_RECORD), .record = &hooks_type },
	{ LIST(plan, annotations, plan_pair_type) },
	{ ROW(plan, figures, FIELD_BOOL) },
	{ ROW(plan, changes, FIELD_ENUM), .names = changes_names },
	{ ROW(plan, cgroup, FIELD_STRING) },
	{ ROW(plan, no_cgroup, FIELD_BOOL) },
	{ ROW(plan, no_pivot, FIELD_BOOL) },
	{ ROW(plan, resources, FIELD_RECORD), .record = &plan_resources_type },
	{ ROW(plan, limits, FIELD_RECORD), .record = &limits_type },
	{ ROW(plan, vm, FIELD_RECORD), .record = &vm_type },
	{ 0 },
};
const struct record_type plan_type = { "plan", sizeof(struct plan), plan_fields };

size_t plan_hooks_of(const struct plan *plan, enum plan_hook_stage stage, const struct plan_hook **ret_hooks)
{
	const struct plan_hooks *h = &plan->hooks;
	const struct {
		const struct plan_hook *hooks;
		size_t n;
	} stages[HOOK_STAGES] = {
		[HOOK_PRESTART] = { h->prestart, h->n_prestart },
		[HOOK_CREATE_RUNTIME] = { h->create_runtime, h->n_create_runtime },
		[HOOK_CREATE_CONTAINER] = { h->create_container, h->n_create_container },
		[HOOK_START_CONTAINER] = { h->start_container, h->n_start_container },
		[HOOK_POSTSTART] = { h->poststart, h->n_poststart },
		[HOOK_POSTSTOP] = { h->poststop, h->n_poststop },
	};

	*ret_hooks = stages[stage].hooks;
	return stages[stage].n;
}

const char *plan_hook_stage_name(enum plan_hook_stage stage)
{
	static const char *const names[HOOK_STAGES] = { "prestart", "createRuntime", "createContainer",
		"startContainer", "poststart", "poststop" };

	return names[stage];
}

const char *plan_join_path(const struct plan *plan, enum plan_namespace type)
{
	for (size_t i = 0; i < plan->n_joins; i++)
		if (!strcmp(plan->joins[i].type, namespace_names[type]))
			return plan->joins[i].path;
	return NULL;
}

bool plan_has_userns(const struct plan *plan)
{
	return plan->namespaces & PLAN_NS(USER) || plan_join_path(plan, PLAN_NS_USER);
}

bool plan_is_overlay(const struct plan *plan, const struct plan_mount *mount)
{
	return !plan->mounts_exact && mount->type && !strcmp(mount->type, "overlay");
}
