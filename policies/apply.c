/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a policy into a plan. Each line follows one rule: what the plan has already stays. */
#include <errno.h>
#include <string.h>

#include "policies/enforce/caps.h"
#include "policies/policy.h"
#include "runtime/base/alloc.h"

static void fill_u64(uint64_t *at, uint64_t value)
{
	if (*at == 0)
		*at = value;
}

static void fill_string(char **at, const char *value)
{
	if (!*at)
		*at = xstrdup(value);
}

static void fill_list(char ***at, char *const *value)
{
	if (!*at && value)
		*at = strv_dup(value);
}

/* Inheritable and ambient stay empty: what a program of another user gets over execve is for the image to say. */
static int fill_capabilities(struct plan_capabilities *caps, char *const *names, struct error *err)
{
	uint64_t set = 0;

	if (caps->bounding | caps->effective | caps->permitted | caps->inheritable | caps->ambient)
		return 0;
	strv_foreach(name, names) {
		int number;

		if (!strcmp(name, "ALL")) {
			set |= caps_available();
			continue;
		}
		number = caps_from_name(name);
		if (number < 0 || number > 63)
			return error_set(err, EINVAL, "capabilities: \"%s\" is not a capability", name);
		set |= UINT64_C(1) << number;
	}
	caps->bounding = caps->effective = caps->permitted = set;
	return 0;
}

static bool has_rlimit(const struct plan_process *process, const char *type)
{
	for (size_t i = 0; i < process->n_rlimits; i++)
		if (!strcmp(process->rlimits[i].type, type))
			return true;
	return false;
}

static void fill_rlimits(struct plan_process *process, const struct plan_rlimit *limits, size_t n)
{
	if (n > 0)
		process->rlimits = xreallocarray(process->rlimits, process->n_rlimits + n, sizeof *process->rlimits);
	for (size_t i = 0; i < n; i++) {
		if (has_rlimit(process, limits[i].type))
			continue;
		process->rlimits[process->n_rlimits++] = (struct plan_rlimit){
			.type = xstrdup(limits[i].type), .soft = limits[i].soft, .hard = limits[i].hard,
		};
	}
}

static void fill_resources(struct plan_resources *to, const struct plan_resources *from)
{
	fill_u64(&to->memory_bytes, from->memory_bytes);
	if (to->cpu_quota_us == 0) { /* quota and period mean nothing without each other */
		to->cpu_quota_us = from->cpu_quota_us;
		to->cpu_period_us = from->cpu_period_us;
	}
	fill_u64(&to->cpu_weight, from->cpu_weight);
	fill_u64(&to->pids, from->pids);
	fill_u64(&to->disk_read_bytes, from->disk_read_bytes);
	fill_u64(&to->disk_write_bytes, from->disk_write_bytes);
	fill_u64(&to->disk_read_ops, from->disk_read_ops);
	fill_u64(&to->disk_write_ops, from->disk_write_ops);
}

static void fill_root(struct plan_root *root, const struct policy *p)
{
	fill_u64(&root->upper_inodes, p->upper_inodes);
	/*
	 * A size for the writes on the command line is a wish to write. What is kept aside of an empty root's has a
	 * size all the same when that is read-only.
	 */
	if (root->empty || root->upper_bytes == 0)
		root->read_only = root->read_only || p->read_only_root;
	if (root->upper_bytes == 0 && (root->empty || !root->read_only)) {
		root->upper_bytes = p->disk_bytes ? p->disk_bytes : p->upper_bytes;
		root->upper_disk = p->disk_bytes > 0;
	}
}

static void fill_landlock(struct plan_landlock *to, const struct plan_landlock *from)
{
	const struct {
		char ***to;
		char *const *from;
	} lists[] = { /* in the order of enum plan_landlock_list */
		{ &to->read, from->read }, { &to->write, from->write }, { &to->execute, from->execute },
		{ &to->list, from->list }, { &to->connect_tcp, from->connect_tcp }, { &to->bind_tcp, from->bind_tcp },
	};

	if (to->restricts)
		return;
	to->best_effort = from->best_effort;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (lists[i].from) {
			to->restricts |= PLAN_LANDLOCK_BIT(i);
			*lists[i].to = strv_dup(lists[i].from);
		}
}

static bool writable(const struct plan_mount *mount)
{
	strv_foreach(option, mount->options)
		if (!strcmp(option, "ro") || !strcmp(option, "rro"))
			return false;
	return true;
}

void policy_landlock_mounts(struct plan *plan)
{
	if (!(plan->landlock.restricts & PLAN_LANDLOCK_BIT(PLAN_LANDLOCK_WRITE)))
		return;
	if (!plan->root.read_only)
		strv_push(&plan->landlock.write, xstrdup("/"));
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (writable(&plan->mounts[i]))
			strv_push(&plan->landlock.write, xstrdup(plan->mounts[i].destination));
}

int policy_apply(const struct policy *p, const char *seccomp_cache_dir, struct plan *plan, struct error *err)
{
	struct plan_process *process = &plan->process;
	int r = fill_capabilities(&process->capabilities, p->capabilities, err);

	if (r < 0)
		return r;
	fill_string(&plan->policy, p->name);
	process->no_new_privs = process->no_new_privs || p->no_new_privs;
	fill_string(&process->user, p->user);
	fill_rlimits(process, p->rlimits, p->n_rlimits);
	fill_resources(&plan->resources, &p->resources);
	fill_u64(&plan->limits.wall_us, p->limits.wall_us);
	fill_u64(&plan->limits.cpu_us, p->limits.cpu_us);
	fill_u64(&plan->limits.output_bytes, p->limits.output_bytes);
	fill_u64(&plan->limits.file_bytes, p->limits.file_bytes);
	fill_u64(&plan->limits.open_files, p->limits.open_files);
	if (p->user_namespace)
		plan->namespaces |= PLAN_NS(USER);
	if (plan->network == NETWORK_NONE)
		plan->network = p->network;
	fill_root(&plan->root, p);
	fill_list(&plan->masked_paths, p->masked_paths);
	fill_list(&plan->readonly_paths, p->readonly_paths);
	fill_landlock(&plan->landlock, &p->landlock);
	if (p->seccomp_off || plan->seccomp.len > 0)
		return 0;
	return seccomp_compile(&p->seccomp, process->capabilities.bounding, seccomp_cache_dir, &plan->seccomp, err);
}
