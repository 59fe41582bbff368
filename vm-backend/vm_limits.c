/* SPDX-License-Identifier: Apache-2.0 */
/* Resources, divided between the guest's control group and the one around the machine. */
#include <errno.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "vm-backend/engine.h"
#include "vm-backend/kernel/kernel.h"
#include "vm-backend/memory.h"
#include "vm-backend/vm_limits.h"

enum {
	DEFAULT_OVERHEAD_BYTES = 128 << 20,
	LEAN_KERNEL_MIB = 32,    /* the least with a kernel made for microVMs: a shell has 9 MiB free there */
	FULL_KERNEL_MIB = 80,    /* with a distribution's: with 64 one start in ten runs out of memory */
	MACHINE_PIDS = 256,      /* threads of the machine's process: vCPUs and block I/O */
};

int vm_limits_check(const struct plan_resources *res, struct error *err)
{
	const struct {
		const char *field;
		size_t n;
	} of_devices[] = {
		{ "io_weights", res->n_io_weights },
		{ "io_read_bytes", res->n_io_read_bytes },
		{ "io_write_bytes", res->n_io_write_bytes },
		{ "io_read_ops", res->n_io_read_ops },
		{ "io_write_ops", res->n_io_write_ops },
	};

	for (size_t i = 0; i < ARRAY_LEN(of_devices); i++)
		if (of_devices[i].n)
			return error_set(err, EOPNOTSUPP, "resources.%s: names devices of the host, which a VM does "
					"not have", of_devices[i].field);
	return 0;
}

bool vm_limits_disk_rates(const struct plan_resources *res)
{
	return res->disk_read_bytes || res->disk_write_bytes || res->disk_read_ops || res->disk_write_ops;
}

int vm_memory_check(const struct plan *plan, struct error *err)
{
	const bool lean = plan->vm.kernel_path && kernel_file_no_acpi(plan->vm.kernel_path);
	const uint64_t mib = plan->vm.memory_bytes >> 20, least = lean ? LEAN_KERNEL_MIB : FULL_KERNEL_MIB;

	if (mib < least)
		return error_set(err, EINVAL, "vm.memory_bytes: %llu MiB: a guest with kernel %s needs at least %llu",
				(unsigned long long)mib, plan->vm.kernel ? plan->vm.kernel : "",
				(unsigned long long)least);
	if (plan->vm.memory_bytes > VM_MEMORY_MAX)
		return error_set(err, EINVAL, "vm.memory_bytes: %llu MiB: a guest has at most %llu, a memory limit of "
				"64 GiB and what its kernel needs",
				(unsigned long long)mib, (unsigned long long)(VM_MEMORY_MAX >> 20));
	return 0;
}

struct plan_resources vm_limits_inside(const struct plan_resources *res)
{
	struct plan_resources inside = *res;

	inside.cpu_set = inside.memory_nodes = NULL; /* the host's processors and nodes */
	inside.disk_read_bytes = inside.disk_write_bytes = 0; /* the machine's disks keep to them */
	inside.disk_read_ops = inside.disk_write_ops = 0;
	inside.io_weight = inside.io_leaf_weight = 0; /* beside other work of the host's */
	return inside;
}

static uint64_t overhead_of(const char *engine)
{
	for (size_t i = 0; vm_engines[i]; i++)
		if (engine && !strcmp(vm_engines[i]->name, engine) && vm_engines[i]->overhead_bytes)
			return vm_engines[i]->overhead_bytes;
	return DEFAULT_OVERHEAD_BYTES;
}

struct plan_resources vm_limits_outside(const struct plan *plan, const struct plan_resources *res, const char *engine,
		const struct cgroup_host *host)
{
	struct plan_resources outside = { .cpu_set = res->cpu_set, .memory_nodes = res->memory_nodes,
		.io_weight = res->io_weight, .io_leaf_weight = res->io_leaf_weight };

	if (host->cpu) {
		outside.cpu_quota_us = res->cpu_quota_us;
		outside.cpu_period_us = res->cpu_period_us;
		outside.cpu_burst_us = res->cpu_burst_us;
		outside.cpu_weight = res->cpu_weight;
		outside.cpu_shares = res->cpu_shares;
		outside.cpu_idle = res->cpu_idle;
	}
	if (host->memory && res->memory_bytes && res->memory_bytes != UINT64_MAX)
		outside.memory_bytes = plan->vm.memory_bytes + overhead_of(engine);
	if (host->pids)
		outside.pids = MACHINE_PIDS; /* the plan's own limit binds in the guest */
	return outside;
}
