/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor does with its machine: stops it and lets it go on, has it saved, measures it, ends it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "vm-backend/measure.h"
#include "vm-backend/saved.h"
#include "vm-backend/vm_monitor_private.h"

#define OFF_MS 2000 /* for the guest to write back its disks */

enum { STOP_STEPS = 500, STOP_STEP_NS = 1000000 };

struct vm_counters *monitor_share_counters(void)
{
	void *map = mmap(NULL, sizeof(struct vm_counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

int monitor_open_proc(pid_t pid)
{
	char path[32];

	(void)snprintf(path, sizeof path, "/proc/%d", (int)pid); /* fits */
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void monitor_power_off(struct monitor *m)
{
	struct pollfd machine = { m->machine_fd, POLLIN, 0 };

	if (m->writable && m->machine_fd >= 0 && agent_host_shutdown(&m->agent, NULL) == 0)
		(void)poll(&machine, 1, OFF_MS); /* then it is killed, whatever it does */
}

/* Figures for the report, no more. */
static void keep_usage(const struct monitor *m, const struct machine_usage *usage)
{
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	size_t len;

	record_write(w, NULL, &machine_usage_type, usage, false);
	text = json_writer_finish(w, &len);
	(void)file_write_atomic(m->dir_fd, VM_MONITOR_USAGE, text, len, 0600, NULL); /* without it they are unknown */
}

void monitor_end_machine(struct monitor *m)
{
	struct machine_usage all = { 0 };
	struct rusage usage = { 0 };

	if (m->machine <= 0)
		return;
	if (m->start->plan->figures) /* else nobody reads them, and asking takes its time */
		vm_measure(m->start->engine, &m->described.config, m->machine_proc, m->paused_ns || m->machine_fd < 0,
				&all.machine);
	(void)kill(m->machine, SIGKILL); /* our child and not yet reaped: the pid is its own */
	while (wait4(m->machine, NULL, 0, &usage) < 0 && errno == EINTR)
		;
	m->machine = 0;
	all.cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	all.peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
	keep_usage(m, &all);
	record_release(&machine_usage_type, &all);
}

/* Waits until the machine has stopped or goes on: both take no longer than its threads take to notice. */
static void await_stop(const struct monitor *m, bool on)
{
	siginfo_t info = { 0 };

	for (int i = 0; i < STOP_STEPS; i++) {
		if (waitid(P_PID, (id_t)m->machine, &info, (on ? WSTOPPED : WCONTINUED) | WNOHANG) < 0 || info.si_pid)
			return;
		(void)nanosleep(&(struct timespec){ .tv_nsec = STOP_STEP_NS }, NULL);
	}
}

int monitor_pause(void *owner, bool on, struct error *err)
{
	struct monitor *m = owner;

	if (m->machine <= 0 || m->machine_fd < 0)
		return error_set(err, ESRCH, "vm: the machine is gone");
	if (on == (m->paused_ns != 0))
		return 0;
	if (kill(m->machine, on ? SIGSTOP : SIGCONT) < 0) /* our child and not yet reaped */
		return error_sys(err, "vm: cannot %s the machine", on ? "stop" : "continue");
	await_stop(m, on);
	if (!on && m->deadline_ns)
		m->deadline_ns += clock_now_ns() - m->paused_ns;
	m->paused_ns = on ? clock_now_ns() : 0;
	return 0;
}

char *monitor_measure(void *owner)
{
	struct monitor *m = owner;
	struct json_writer *w = json_writer_new(true);
	struct machine_stats stats;

	vm_measure(m->start->engine, &m->described.config, m->machine_proc, m->paused_ns != 0, &stats);
	record_write(w, NULL, &machine_stats_type, &stats, true);
	record_release(&machine_stats_type, &stats);
	return json_writer_finish(w, NULL);
}

int monitor_save(void *owner, int fd, struct error *err)
{
	struct monitor *m = owner;

	return saved_write(fd, m->start->plan, &m->described.config, m->start->engine, &m->agent, err);
}
