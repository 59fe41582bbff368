/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host asks about the workload as a whole. The guest has cgroup v2 and its files are read and written as they
 * are; lists have limits, so that an answer fits a reply.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/agent_session.h"
#include "vm-backend/guest/guest_answer.h"
#include "vm-backend/vm_processes.h"

enum { MAX_PROCESSES = 800, MAX_COMMAND = 200, MAX_FILE = 64 * 1024, MAX_SIGNAL = 64, MAX_PAIRS = 200, PERIOD_US = 100000 };

#define GROUPS "/sys/fs/cgroup/"

static int reply_error(struct agent_channel *c, uint32_t id, const struct error *reason, struct error *err)
{
	struct agent_reply head = { .id = id, .code = reason->code > 0 ? reason->code : EIO };

	return agent_channel_send2(c, AGENT_REPLY, 0, &head, sizeof head, reason->message,
			strnlen(reason->message, AGENT_MAX_TEXT), err);
}

/* The answer in pieces. One that the channel has no room for now is refused instead: the host may ask again. */
static int reply(struct agent_channel *c, uint32_t id, const char *text, size_t len, struct error *err)
{
	enum { PIECE = AGENT_MAX_PAYLOAD - sizeof(struct agent_reply) };
	struct agent_reply head = { .id = id };
	struct error reason = { 0 };
	int r;

	if (agent_channel_clogged(c) || len > AGENT_MAX_REPLY) {
		(void)error_set(&reason, len > AGENT_MAX_REPLY ? E2BIG : EAGAIN, "an answer of %zu bytes", len);
		return reply_error(c, id, &reason, err);
	}
	do {
		size_t n = len < PIECE ? len : PIECE;

		head.left = (uint32_t)(len - n);
		r = agent_channel_send2(c, AGENT_REPLY, 0, &head, sizeof head, text, n, err);
		text += n;
		len -= n;
	} while (r == 0 && len);
	return r;
}

/* ---- the group's files ---- */

static char *read_group(const char *cgroup, const char *file)
{
	_cleanup_free_ char *path = xasprintf(GROUPS "%s/%s", cgroup, file);
	char *text = NULL;

	if (file_read_at(AT_FDCWD, path, MAX_FILE, &text, NULL, NULL) < 0)
		return NULL; /* a controller that is not there is not known */
	return text;
}

/* "max" is UINT64_MAX. */
static uint64_t read_number(const char *cgroup, const char *file)
{
	_cleanup_free_ char *text = read_group(cgroup, file);

	return !text ? 0 : !strncmp(text, "max", 3) ? UINT64_MAX : strtoull(text, NULL, 10);
}

/* The value behind key in lines of "key value". */
static uint64_t find_number(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
		if (!strncmp(text, key, len) && text[len] == ' ')
			return strtoull(text + len + 1, NULL, 10);
	return 0;
}

static void fill_cpu(const char *cgroup, struct stats *s)
{
	_cleanup_free_ char *text = read_group(cgroup, "cpu.stat");

	s->cpu_us = find_number(text, "usage_usec");
	s->cpu_user_us = find_number(text, "user_usec");
	s->cpu_system_us = find_number(text, "system_usec");
	s->throttle_periods = find_number(text, "nr_periods");
	s->throttled_periods = find_number(text, "nr_throttled");
	s->throttled_us = find_number(text, "throttled_usec");
}

static void fill_memory(const char *cgroup, struct stats *s)
{
	_cleanup_free_ char *text = read_group(cgroup, "memory.stat"), *events = read_group(cgroup, "memory.events");
	char *rest = text, *line;

	s->memory_bytes = read_number(cgroup, "memory.current");
	s->memory_peak_bytes = read_number(cgroup, "memory.peak");
	s->memory_limit_bytes = read_number(cgroup, "memory.max");
	s->swap_bytes = read_number(cgroup, "memory.swap.current");
	s->swap_limit_bytes = read_number(cgroup, "memory.swap.max");
	s->memory_failures = find_number(events, "max");
	s->oom_kills = find_number(events, "oom_kill");
	s->memory_cache_bytes = find_number(text, "file");
	s->memory = xcalloc(MAX_PAIRS, sizeof *s->memory);
	while ((line = strsep(&rest, "\n")) && s->n_memory < MAX_PAIRS) {
		char *value = strchr(line, ' ');

		if (!value)
			continue;
		*value++ = '\0';
		s->memory[s->n_memory++] = (struct stats_pair){ xstrdup(line), strtoull(value, NULL, 10) };
	}
}

static char *tell_stats(const char *cgroup, size_t *ret_len)
{
	struct json_writer *w = json_writer_new(true);
	struct stats s = { 0 };

	fill_cpu(cgroup, &s);
	fill_memory(cgroup, &s);
	s.pids = read_number(cgroup, "pids.current");
	s.pids_limit = read_number(cgroup, "pids.max");
	s.pids_limit = s.pids_limit == UINT64_MAX ? 0 : s.pids_limit;
	record_write(w, NULL, &stats_type, &s, false);
	record_release(&stats_type, &s);
	return json_writer_finish(w, ret_len);
}

