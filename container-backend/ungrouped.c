/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container without a control group, because its maker asks for that (`--cgroup-manager disabled`).
 *
 * A group does three things: it ends all processes, binds limits and keeps devices out. Without one
 *
 *   ending    is the pid namespace's: it needs one of its own
 *   limits    are refused, one by one
 *   devices   are kept out by mounts: nodev on the root, on binds of folders and on file systems that the plan
 *             brings, so that only the nodes open that the plan has put into /dev. That is what "deny all, allow
 *             these" wants; a rule that denies some of them is refused. Whoever can make a node or mount anew would
 *             be past that: without a user namespace CAP_MKNOD is not granted (podman 4.3 asks for it always), and
 *             CAP_SYS_ADMIN refused.
 *
 * Not defended against: it shares its maker's group, and so that one's limits; nothing can freeze or count it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "container-backend/ungrouped.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"

const char *ungrouped_narrow(const struct plan *plan, struct plan_process *process)
{
	struct plan_capabilities *c = &process->capabilities;
	uint64_t node = UINT64_C(1) << CAP_MKNOD, had = c->bounding | c->effective | c->permitted | c->inheritable |
		c->ambient;

	if (!plan->no_cgroup || plan_has_userns(plan) || !(had & node))
		return NULL;
	c->bounding &= ~node;
	c->effective &= ~node;
	c->permitted &= ~node;
	c->inheritable &= ~node;
	c->ambient &= ~node;
	return "CAP_MKNOD";
}

static int check_capabilities(const struct plan *plan, const struct plan_process *process, struct error *err)
{
	static const struct {
		int number;
		const char *name;
	} refused[] = { { CAP_MKNOD, "CAP_MKNOD" }, { CAP_SYS_ADMIN, "CAP_SYS_ADMIN" } };
	const struct plan_capabilities *c = &process->capabilities;
	uint64_t wanted = c->bounding | c->effective | c->permitted | c->inheritable | c->ambient;

	for (size_t i = 0; !plan_has_userns(plan) && i < ARRAY_LEN(refused); i++)
		if (wanted & (UINT64_C(1) << refused[i].number))
			return error_set(err, EPERM, "process.capabilities: %s: without a control group, or a user "
					"namespace, nothing keeps it from the host's devices", refused[i].name);
	return 0;
}

int ungrouped_check_process(const struct plan *plan, const struct plan_process *process, struct error *err)
{
	return plan->no_cgroup ? check_capabilities(plan, process, err) : 0;
}

static bool denies_all(const struct plan_device_rule *rule)
{
	return !rule->allow && rule->major < 0 && rule->minor < 0 && (!rule->type || !strcmp(rule->type, "a")) &&
			strchr(rule->access, 'r') && strchr(rule->access, 'w') && strchr(rule->access, 'm');
}

static int check_devices(const struct plan_resources *res, struct error *err)
{
	for (size_t i = 0; i < res->n_devices; i++)
		if (!res->devices[i].allow && !denies_all(&res->devices[i]))
			return error_set(err, EOPNOTSUPP, "resources.devices[%zu]: without a control group only a "
					"rule that denies all binds", i);
	return 0;
}

int ungrouped_check(const struct plan *plan, struct error *err)
{
	static const struct cgroup_host none = { .layout = CGROUP_NONE };
	int r;

	if (!plan->no_cgroup)
		return 0;
	if (!(plan->namespaces & PLAN_NS(PID)) || plan_join_path(plan, PLAN_NS_PID))
		return error_set(err, EINVAL, "linux.namespaces: pid: without a control group it needs one of its own, "
				"by which all processes are ended");
	r = check_devices(&plan->resources, err);
	if (r == 0)
		r = check_capabilities(plan, &plan->process, err);
	return r < 0 ? r : cgroup_check(&none, &plan->resources, err);
}
