/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a machine, as others than its monitor see it: what it used, and that nothing of it is left. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/json.h"
#include "vm-backend/vm_children.h"
#include "vm-backend/vm_end.h"
#include "vm-backend/vm_monitor.h"
#include "vm-backend/vm_verbs.h"

enum {
	MAX_USAGE = 1 << 20,
	END_MS = 5000,           /* for a killed process to be gone */
};

void vm_account(const struct instance *in, struct report *report)
{
	_cleanup_free_ char *path = xasprintf("%s/" VM_MONITOR_USAGE, in->dir);
	_cleanup_json_ struct json *j = NULL;
	struct machine_usage usage = { 0 };

	if (json_parse_file(AT_FDCWD, path, MAX_USAGE, &j, NULL) < 0 ||
			record_read(j, &machine_usage_type, &usage, NULL) < 0)
		return; /* the monitor was killed: not known */
	report->vmm_cpu_us = usage.cpu_us;
	report->vmm_peak_rss_bytes = usage.peak_rss_bytes;
	report->machine = usage.machine; /* the report's now */
}

/* Kills a process and waits until it is gone; reaps it if it is ours. */
static int end_process(uint64_t pid, uint64_t start, const char *what, struct error *err)
{
	_cleanup_close_ int pidfd = vm_open_process(pid, start);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	if (pidfd == -ESRCH)
		return 0;
	if (pidfd < 0)
		return error_set(err, -pidfd, "cannot open %s (pid %llu)", what, (unsigned long long)pid);
	r = pidfd_kill(pidfd, SIGKILL);
	if (r < 0 && r != -ESRCH)
		return error_set(err, -r, "cannot kill %s (pid %llu): %s", what, (unsigned long long)pid, strerror(-r));
	if (poll(&p, 1, END_MS) == 0)
		return error_set(err, ETIMEDOUT, "%s (pid %llu) does not end", what, (unsigned long long)pid);
	(void)waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED | WNOHANG); /* ECHILD: somebody else's */
	return 0;
}

int vm_delete(const struct instance *in, struct error *err)
{
	int r = end_process(in->pid, in->pid_start, "the monitor", err);
	int r2 = end_process(in->vmm_pid, in->vmm_pid_start, "the machine", r < 0 ? NULL : err);
	struct cgroup_host host;

	/* Only of our own: while a dead launcher's is swept away, the children that there are belong to another. */
	if (in->live.pidfd >= 0)
		vm_children_await();
	if (r == 0)
		r = r2;
	if (r < 0 || !in->cgroup)
		return r;
	cgroup_probe(&host);
	r = cgroup_kill(&host, in->cgroup, err);
	return r < 0 && r != -ENOENT ? r : cgroup_remove(&host, in->cgroup, err);
}
