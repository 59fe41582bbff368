/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of watched calls. A workload can make denied calls without end: rows are at most MAX_ROWS, lines at most
 * MAX_LINES; beyond that it is only counted, and the last line says how many there were.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policies/enforce/seccomp.h"
#include "policies/enforce/syscall_names.h"
#include "policies/policy.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/audit.h"

enum { MAX_ROWS = 256, MAX_LINES = 10000, MAX_TEXT = 512 };

_Static_assert(sizeof(struct watch_event) <= 1024, "an event fits into the text of a struct backend_event");

struct audit {
	const struct plan *plan;
	struct policy policy;
	struct call_watch watch;
	struct report_denied *rows;
	size_t n_rows;
	uint64_t more;           /* of kinds that found no row */
	int out;                 /* of the lines; -1: none */
	bool own_out;
	uint64_t lines, unwritten, start_ns;
	bool killed;
	audit_listener *listener;
	void *listener_arg;
};

int audit_open(const struct plan *plan, const char *path, struct audit **ret, struct error *err)
{
	struct audit *a;

	*ret = NULL;
	if (!plan->audit)
		return 0;
	a = xcalloc(1, sizeof *a);
	*a = (struct audit){ .plan = plan, .watch = { .fd = -1 }, .out = -1, .start_ns = clock_now_ns() };
	if (path && !strcmp(path, "-"))
		a->out = STDERR_FILENO;
	else if (path) {
		a->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
		a->own_out = true;
	}
	if (path && a->out < 0) {
		free(a);
		return error_sys(err, "--audit %s", path);
	}
	if (policy_load(plan->policy, &a->policy, err) < 0) {
		audit_free(a);
		return -EINVAL;
	}
	*ret = a;
	return 0;
}

void audit_hear(struct audit *a, audit_listener *listener, void *arg)
{
	a->listener = listener;
	a->listener_arg = arg;
}

static void free_rows(struct report_denied *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(rows[i].syscall);
		free(rows[i].path);
		free(rows[i].address);
		free(rows[i].action);
		free(rows[i].error);
		free(rows[i].rule);
	}
	free(rows);
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	watch_end(&a->watch);
	free_rows(a->rows, a->n_rows);
	if (a->own_out)
		close_cleanup(&a->out);
	policy_release(&a->policy);
	free(a);
}

int audit_listen(struct audit *a, int fd)
{
	if (a->watch.fd >= 0) { /* a second one is not ours */
		(void)close(fd); /* a descriptor that nobody waits for */
		return a->watch.fd;
	}
	watch_begin(&a->watch, fd, &a->plan->seccomp, a->plan->audit);
	return fd;
}

bool audit_killed(const struct audit *a)
{
	return a->killed;
}

/* ---- what one event is called ---- */

struct denial {
	char syscall[64], error[32], rule[MAX_TEXT];
	const char *action;
};

static void name_error(int error, char *buf, size_t size)
{
	const char *name = strerrorname_np(error);

	if (name)
		(void)snprintf(buf, size, "%s", name);
	else
		(void)snprintf(buf, size, "%d", error);
}

static void name_rule(const struct audit *a, const struct watch_event *e, struct denial *d)
{
	struct seccomp_decision decision = seccomp_decide(&a->policy.seccomp, a->plan->process.capabilities.bounding,
			d->syscall, e->args);
	const char *document = decision.rule ? decision.rule->document : a->policy.seccomp.default_document;
	unsigned line = decision.rule ? decision.rule->line : a->policy.seccomp.default_line;

	(void)snprintf(d->rule, sizeof d->rule, "%s:%u%s", document ? document : "?", line,
			decision.rule ? "" : " (seccomp.default)"); /* cut: a long file name */
}

