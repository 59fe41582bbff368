/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done to a running container as a whole: all of it through its control group, from any process.
 *
 * What /proc says about a workload's process is the workload's own word: its command line is cut at 4 KiB and made
 * printable, and a process that has gone meanwhile is passed over.
 */
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "container-backend/container_verbs.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

enum { MAX_COMMAND = 4096 };

/* The group, and the host that it is on. */
static int find_group(const struct instance *in, struct cgroup_host *ret, struct error *err)
{
	cgroup_probe(ret);
	return in->cgroup
		       ? 0
		       : error_set(err, EOPNOTSUPP, "%s: has no control group: without --cgroup-manager disabled, "
					"and where its user may make one, it has", in->id);
}

int container_pause(const struct instance *in, struct error *err)
{
	struct cgroup_host host;
	int r = find_group(in, &host, err);

	return r < 0 ? r : cgroup_freeze(&host, in->cgroup, true, err);
}

int container_resume(const struct instance *in, struct error *err)
{
	struct cgroup_host host;
	int r = find_group(in, &host, err);

	return r < 0 ? r : cgroup_freeze(&host, in->cgroup, false, err);
}

static bool same_rules(const struct plan_resources *a, const struct plan_resources *b)
{
	bool same = a->n_devices == b->n_devices;

	for (size_t i = 0; same && i < a->n_devices; i++) {
		const struct plan_device_rule *x = &a->devices[i], *y = &b->devices[i];

		same = x->allow == y->allow && x->major == y->major && x->minor == y->minor &&
				!strcmp(x->type ? x->type : "a", y->type ? y->type : "a") &&
				!strcmp(x->access ? x->access : "rwm", y->access ? y->access : "rwm");
	}
	return same;
}

int container_update(const struct instance *in, const struct plan *plan, const struct plan_resources *resources,
		struct error *err)
{
	struct plan_resources changed = *resources; /* its lists are resources' own */
	struct cgroup_host host;
	int r = find_group(in, &host, err);

	if (r < 0)
		return r;
	/* On v1 writing the rules anew would refuse every device for a moment. */
	if (same_rules(&plan->resources, resources))
		changed.n_devices = 0;
	return cgroup_update(&host, in->cgroup, &changed, err);
}

/* Its arguments joined by spaces, else its name in brackets. */
static char *command_of(int proc, const char *stat)
{
	_cleanup_close_ int fd = openat(proc, "cmdline", O_RDONLY | O_CLOEXEC);
	char text[MAX_COMMAND + 1];
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, MAX_COMMAND);
	const char *left = strchr(stat, '('), *right = strrchr(stat, ')');

	if (n <= 0 && left && right && right > left) {
		n = snprintf(text, sizeof text, "[%.*s]", (int)(right - left - 1) & 0xff, left + 1);
	} else if (n <= 0) {
		return xstrdup("[unknown]");
	}
	while (n > 0 && text[n - 1] == '\0')
		n--;
	text[n] = '\0';
	for (ssize_t i = 0; i < n; i++)
		text[i] = text[i] == '\0'                                                  ? ' '
			  : (unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x7f ? '?'
											   : text[i];
	return xstrdup(text);
}

/* Seconds since 1970 at boot, to the nanosecond as far as the clocks tell. */
static uint64_t boot_wall_ns(void)
{
	struct timespec t = { 0 };
	uint64_t wall = clock_wall_ns();

	(void)clock_gettime(CLOCK_BOOTTIME, &t); /* cannot fail */
	return wall - ((uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec);
}

/* False: gone meanwhile. */
static bool read_process(pid_t pid, uint64_t boot_ns, struct backend_process *ret)
{
	uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
	unsigned long long user, system, start;
	_cleanup_free_ char *stat_text = NULL;
	_cleanup_close_ int proc = -1;
	struct stat st;
	char path[32];
	const char *rest;
	long parent;

	(void)snprintf(path, sizeof path, "/proc/%d", (int)pid); /* fits */
	proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || fstat(proc, &st) < 0 || file_read_at(proc, "stat", 4096, &stat_text, NULL, NULL) < 0)
		return false;
	rest = strrchr(stat_text, ')'); /* the name before it may hold anything */
	if (!rest || sscanf(rest + 1,
			     " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
			     &parent, &user, &system, &start) != 4)
		return false;
	*ret = (struct backend_process){ .pid = (uint64_t)pid, .parent = (uint64_t)parent, .uid = st.st_uid,
		.cpu_us = (user + system) * (1000000 / ticks), .start_ns = boot_ns + start * (1000000000 / ticks),
		.command = command_of(proc, stat_text) };
	return true;
}

int container_processes(const struct instance *in, struct backend_process **ret, size_t *ret_n, struct error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	struct backend_process *all;
	struct cgroup_host host;
	size_t n = 0, found = 0;
	uint64_t boot = boot_wall_ns();
	int r = find_group(in, &host, err);

	if (r == 0)
		r = cgroup_processes(&host, in->cgroup, &pids, &n, err);
	if (r < 0)
		return r;
	all = xcalloc(n + 1, sizeof *all);
	for (size_t i = 0; i < n; i++)
		found += read_process(pids[i], boot, &all[found]);
	*ret = all;
	*ret_n = found;
	return 0;
}

static uint64_t resident_bytes(uint64_t pid)
{
	_cleanup_free_ char *text = NULL, *path = xasprintf("/proc/%ju/statm", (uintmax_t)pid);
	unsigned long long resident = 0;

	if (file_read_at(AT_FDCWD, path, 4096, &text, NULL, NULL) == 0)
		(void)sscanf(text, "%*u %llu", &resident); /* else 0: it has ended */
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where the group counts no CPU time, memory or processes (a bundle's that runs in the foreground, on v1): of those
 * alive. */
static void add_from_processes(const struct instance *in, struct stats *stats)
{
	bool counted = stats->cpu_us > 0, weighed = stats->memory_bytes > 0;
	struct backend_process *all;
	size_t n;

	if ((stats->cpu_us && stats->pids) || container_processes(in, &all, &n, NULL) < 0)
		return;
	for (size_t i = 0; !counted && i < n; i++)
		stats->cpu_us += all[i].cpu_us;
	for (size_t i = 0; !weighed && i < n; i++)
		stats->memory_bytes += resident_bytes(all[i].pid);
	if (!stats->pids)
		stats->pids = n;
	backend_processes_free(all, n);
}

int container_stats(const struct instance *in, struct stats *ret_inside, struct stats *ret_outside, struct error *err)
{
	struct cgroup_host host;
	int r = find_group(in, &host, err);

	*ret_outside = (struct stats){ 0 };
	if (r == 0)
		r = cgroup_measure(&host, in->cgroup, ret_inside, err);
	if (r == 0)
		add_from_processes(in, ret_inside);
	return r;
}

int container_kill_all(const struct instance *in, int signo, struct error *err)
{
	struct cgroup_host host;
	int r = find_group(in, &host, err);

	if (r < 0 && signo == SIGKILL) /* its pid namespace ends with its first process */
		return container_backend.kill(in, signo, err);
	return r < 0 ? r : cgroup_signal(&host, in->cgroup, signo, err);
}
