/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that are not a backend's alone: which of them can bind on this host, and how. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/limits.h"
#include "vm-backend/shares.h"

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

static bool has_disk_rates(const struct plan_resources *res)
{
	return res->disk_read_bytes || res->disk_write_bytes || res->disk_read_ops || res->disk_write_ops;
}

static void drop_disk_rates(struct plan_resources *res)
{
	res->disk_read_bytes = res->disk_write_bytes = res->disk_read_ops = res->disk_write_ops = 0;
}

/*
 * Control groups v1 count what a process writes to the page cache as nobody's: only what is written past it, or waited
 * for by the writer (fsync), has a rate there.
 */
static int check_disk_writes(const struct plan *plan, const struct cgroup_host *host, bool best_effort,
		struct report *report, struct error *err)
{
	const struct plan_resources *res = &plan->resources;

	if ((!res->disk_write_bytes && !res->disk_write_ops) || host->layout == CGROUP_V2)
		return 0;
	if (!best_effort)
		return error_set(err, EOPNOTSUPP, "resources.io.%s: control groups v1 bind it only for writes that are "
				"waited for (fsync, O_DIRECT), and this host's are %s; --best-effort takes that",
				res->disk_write_bytes ? "write_bytes" : "write_ops", cgroup_layout_name(host->layout));
	strv_push(&report->not_bound, xstrdup("io_buffered_writes"));
	return 0;
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
	if (has_disk_rates(res) && !cgroup_has(host, CGROUP_BLKIO)) {
		drop_disk_rates(res);
		strv_push(&report->not_bound, xstrdup("io"));
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

	if (best_effort && !strcmp(plan->backend, "vm") && has_disk_rates(&plan->resources) &&
			shares_wanted(plan)) {
		drop_disk_rates(&plan->resources);
		strv_push(&report->not_bound, xstrdup("io"));
	}
	if (strcmp(plan->backend, "container") || (!best_effort && !plan->limits.cpu_us &&
			!has_disk_rates(&plan->resources)))
		return 0; /* a guest binds its limits itself */
	cgroup_probe(&host);
	if (best_effort)
		relax(plan, &host, report);
	if (check_disk_writes(plan, &host, best_effort, report, err) < 0)
		return -err->code;
	if (plan->limits.cpu_us && !counts_cpu(&host))
		return error_set(err, EOPNOTSUPP,
			"limits.cpu_time: no control group of this user counts CPU time here; "
			"--best-effort bounds each process instead");
	return 0;
}
