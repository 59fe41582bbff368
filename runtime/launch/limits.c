/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that are not a backend's alone: which of them can bind on this host, and how. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/limits.h"

static void add_rlimit(struct plan_process *p, const char *type, uint64_t value)
{
	for (size_t i = 0; i < p->n_rlimits; i++)
		if (!strcmp(p->rlimits[i].type, type)) {
			if (value < p->rlimits[i].hard)
				p->rlimits[i].hard = value;
			if (value < p->rlimits[i].soft)
				p->rlimits[i].soft = value;
			return;
		}
	p->rlimits = xreallocarray(p->rlimits, p->n_rlimits + 1, sizeof *p->rlimits);
	p->rlimits[p->n_rlimits++] = (struct plan_rlimit){ .type = xstrdup(type), .soft = value, .hard = value };
}

void limits_to_rlimits(struct plan *plan)
{
	if (plan->limits.file_bytes)
		add_rlimit(&plan->process, "fsize", plan->limits.file_bytes);
	if (plan->limits.open_files)
		add_rlimit(&plan->process, "nofile", plan->limits.open_files);
}

static bool counts_cpu(const struct cgroup_host *host)
{
	return host->layout == CGROUP_V2 ? cgroup_usable(host) : cgroup_has(host, CGROUP_CPUACCT);
}

/* Takes out what has no control group. */
static void relax(struct plan *plan, const struct cgroup_host *host, struct report *report)
{
	struct plan_resources *res = &plan->resources;

	if (res->memory_bytes && !host->memory) {
		res->memory_bytes = res->memory_swap_bytes = 0;
		strv_push(&report->not_bound, xstrdup("memory"));
	}
	if (res->pids && !host->pids) {
		res->pids = 0;
		strv_push(&report->not_bound, xstrdup("pids"));
	}
	if ((res->cpu_quota_us || res->cpu_weight) && !host->cpu) {
		res->cpu_quota_us = res->cpu_period_us = res->cpu_weight = 0;
		strv_push(&report->not_bound, xstrdup("cpus"));
	}
	if (plan->limits.cpu_us && !counts_cpu(host)) { /* of each process, in whole seconds: better than none */
		add_rlimit(&plan->process, "cpu", (plan->limits.cpu_us + 999999) / 1000000);
		plan->limits.cpu_us = 0;
		strv_push(&report->not_bound, xstrdup("cpu_time"));
	}
}

int limits_check(struct plan *plan, bool best_effort, struct report *report, struct error *err)
{
	struct cgroup_host host;

	if (strcmp(plan->backend, "container") || (!best_effort && !plan->limits.cpu_us))
		return 0; /* a guest binds its limits itself */
	cgroup_probe(&host);
	if (best_effort)
		relax(plan, &host, report);
	if (plan->limits.cpu_us && !counts_cpu(&host))
		return error_set(err, EOPNOTSUPP,
			"limits.cpu_time: no control group of this user counts CPU time here; "
			"--best-effort bounds each process instead");
	return 0;
}
