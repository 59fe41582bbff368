/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's linux object (runtime-spec config-linux.md), bar resources, mounts and seccomp. */
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>

#include "runtime/base/alloc.h"
#include "runtime/oci/spec_reader.h"

/* ---- namespaces ---- */

/* In the order of enum plan_namespace: the specification's name and ours. */
static const struct {
	const char *oci, *plan;
} namespaces[PLAN_NS_COUNT] = {
	{ "pid", "pid" }, { "mount", "mount" }, { "uts", "uts" }, { "ipc", "ipc" }, { "network", "net" },
	{ "cgroup", "cgroup" }, { "user", "user" }, { "time", "time" },
};

static const struct spec_row namespace_rows[] = {
	{ SPEC_ROW("type", spec_string, plan_join, type), .required = true },
	{ SPEC_ROW("path", spec_path, plan_join, path) },
	{ 0 },
};

static int add_namespace(const struct spec *s, const struct json *j, struct plan_join *join, uint64_t *seen)
{
	struct plan *plan = s->plan;
	size_t i = 0;

	while (i < PLAN_NS_COUNT && strcmp(namespaces[i].oci, join->type))
		i++;
	if (i == PLAN_NS_COUNT)
		return spec_refuse_member(s, j, "type", "no namespace that we know: %s", join->type);
	if (*seen & UINT64_C(1) << i)
		return spec_refuse_member(s, j, "type", "the same namespace twice: %s", join->type);
	*seen |= UINT64_C(1) << i;
	if (!join->path) {
		plan->namespaces |= UINT64_C(1) << i;
		return 0;
	}
	free(join->type);
	join->type = xstrdup(namespaces[i].plan);
	plan->joins = xreallocarray(plan->joins, plan->n_joins + 1, sizeof *plan->joins);
	plan->joins[plan->n_joins++] = (struct plan_join){ steal_ptr(join->type), steal_ptr(join->path) };
	return 0;
}

static int read_namespaces(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	uint64_t seen = 0;
	int r = 0;

	if (j->type != JSON_ARRAY)
		return spec_wrong(s, j, "an array");
	for (size_t i = 0; i < j->n_items && r == 0; i++) {
		struct plan_join join = { 0 };

		r = spec_members(s, j->items[i], namespace_rows, &join);
		if (r == 0)
			r = add_namespace(s, j->items[i], &join, &seen);
		free(join.type);
		free(join.path);
	}
	return r;
}

static bool has_namespace(const struct plan *plan, enum plan_namespace type)
{
	return plan->namespaces >> type & 1 || plan_join_path(plan, type);
}

/* ---- time ---- */

static const struct spec_row offset_rows[] = {
	{ SPEC_ROW("secs", spec_int, plan_time_offset, seconds) },
	{ SPEC_ROW("nanosecs", spec_uint, plan_time_offset, nanoseconds), .max = 999999999 },
	{ 0 },
};