/* The list of Landlock's that is against it; NULL: none is. What may be executed may be read. */
static const char *landlock_list(const struct plan_landlock *l, const struct watch_event *e)
{
	const struct {
		uint32_t access;
		enum plan_landlock_list list;
		char *const *paths, *const *more;
		const char *name;
	} lists[] = {
		{ WATCH_READ, PLAN_LANDLOCK_READ, l->read, l->execute, "read" },
		{ WATCH_LIST, PLAN_LANDLOCK_LIST, l->list, NULL, "list" },
		{ WATCH_EXECUTE, PLAN_LANDLOCK_EXECUTE, l->execute, NULL, "execute" },
		{ WATCH_WRITE | WATCH_MAKE | WATCH_REMOVE, PLAN_LANDLOCK_WRITE, l->write, NULL, "write" },
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		bool listed = !(l->restricts & PLAN_LANDLOCK_BIT(lists[i].list)) || !(e->access & lists[i].access);

		strv_foreach(folder, lists[i].paths)
			listed = listed || path_beneath(e->path, folder);
		strv_foreach(folder, lists[i].more)
			listed = listed || path_beneath(e->path, folder);
		if (!listed)
			return lists[i].name;
	}
	return NULL;
}

/* What is let through by the filter and ends at another wall: at Landlock, or at a network with nobody else in it. */
static void name_wall(const struct audit *a, const struct watch_event *e, struct denial *d)
{
	const char *list = *e->path ? landlock_list(&a->plan->landlock, e) : NULL;
	_cleanup_free_ char *source = policy_source(&a->policy, list ? "landlock" : "network", list);

	(void)snprintf(d->error, sizeof d->error, "%s", list ? "EACCES" : "ENETUNREACH");
	(void)snprintf(d->rule, sizeof d->rule, "%s%s%s%s", list ? "landlock." : "network: none",
			list ? list : "", source ? " " : "", source ? source : ""); /* cut: a long file name */
}

static void describe(const struct audit *a, const struct watch_event *e, struct denial *d)
{
	static const char *const actions[] = { [WATCH_ALLOWED] = "errno", [WATCH_DENIED] = "errno",
		[WATCH_KILLED] = "kill", [WATCH_NOTED] = "notify" };

	*d = (struct denial){ .action = actions[e->action] };
	if (e->arch == AUDIT_ARCH_I386)
		(void)snprintf(d->syscall, sizeof d->syscall, "i386:%d", e->nr); /* these fit */
	else if (e->arch != SECCOMP_NATIVE_ARCH)
		(void)snprintf(d->syscall, sizeof d->syscall, "arch-%x:%d", e->arch, e->nr);
	else if (e->nr & 0x40000000)
		(void)snprintf(d->syscall, sizeof d->syscall, "x32:%d", e->nr & ~0x40000000);
	else
		(void)syscall_name(e->nr, d->syscall, sizeof d->syscall);
	if (e->action == WATCH_ALLOWED) {
		name_wall(a, e, d);
		return;
	}
	if (e->action == WATCH_DENIED)
		name_error(e->error, d->error, sizeof d->error);
	if (e->arch != SECCOMP_NATIVE_ARCH || e->nr & 0x40000000)
		(void)snprintf(d->rule, sizeof d->rule, "only native system calls pass");
	else
		name_rule(a, e, d);
}

/* ---- the account ---- */

static bool same(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b);
}

static void count(struct audit *a, const struct watch_event *e, const struct denial *d)
{
	for (size_t i = 0; i < a->n_rows; i++) {
		struct report_denied *row = &a->rows[i];

		if (same(row->syscall, d->syscall) && same(row->path, e->path) && same(row->address, e->address) &&
				same(row->rule, d->rule)) {
			row->count++;
			return;
		}
	}
	if (a->n_rows == MAX_ROWS) {
		a->more++;
		return;
	}
	a->rows = xreallocarray(a->rows, a->n_rows + 1, sizeof *a->rows);
	a->rows[a->n_rows++] = (struct report_denied){
		.syscall = xstrdup(d->syscall), .path = *e->path ? xstrdup(e->path) : NULL,
		.address = *e->address ? xstrdup(e->address) : NULL, .action = xstrdup(d->action),
		.error = *d->error ? xstrdup(d->error) : NULL, .rule = xstrdup(d->rule), .count = 1,
	};
}

