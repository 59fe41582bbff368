/* SPDX-License-Identifier: Apache-2.0 */
/* The report on a terminal. */
#include <inttypes.h>

#include "runtime/base/alloc.h"
#include "runtime/launch/summary.h"

static char *describe_end(const struct report *r)
{
	switch (r->status) {
	case REPORT_EXITED:
		return xasprintf("exit %" PRId64, r->exit_code);
	case REPORT_SIGNALED:
		return xasprintf("%s%s%s", r->signal ? r->signal : "a signal", r->limit ? ", limit: " : "",
			r->limit ? r->limit : "");
	case REPORT_OOM:
		return xstrdup("out of memory, limit: memory");
	case REPORT_TIMEOUT:
		return xasprintf("time-out, limit: %s", r->limit ? r->limit : "wall_time");
	case REPORT_LIMIT:
		return xasprintf("limit: %s", r->limit ? r->limit : "unknown");
	default:
		return xstrdup("not started");
	}
}

/* A sink that is gone needs no summary: what fprintf(3) returns is not looked at. */
void summary_print(const struct report *r, FILE *to)
{
	_cleanup_free_ char *end = describe_end(r);

	(void)fprintf(to, "bivalve: %s; %.3f s, CPU %.3f s user %.3f s system, peak memory %.1f MiB\n", end,
		(double)r->wall_us / 1e6, (double)r->cpu_user_us / 1e6, (double)r->cpu_system_us / 1e6,
		(double)r->peak_memory_bytes / (1 << 20));
	(void)fprintf(to, "bivalve: %s%s%s%s, policy %s", r->backend, r->engine ? " (" : "", r->engine ? r->engine : "",
		r->engine ? ")" : "", r->policy);
	if (r->changes_known)
		(void)fprintf(to, "; %zu change%s", r->n_changes, r->n_changes == 1 ? "" : "s");
	if (r->audited)
		(void)fprintf(to, "; %zu kind%s of denials", r->n_denied, r->n_denied == 1 ? "" : "s");
	if (r->pids_denied)
		(void)fprintf(to, "; %" PRIu64 " fork%s refused", r->pids_denied,
			r->pids_denied == 1 ? "" : "s");
	if (r->cpu_throttled)
		(void)fprintf(to, "; held back by the CPU quota for %.3f s", (double)r->cpu_throttled_us / 1e6);
	strv_foreach(name, r->not_bound)
		(void)fprintf(to, "; NOT BOUND: %s", name);
	(void)fputc('\n', to);
}
