/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host asks about the workload as a whole, by the same control group code as on the host. Lists have limits,
 * so that an answer fits a reply.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/agent_session.h"
#include "vm-backend/guest/guest_answer.h"
#include "vm-backend/vm_processes.h"

enum { MAX_PROCESSES = 800, MAX_COMMAND = 200, MAX_SIGNAL = 64 };

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

	if (!agent_channel_has_room(c, len) || len > AGENT_MAX_REPLY) {
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

static int tell_stats(const char *cgroup, struct cgroup_cpu setup, char **ret, size_t *ret_len, struct error *err)
{
	struct json_writer *w;
	struct cgroup_host host;
	struct stats s = { 0 };
	struct cgroup_cpu cpu;
	int r;

	cgroup_probe(&host);
	r = cgroup_measure(&host, cgroup, &s, err);
	if (r < 0)
		return r;
	cpu = cgroup_cpu_without((struct cgroup_cpu){ s.cpu_user_us, s.cpu_system_us }, setup);
	s.cpu_user_us = cpu.user_us;
	s.cpu_system_us = cpu.system_us;
	s.cpu_us = cpu.user_us + cpu.system_us;
	w = json_writer_new(true);
	record_write(w, NULL, &stats_type, &s, false);
	record_release(&stats_type, &s);
	*ret = json_writer_finish(w, ret_len);
	return 0;
}

static int update(const char *cgroup, const char *text, size_t len, struct error *err)
{
	struct plan_resources res = { 0 };
	struct cgroup_host host;
	_cleanup_json_ struct json *j = NULL;
	int r = json_parse(text, len, "resources", &j, err);

	if (r == 0)
		r = record_read(j, &plan_resources_type, &res, err);
	if (r == 0)
		r = (cgroup_probe(&host), cgroup_update(&host, cgroup, &res, err));
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
	struct cgroup_host host;

	if (signo < 1 || signo > MAX_SIGNAL)
		return error_set(err, EINVAL, "signal %d", signo);
	cgroup_probe(&host);
	return cgroup_signal(&host, cgroup, signo, err);
}

int guest_answer(struct agent_channel *c, const struct agent_request *request, const char *text, size_t len,
		const char *cgroup, struct cgroup_cpu setup, struct error *err)
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
		r = tell_stats(cgroup, setup, &answer, &answer_len, &reason);
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
