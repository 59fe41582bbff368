/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report as isolate writes its meta file: lines of key:value, for judges that read these. Which status stands for
 * which verdict is the table below; docs/report.md says what the keys are.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"
#include "runtime/launch/run.h"

/* isolate's words; exited with 0 there is none. killed: by us. */
static const struct {
	const char *status;
	bool killed;
} verdicts[] = {
	[REPORT_EXITED] = { "RE", false },
	[REPORT_SIGNALED] = { "SG", false },
	[REPORT_OOM] = { "SG", false },
	[REPORT_TIMEOUT] = { "TO", true },
	[REPORT_LIMIT] = { "SG", true },
	[REPORT_ERROR] = { "XX", false },
};

static int number_of_signal(const struct report *r)
{
	for (int signo = 1; r->signal && signo < NSIG; signo++) {
		const char *name = sigabbrev_np(signo);

		if (name && !strncmp(r->signal, "SIG", 3) && !strcmp(r->signal + 3, name))
			return signo;
	}
	return (int)(r->exit_code > 128 ? r->exit_code - 128 : 0);
}

static void add_message(const struct report *r, struct strbuf *to)
{
	if (r->status == REPORT_ERROR)
		strbuf_printf(to, "message:%s\n", r->error ? r->error : "not started");
	else if (r->status == REPORT_TIMEOUT)
		strbuf_printf(to, "message:Time limit exceeded%s\n", r->limit && !strcmp(r->limit, "wall_time")
				? " (wall clock)" : "");
	else if (r->status == REPORT_LIMIT)
		strbuf_printf(to, "message:Limit exceeded: %s\n", r->limit ? r->limit : "unknown");
	else if (r->status == REPORT_SIGNALED || r->status == REPORT_OOM)
		strbuf_printf(to, "message:Caught fatal signal %d\n", number_of_signal(r));
	else if (r->exit_code)
		strbuf_printf(to, "message:Exited with error status %" PRId64 "\n", r->exit_code);
}

/* Of the program alone, as isolate's clock: from its first instruction to its end. */
static uint64_t wall_us(const struct report *r)
{
	uint64_t from = 0, to = 0;

	for (size_t i = 0; i < r->n_milestones; i++) {
		if (!strcmp(r->milestones[i].name, "exec"))
			from = r->milestones[i].at_us;
		if (!strcmp(r->milestones[i].name, "exit"))
			to = r->milestones[i].at_us;
	}
	return from && to > from ? to - from : r->wall_us;
}

static void add_seconds(struct strbuf *to, const char *key, uint64_t us)
{
	strbuf_printf(to, "%s:%" PRIu64 ".%03" PRIu64 "\n", key, us / 1000000, us / 1000 % 1000);
}

void meta_text(const struct report *r, struct strbuf *to)
{
	if (r->status == REPORT_EXITED)
		strbuf_printf(to, "exitcode:%" PRId64 "\n", r->exit_code);
	else if (r->status == REPORT_SIGNALED || r->status == REPORT_OOM)
		strbuf_printf(to, "exitsig:%d\n", number_of_signal(r));
	if (r->status != REPORT_EXITED || r->exit_code)
		strbuf_printf(to, "status:%s\n", verdicts[r->status].status);
	if (verdicts[r->status].killed)
		strbuf_printf(to, "killed:1\n");
	add_message(r, to);
	if (r->status != REPORT_ERROR) {
		add_seconds(to, "time", r->cpu_user_us + r->cpu_system_us);
		add_seconds(to, "time-wall", wall_us(r));
		strbuf_printf(to, "cg-mem:%" PRIu64 "\n", r->peak_memory_bytes / 1024);
	}
	if (r->oom_kills)
		strbuf_printf(to, "cg-oom-killed:1\n");
	if (r->max_rss_bytes) /* with it come the switches: the program's end was told */
		strbuf_printf(to, "max-rss:%" PRIu64 "\ncsw-voluntary:%" PRIu64 "\ncsw-forced:%" PRIu64 "\n",
				r->max_rss_bytes / 1024, r->switches, r->preemptions);
}

int meta_write(const struct report *r, const char *path, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	meta_text(r, &text);
	if (!strcmp(path, "-"))
		return fd_write_full(STDOUT_FILENO, text.text, text.len) < 0 ?
			error_sys(err, "cannot write the meta file") : 0;
	if (file_write_atomic(AT_FDCWD, path, text.text, text.len, 0644, err) < 0)
		return error_prefix(err, "meta");
	return 0;
}
