/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest is told of the plan. */
#include "runtime/base/json.h"
#include "vm-backend/agent_plan.h"
#include "vm-backend/shares.h"
#include "vm-backend/vm_config.h"
#include "vm-backend/vm_limits.h"

/* Its strings are borrowed, never to be released. */
static struct plan plan_for_guest(const struct plan *plan)
{
	struct plan guest = *plan;

	guest.root.lowers = NULL;
	guest.root.scratch = plan->root.scratch ? (char *)(uintptr_t)vm_scratch_device(plan) : NULL;
	guest.root.disk = NULL;
	if (plan->resources.memory_bytes && plan->resources.memory_bytes != UINT64_MAX)
		guest.root.tmpfs_bytes = plan->vm.memory_bytes; /* half of it may be less than the limit, which binds */
	guest.vm = (struct plan_vm){ 0 };
	guest.policy = guest.policy_digest = NULL;
	guest.bundle = NULL;
	guest.cgroup = NULL;
	guest.no_cgroup = false; /* of the host's; the guest has its own */
	guest.hooks = (struct plan_hooks){ .start_container = plan->hooks.start_container,
		.n_start_container = plan->hooks.n_start_container };
	guest.resources = vm_limits_inside(&plan->resources);
	return guest;
}

/*
 * A new field of the plan is part of the text until it is taken out here, which it may be if nothing that the guest
 * does before BECOME depends on it. The host name comes with RENEW. Figures are always counted: more than is asked for.
 */
static void leave_out_late(struct plan *guest)
{
	static char dash[] = "-"; /* a plan has a program */
	static char *none[] = { dash, NULL };

	guest->id = NULL;
	guest->hostname = NULL;
	guest->process.argv = none;
	guest->process.env = NULL;
	guest->audit = 0;
	guest->figures = true;
	guest->limits.wall_us = 0;
	guest->limits.output_bytes = 0;
	guest->interface.mac = NULL;
	guest->interface.ports = NULL; /* of the host's */
	guest->interface.n_ports = 0;
	guest->root.image = NULL;
	guest->root.digest = NULL; /* the disk is the machine's, and part of its key */
}

char *agent_plan_text(const struct plan *plan, bool to_prepare, size_t *ret_len)
{
	struct plan guest = plan_for_guest(plan);
	struct json_writer *w = json_writer_new(true);

	if (to_prepare)
		leave_out_late(&guest);
	shares_rewrite(&guest);
	record_write(w, NULL, &plan_type, &guest, false);
	shares_rewrite_undo(&guest);
	return json_writer_finish(w, ret_len);
}