static void write_out(struct audit *a, struct json_writer *w)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	json_end(w);
	text = json_writer_finish(w, &len);
	text[len] = '\n'; /* in place of the NUL: a line */
	if (a->out < 0 || fd_write_full(a->out, text, len + 1) == 0)
		return;
	log_line(LOG_LEVEL_WARNING, "--audit: cannot write: %s", strerror(errno));
	a->out = -1; /* what is not written is counted in the report still */
}

static void write_line(struct audit *a, const struct watch_event *e, const struct denial *d)
{
	struct json_writer *w;

	if (a->out < 0)
		return;
	if (a->lines == MAX_LINES) {
		a->unwritten++;
		return;
	}
	a->lines++;
	w = json_writer_new(true);
	json_begin_object(w, NULL);
	json_put_uint(w, "at_us", (clock_now_ns() - a->start_ns) / 1000);
	json_put_string(w, "syscall", d->syscall);
	json_begin_array(w, "args");
	for (size_t i = 0; i < ARRAY_LEN(e->args); i++) {
		char text[24];

		(void)snprintf(text, sizeof text, "0x%llx", (unsigned long long)e->args[i]); /* fits */
		json_put_string(w, NULL, text);
	}
	json_end(w);
	if (*e->path)
		json_put_string(w, "path", e->path);
	if (*e->address)
		json_put_string(w, "address", e->address);
	json_put_string(w, "action", d->action);
	if (*d->error)
		json_put_string(w, "error", d->error);
	json_put_string(w, "rule", d->rule);
	write_out(a, w);
}

/* Attempts to get out of a network that has only itself. */
static bool leaves(const struct audit *a, const struct watch_event *e)
{
	return a->plan->audit & PLAN_AUDIT(NETWORK) && *e->address && strncmp(e->address, "unix:", 5) &&
			strncmp(e->address, "family ", 7) && strncmp(e->address, "127.", 4) &&
			strncmp(e->address, "[::1]", 5) && e->nr != SYS_bind;
}

/* What is not there is not denied but missing; what would be made is. */
static bool meets_landlock(const struct audit *a, const struct watch_event *e)
{
	return a->plan->audit & PLAN_AUDIT(FILES) && !(a->plan->audit & PLAN_AUDIT(LEARN)) && e->path[0] == '/' &&
			(e->exists || e->access & WATCH_MAKE) && landlock_list(&a->plan->landlock, e);
}

static void note(struct audit *a, const struct watch_event *e)
{
	struct denial d;

	if (a->listener)
		a->listener(a->listener_arg, e);
	if (e->action == WATCH_ALLOWED && !leaves(a, e) && !meets_landlock(a, e))
		return;
	if (e->action == WATCH_KILLED && e->is_main)
		a->killed = true;
	describe(a, e, &d);
	count(a, e, &d);
	write_line(a, e, &d);
}

bool audit_step(struct audit *a)
{
	struct watch_event events[WATCH_MAX];
	int n = watch_step(&a->watch, events);

	for (int i = 0; i < n; i++) {
		watch_event_clean(&events[i]); /* its texts are the workload's */
		note(a, &events[i]);
	}
	return n >= 0;
}

void audit_note_text(struct audit *a, const char *text, size_t size)
{
	struct watch_event e;

	if (size < sizeof e)
		return;
	memcpy(&e, text, sizeof e);
	watch_event_clean(&e);
	note(a, &e);
}

void audit_finish(struct audit *a, struct report *report)
{
	struct json_writer *w;

	report->audited = true;
	report->denied = steal_ptr(a->rows);
	report->n_denied = a->n_rows;
	report->denied_more = a->more;
	a->n_rows = 0;
	if (!a->unwritten || a->out < 0)
		return;
	w = json_writer_new(true);
	json_begin_object(w, NULL);
	json_put_uint(w, "unwritten", a->unwritten);
	write_out(a, w);
}