static int read_time_offsets(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan *plan = out;

	if (j->type != JSON_OBJECT)
		return spec_wrong(s, j, "an object");
	json_foreach(item, j) {
		int r;

		if (strcmp(item->key, "monotonic") && strcmp(item->key, "boottime"))
			return spec_refuse(s, item, "no clock that can be set off: expected monotonic or boottime");
		plan->time_offsets = xreallocarray(plan->time_offsets, plan->n_time_offsets + 1,
				sizeof *plan->time_offsets);
		plan->time_offsets[plan->n_time_offsets] = (struct plan_time_offset){ .clock = xstrdup(item->key) };
		r = spec_members(s, item, offset_rows, &plan->time_offsets[plan->n_time_offsets++]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- devices ---- */

static const char *const device_types[] = { "c", "b", "u", "p", NULL };

static const struct spec_row device_rows[] = {
	{ SPEC_ROW("type", spec_word, plan_device, type), .words = device_types, .required = true },
	{ SPEC_ROW("path", spec_path, plan_device, path), .required = true },
	{ SPEC_ROW("major", spec_uint, plan_device, major), .max = UINT32_MAX },
	{ SPEC_ROW("minor", spec_uint, plan_device, minor), .max = UINT32_MAX },
	{ SPEC_ROW("fileMode", spec_uint, plan_device, mode), .max = UINT32_MAX },
	{ SPEC_ROW("uid", spec_uint, plan_device, uid), .max = UINT32_MAX - 1 },
	{ SPEC_ROW("gid", spec_uint, plan_device, gid), .max = UINT32_MAX - 1 },
	{ 0 },
};

static int check_device(const struct spec *s, const struct json *j, void *record)
{
	struct plan_device *d = record;
	const struct json *mode = json_get(j, "fileMode");

	for (size_t i = 0; i < 2 && d->type[0] != 'p'; i++)
		if (!json_get(j, i ? "minor" : "major"))
			return spec_refuse_member(s, j, i ? "minor" : "major", "missing: it is required");
	d->mode = mode && mode->type != JSON_NULL ? d->mode & 07777 : 0666; /* some send the type's bits too */
	return 0;
}

/* ---- small ones ---- */

/* Of the kernel's words, with and without the "r" for all below. */
static const char *const propagations[] = { "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable",
	"runbindable", NULL };

struct personality {
	char *domain;
};
static const char *const domains[] = { "LINUX", "LINUX32", NULL };
static const struct spec_row personality_rows[] = {
	{ SPEC_ROW("domain", spec_word, personality, domain), .words = domains, .required = true },
	{ .key = "flags", .read = spec_unsupported }, /* the specification knows none */
	{ 0 },
};

static int read_personality(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	struct plan_process *p = &s->plan->process;
	struct personality personality = { 0 };
	int r = spec_members(s, j, personality_rows, &personality);

	if (r == 0) {
		p->personality = strcmp(personality.domain, "LINUX32") ? PER_LINUX : PER_LINUX32;
		p->personality_set = true;
	}
	free(personality.domain);
	return r;
}

static int read_propagation(const struct spec *s, const struct json *j, const struct spec_row *row, void *out)
{
	return spec_word(s, j, row, &((struct plan *)out)->root);
}

const struct spec_row spec_linux_rows[] = {
	{ .key = "namespaces", .read = read_namespaces },
	{ SPEC_LIST("uidMappings", plan, uid_maps, spec_id_map_rows), .check = spec_id_map_check, .max = 340 },
	{ SPEC_LIST("gidMappings", plan, gid_maps, spec_id_map_rows), .check = spec_id_map_check, .max = 340 },
	{ .key = "timeOffsets", .read = read_time_offsets },
	{ SPEC_LIST("devices", plan, devices, device_rows), .check = check_device },
	{ SPEC_ROW("cgroupsPath", spec_string, plan, cgroup) },
	{ SPEC_ROW("resources", spec_record, plan, resources), .rows = spec_resources_rows },
	{ SPEC_ROW("rootfsPropagation", read_propagation, plan_root, propagation), .words = propagations },
	{ .key = "seccomp", .read = spec_seccomp },
	{ SPEC_PAIRS("sysctl", plan, sysctls) },
	{ SPEC_ROW("maskedPaths", spec_paths, plan, masked_paths), .max = SPEC_MAX_ENTRIES },
	{ SPEC_ROW("readonlyPaths", spec_paths, plan, readonly_paths), .max = SPEC_MAX_ENTRIES },
	{ SPEC_ROW("mountLabel", spec_string, plan, mount_label) },
	{ .key = "personality", .read = read_personality },
	{ .key = "intelRdt", .read = spec_unsupported },
	{ .key = "memoryPolicy", .read = spec_unsupported }, /* runtime-spec 1.3 */
	{ .key = "netDevices", .read = spec_unsupported },   /* runtime-spec 1.3 */
	{ 0 },
};

/* ---- what needs a namespace of its own ---- */

static int check_user_namespace(const struct spec *s, const struct json *linux_object)
{
	struct plan *plan = s->plan;
	bool maps = plan->n_uid_maps || plan->n_gid_maps;

	if (plan_join_path(plan, PLAN_NS_USER)) {
		/* Its maps are made. Engines repeat them here; they must not be written again. */
		free(plan->uid_maps);
		free(plan->gid_maps);
		plan->uid_maps = plan->gid_maps = NULL;
		plan->n_uid_maps = plan->n_gid_maps = 0;
		return 0;
	}
	if (maps && !has_namespace(plan, PLAN_NS_USER))
		return spec_refuse_member(s, linux_object, plan->n_uid_maps ? "uidMappings" : "gidMappings",
				"there is no user namespace to map");
	if (has_namespace(plan, PLAN_NS_USER) && (!plan->n_uid_maps || !plan->n_gid_maps))
		return spec_refuse_member(s, linux_object, plan->n_uid_maps ? "gidMappings" : "uidMappings",
				"missing: a new user namespace needs both mappings");
	return 0;
}

/*
 * A sysctl belongs to a namespace, and a container may set it only in one that is its own: any other is the host's.
 * (A microVM has a kernel of its own: there all of them are.)
 */
static const struct {
	const char *name; /* ends with ".": all below */
	enum plan_namespace type;
} sysctls[] = {
	{ "kernel.msgmax", PLAN_NS_IPC }, { "kernel.msgmnb", PLAN_NS_IPC }, { "kernel.msgmni", PLAN_NS_IPC },
	{ "kernel.sem", PLAN_NS_IPC }, { "kernel.shmall", PLAN_NS_IPC }, { "kernel.shmmax", PLAN_NS_IPC },
	{ "kernel.shmmni", PLAN_NS_IPC }, { "kernel.shm_rmid_forced", PLAN_NS_IPC }, { "fs.mqueue.", PLAN_NS_IPC },
	{ "kernel.domainname", PLAN_NS_UTS }, { "net.", PLAN_NS_NET }, { "user.", PLAN_NS_USER },
};

static int check_sysctl(const struct spec *s, const struct json *j, const char *key)
{
	_cleanup_free_ char *name = xstrdup(key);
	size_t first = strcspn(name, "./");

	if (name[first] == '/') /* the other spelling: "net/ipv4/conf/eth0.1/x" */
		for (char *c = name; *c; c++)
			*c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
	if (strstr(name, "..") || strstr(name, "//") || strstr(name, "./.") || name[0] == '.' || name[0] == '/')
		return spec_refuse(s, j, "not the name of a sysctl");
	if (!strcmp(s->plan->backend, "vm"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
		size_t len = strlen(sysctls[i].name);
		bool below = sysctls[i].name[len - 1] == '.';

		if (below ? strncmp(name, sysctls[i].name, len) : strcmp(name, sysctls[i].name))
			continue;
		if (has_namespace(s->plan, sysctls[i].type))
			return 0;
		return spec_refuse(s, j, "would change the host's: there is no %s namespace",
				namespaces[sysctls[i].type].oci);
	}
	return spec_refuse(s, j, "belongs to no namespace: it would change the host's");
}

int spec_linux_finish(const struct spec *s, const struct json *root)
{
	const struct json *linux_object = json_get(root, "linux"), *sysctl = json_get(linux_object, "sysctl");
	struct plan *plan = s->plan;

	if (!linux_object || linux_object->type != JSON_OBJECT)
		linux_object = root;
	if (plan->hostname && !has_namespace(plan, PLAN_NS_UTS))
		return spec_refuse_member(s, root, "hostname", "there is no uts namespace: it would be the host's");
	if (plan->domainname && !has_namespace(plan, PLAN_NS_UTS))
		return spec_refuse_member(s, root, "domainname", "there is no uts namespace: it would be the host's");
	if (plan->n_time_offsets && !(plan->namespaces & PLAN_NS(TIME)))
		return spec_refuse_member(s, linux_object, "timeOffsets", "there is no new time namespace");
	if (!has_namespace(plan, PLAN_NS_MOUNT) && (strv_len(plan->masked_paths) || strv_len(plan->readonly_paths)))
		return spec_refuse_member(s, linux_object,
				strv_len(plan->masked_paths) ? "maskedPaths" : "readonlyPaths",
				"there is no mount namespace: it would be the host's");
	plan->network = has_namespace(plan, PLAN_NS_NET) ? NETWORK_NONE : NETWORK_HOST;
	for (size_t i = 0; i < plan->n_sysctls; i++) {
		int r = check_sysctl(s, sysctl->items[i], plan->sysctls[i].key);

		if (r < 0)
			return r;
	}
	return check_user_namespace(s, linux_object);
}