/* ---- update ---- */

static void put(char *to, size_t size, uint64_t value)
{
	if (value == UINT64_MAX)
		(void)snprintf(to, size, "max"); /* these fit */
	else
		(void)snprintf(to, size, "%" PRIu64, value);
}

/* Each file's new content; empty: as it is. v1's shares become a weight as runc and crun do it. */
static void memory_text(const struct plan_resources *r, char *to, size_t size)
{
	if (r->memory_bytes)
		put(to, size, r->memory_bytes);
}

static void swap_text(const struct plan_resources *r, char *to, size_t size)
{
	if (r->memory_swap_bytes == UINT64_MAX || r->memory_swap_bytes > r->memory_bytes)
		put(to, size, r->memory_swap_bytes == UINT64_MAX ? UINT64_MAX : r->memory_swap_bytes - r->memory_bytes);
	else if (r->memory_bytes && r->memory_bytes != UINT64_MAX)
		put(to, size, 0);
}

static void reservation_text(const struct plan_resources *r, char *to, size_t size)
{
	if (r->memory_reservation_bytes)
		put(to, size, r->memory_reservation_bytes);
}

static void cpu_text(const struct plan_resources *r, char *to, size_t size)
{
	uint64_t period = r->cpu_period_us ? r->cpu_period_us : PERIOD_US;

	if (r->cpu_quota_us && r->cpu_quota_us != UINT64_MAX)
		(void)snprintf(to, size, "%" PRIu64 " %" PRIu64, r->cpu_quota_us, period); /* fits */
	else
		(void)snprintf(to, size, "max %" PRIu64, period);
}

static void weight_text(const struct plan_resources *r, char *to, size_t size)
{
	if (r->cpu_weight)
		put(to, size, r->cpu_weight);
	else if (r->cpu_shares >= 2 && r->cpu_shares <= 262144)
		put(to, size, 1 + (r->cpu_shares - 2) * 9999 / 262142);
}

static void pids_text(const struct plan_resources *r, char *to, size_t size)
{
	if (r->pids || r->pids_unlimited)
		put(to, size, r->pids ? r->pids : UINT64_MAX);
}

/* In this order. A new limit: a row, and make_cgroup() outside the machine if it binds there too. */
static const struct {
	const char *file, *field;
	void (*text)(const struct plan_resources *, char *, size_t);
} limits[] = {
	{ "memory.max", "memory.limit", memory_text },
	{ "memory.swap.max", "memory.swap", swap_text },
	{ "memory.low", "memory.reservation", reservation_text },
	{ "cpu.max", "cpu.quota", cpu_text },
	{ "cpu.weight", "cpu.shares", weight_text },
	{ "pids.max", "pids.limit", pids_text },
};

static int write_group(const char *cgroup, const char *file, const char *text)
{
	_cleanup_free_ char *path = xasprintf(GROUPS "%s/%s", cgroup, file);

	return file_write_once(AT_FDCWD, path, text);
}

/* All or nothing: what was set before a failure is set back. */
static int set_limits(const char *cgroup, const struct plan_resources *res, struct error *err)
{
	char *old[ARRAY_LEN(limits)] = { NULL };
	int r = 0;
	size_t n;

	for (n = 0; n < ARRAY_LEN(limits) && r == 0; n++) {
		char text[64] = "";

		limits[n].text(res, text, sizeof text);
		old[n] = *text ? read_group(cgroup, limits[n].file) : NULL;
		if (old[n] && strncmp(old[n], text, strlen(text)))
			r = write_group(cgroup, limits[n].file, text);
		else if (*text && !old[n] && !strcmp(limits[n].file, "memory.swap.max"))
			continue; /* a guest without swap has none to limit */
		else if (*text && !old[n])
			r = -EOPNOTSUPP;
		if (r < 0)
			(void)error_set(err, -r, "%s: the guest cannot set %s to %s: %s", limits[n].field,
					limits[n].file, text, strerror(-r));
	}
	while (n-- > 0) {
		if (r < 0 && old[n])
			(void)write_group(cgroup, limits[n].file, old[n]); /* it held a moment ago */
		free(old[n]);
	}
	return r;
}

static int update(const char *cgroup, const char *text, size_t len, struct error *err)
{
	struct plan_resources res = { 0 };
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse(text, len, "resources", &j, err);

	if (r == 0)
		r = record_read(j, &plan_resources_type, &res, err);
	if (r == 0)
		r = set_limits(cgroup, &res, err);
	record_release(&plan_resources_type, &res);
	return r;
}

/* ---- processes ---- */

/* Whether the process is in the group or below it. */
static bool is_member(const char *pid, const char *cgroup)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/cgroup", pid), *text = NULL;
	size_t len = strlen(cgroup);

	/* "0::/bivalve-x/below" */
	return file_read_at(AT_FDCWD, path, 4096, &text, NULL, NULL) == 0 && !strncmp(text, "0::/", 4) &&
			!strncmp(text + 4, cgroup, len) && strchr("\n/", text[4 + len]);
}

static char *read_command(const char *pid, const char *name)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/cmdline", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[MAX_COMMAND + 1];
	ssize_t n = fd < 0 ? -1 : read(fd, text, MAX_COMMAND);

	if (n <= 0)
		return xasprintf("[%s]", name);
	while (n > 0 && text[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++)
		text[i] = text[i] ? text[i] : ' ';
	text[n] = '\0';
	return xstrdup(text);
}

static uint64_t read_uid(const char *pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/status", pid), *text = NULL;
	const char *at = file_read_at(AT_FDCWD, path, 8192, &text, NULL, NULL) == 0 ? strstr(text, "\nUid:\t") : NULL;
	const char *tab = at ? strchr(at + 6, '\t') : NULL; /* the second number: the effective one */

	return tab ? strtoull(tab, NULL, 10) : 0;
}

static bool describe(const char *pid, struct backend_process *p)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/stat", pid), *text = NULL;
	uint64_t tick = (uint64_t)sysconf(_SC_CLK_TCK), user, system, start;
	struct timespec boot, wall;
	char *name, *end;

	if (file_read_at(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0 || !(name = strchr(text, '(')) ||
			!(end = strrchr(text, ')')))
		return false; /* it has just ended */
	*end = '\0';
	if (sscanf(end + 1, " %*c %" SCNu64 " %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			" %*d %*d %*d %*d %*d %*d %" SCNu64, &p->parent, &user, &system, &start) != 4)
		return false;
	(void)clock_gettime(CLOCK_BOOTTIME, &boot); /* these cannot fail */
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	p->pid = strtoull(pid, NULL, 10);
	p->uid = read_uid(pid);
	p->cpu_us = (user + system) * (1000000 / tick);
	p->start_ns = (uint64_t)(wall.tv_sec - boot.tv_sec) * 1000000000 + start * (1000000000 / tick);
	p->command = read_command(pid, name + 1);
	agent_text_clean(p->command);
	return true;
}

static char *tell_processes(const char *cgroup, size_t *ret_len)
{
	struct vm_processes all = { .list = xcalloc(MAX_PROCESSES, sizeof *all.list) };
	struct json_writer *w = json_writer_new(true);
	DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && all.n < MAX_PROCESSES && (e = readdir(dir)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_member(e->d_name, cgroup) &&
				describe(e->d_name, &all.list[all.n]))
			all.n++;
	if (dir)
		(void)closedir(dir); /* only read */
	record_write(w, NULL, &vm_processes_type, &all, false);
	record_release(&vm_processes_type, &all);
	return json_writer_finish(w, ret_len);
}

/* ---- signals for all ---- */

static int kill_all(const char *cgroup, const char *text, size_t len, struct error *err)
{
	_cleanup_free_ char *number = xstrndup(text, len);
	int signo = atoi(number);
	DIR *dir;
	struct dirent *e;

	if (signo < 1 || signo > MAX_SIGNAL)
		return error_set(err, EINVAL, "signal %d", signo);
	if (signo == SIGKILL)
		return write_group(cgroup, "cgroup.kill", "1");
	dir = opendir("/proc");
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_member(e->d_name, cgroup))
			(void)kill(atoi(e->d_name), signo); /* ESRCH: it has just ended */
	if (dir)
		(void)closedir(dir); /* only read */
	return 0;
}

int guest_answer(struct agent_channel *c, const struct agent_request *request, const char *text, size_t len,
		const char *cgroup, struct error *err)
{
	_cleanup_free_ char *answer = NULL;
	struct error reason = { 0 };
	size_t answer_len = 0;
	int r = 0;

	switch (request->question) {
	case AGENT_PROCESSES:
		answer = tell_processes(cgroup, &answer_len);
		break;
	case AGENT_STATS:
		answer = tell_stats(cgroup, &answer_len);
		break;
	case AGENT_UPDATE:
		r = update(cgroup, text, len, &reason);
		break;
	case AGENT_KILL_ALL:
		r = kill_all(cgroup, text, len, &reason);
		break;
	default:
		r = error_set(&reason, EOPNOTSUPP, "the guest does not know question %u", request->question);
	}
	if (r < 0 && !reason.code)
		(void)error_set(&reason, -r, "the guest: %s", strerror(-r)); /* the code is in reason */
	return r < 0 ? reply_error(c, request->id, &reason, err) : reply(c, request->id, answer, answer_len, err);
}
