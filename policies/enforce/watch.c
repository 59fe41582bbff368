/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of watched system calls.
 *
 * Theory of operation. watch_install() puts a filter over the workload that tells instead of denying. The answer to
 * what is told is the program's own, run here over the same registers; so a watched run is denied exactly what an
 * unwatched one is. Registers of a stopped caller do not change: "go on" is only ever said on the strength of them,
 * never of anything behind a pointer.
 *
 *   the program says      the caller gets                          written down as
 *   allow, log            the call (it was told on purpose)         ALLOWED, and only if it is news
 *   user-notif            the call ("notify" in a policy)           NOTED
 *   errno                 the errno                                 DENIED
 *   kill                  SIGKILL for the whole process             KILLED
 *   anything else         EPERM: what we do not know we deny        DENIED
 *
 * A supervisor that ends takes the descriptor along, and the kernel then answers ENOSYS to all that would be told: it
 * fails closed. A caller that the program kills ends by SIGKILL rather than by SIGSYS, since SIGSYS sent by us could be
 * caught; for the workload's first process the launcher puts that right in its report and status.
 *
 * Not defended against: a workload that makes denied calls as fast as it can slows its supervisor, as it would by
 * output. What is written down is bounded by whoever writes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policies/enforce/seccomp.h"
#include "policies/enforce/seccomp_verify.h"
#include "policies/enforce/watch.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/plan.h"

enum { MAX_SEEN = 1 << 15, SEEN_SLOTS = 1 << 16, MAX_ERRNO = 4095 };

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP /* Linux 6.6 */
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

void watch_begin(struct call_watch *w, int fd, const struct bytes *program, uint64_t audit)
{
	*w = (struct call_watch){ .fd = fd, .program = *program, .audit = audit };
	/* The answer wakes the caller on this processor; kernels without it do the same a little more slowly. */
	(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (unsigned long)SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

void watch_end(struct call_watch *w)
{
	close_cleanup(&w->fd);
	w->fd = -1;
	free(steal_ptr(w->seen));
}

/* ---- what is news ---- */

static uint64_t hash_add(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* Arguments that say what kind of call it is: for these one rule is not enough. */
static bool has_kinds(int nr)
{
	return nr == SYS_socket || nr == SYS_prctl || nr == SYS_personality;
}

static uint64_t hash_of(const struct watch_event *e)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	h = hash_add(h, &e->nr, sizeof e->nr);
	h = hash_add(h, &e->arch, sizeof e->arch);
	h = hash_add(h, &e->access, sizeof e->access);
	if (has_kinds(e->nr))
		h = hash_add(h, &e->args[0], sizeof e->args[0]);
	if (e->nr == SYS_ioctl)
		h = hash_add(h, &e->args[1], sizeof e->args[1]);
	h = hash_add(h, e->path, strlen(e->path) + 1);
	h = hash_add(h, e->address, strlen(e->address));
	h ^= h >> 32;
	return h ? h : 1;
}

/* False: it was seen before, or there is no more room. */
static bool is_news(struct call_watch *w, const struct watch_event *e)
{
	uint64_t h = hash_of(e);

	if (!w->seen)
		w->seen = xcalloc(SEEN_SLOTS, sizeof *w->seen);
	for (size_t at = h % SEEN_SLOTS;; at = (at + 1) % SEEN_SLOTS) {
		if (w->seen[at] == h)
			return false;
		if (w->seen[at])
			continue;
		if (w->n_seen == MAX_SEEN)
			return false;
		w->seen[at] = h;
		w->n_seen++;
		return true;
	}
}

/* ---- answers ---- */

/* The caller's process, by the number of one of its threads; *ret_inside: its number in its own pid namespace. */
static pid_t process_of(pid_t thread, pid_t *ret_inside)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	const char *group, *inside;

	*ret_inside = 0;
	(void)snprintf(path, sizeof path, "/proc/%d/status", thread); /* fits */
	if (file_read_at(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return -ESRCH;
	group = strstr(text, "\nTgid:");
	inside = strstr(text, "\nNStgid:");
	if (inside) {
		size_t len = strcspn(inside + 1, "\n");
		const char *last = inside + len;

		while (last > inside && (*last >= '0' && *last <= '9'))
			last--;
		*ret_inside = (pid_t)strtol(last + 1, NULL, 10);
	}
	return group ? (pid_t)strtol(group + 6, NULL, 10) : -ESRCH;
}

static bool valid(int fd, uint64_t id)
{
	return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* While the notification is valid the caller's number is its own: so first the descriptor, then the question. */
static void end_caller(struct call_watch *w, const struct seccomp_notif *call, struct watch_event *e)
{
	pid_t inside, pid = process_of((pid_t)call->pid, &inside);
	_cleanup_close_ int fd = pid > 0 ? pidfd_open_pid(pid) : -1;

	/* Below our init it is the second process of its pid namespace; without, the first. */
	e->is_main = inside == 1 || inside == 2;
	if (fd >= 0 && valid(w->fd, call->id))
		(void)pidfd_kill(fd, SIGKILL); /* ESRCH: it has ended */
}

static void judge(const struct call_watch *w, const struct seccomp_notif *call, struct watch_event *e)
{
	uint32_t answer = w->program.len ? seccomp_answer(&w->program, &call->data) : SECCOMP_RET_ALLOW;

	e->action = WATCH_DENIED;
	e->error = EPERM;
	if (answer == SECCOMP_BROKEN)
		return;
	switch (answer & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		e->action = WATCH_ALLOWED;
		break;
	case SECCOMP_RET_USER_NOTIF:
		e->action = WATCH_NOTED;
		break;
	case SECCOMP_RET_ERRNO:
		e->error = (int32_t)(answer & SECCOMP_RET_DATA);
		break;
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
		e->action = WATCH_KILLED;
		break;
	default:
		break;
	}
}

static void answer(const struct call_watch *w, const struct seccomp_notif *call, const struct watch_event *e)
{
	struct seccomp_notif_resp resp = { .id = call->id };

	if (e->action == WATCH_ALLOWED || e->action == WATCH_NOTED)
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (e->action == WATCH_KILLED)
		resp.error = -EPERM; /* should it live on for a moment */
	else
		resp.error = -e->error;
	(void)ioctl(w->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp); /* ENOENT: the caller has died */
}

static bool program_began(struct call_watch *w, const struct seccomp_notif *call)
{
	if (call->data.nr == SYS_execve || call->data.nr == SYS_execveat)
		w->started = true;
	return w->started;
}

/* Whether somebody wants to hear of it. */
static bool told(struct call_watch *w, const struct watch_event *e, bool began)
{
	if (e->action != WATCH_ALLOWED)
		return true;
	if (!began && w->audit & PLAN_AUDIT(LEARN))
		return false; /* our own last steps */
	if (*e->address && !(w->audit & PLAN_AUDIT(LEARN)))
		return true; /* attempts are counted, each */
	return is_news(w, e);
}

/* Remembers who executes something; true once its next call is here. A table that is full forgets the oldest. */
static bool has_become(struct call_watch *w, const struct seccomp_notif *call)
{
	bool executes = call->data.nr == SYS_execve || call->data.nr == SYS_execveat;

	for (size_t i = 0; i < WATCH_STARTING; i++)
		if (w->starting[i] == call->pid) {
			w->starting[i] = executes ? call->pid : 0;
			return !executes;
		}
	if (executes) {
		memmove(w->starting + 1, w->starting, sizeof w->starting - sizeof w->starting[0]);
		w->starting[0] = call->pid;
	}
	return false;
}

int watch_step(struct call_watch *w, struct watch_event ret[WATCH_MAX])
{
	struct seccomp_notif call = { 0 };
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	int n, kept = 0;
	bool began;

	/* Nobody is left under the filter, or nothing waits after all: the kernel would let us wait. */
	if (poll(&p, 1, 0) < 0 || !(p.revents & POLLIN)) {
		if (!(p.revents & (POLLHUP | POLLERR | POLLNVAL)))
			return 0;
		watch_end(w);
		return -EPIPE;
	}
	if (ioctl(w->fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return errno == ENOENT || errno == EINTR ? 0 : (watch_end(w), -EIO);
	memset(ret, 0, WATCH_MAX * sizeof *ret);
	ret[0].arch = call.data.arch;
	ret[0].nr = call.data.nr;
	memcpy(ret[0].args, call.data.args, sizeof ret[0].args);
	began = program_began(w, &call);
	judge(w, &call, &ret[0]);
	n = call.data.arch == SECCOMP_NATIVE_ARCH ? watch_look(w->fd, &call, ret) : 1;
	if (w->audit & PLAN_AUDIT(LEARN) && has_become(w, &call))
		n += watch_look_program(w->fd, &call, ret + n);
	if (ret[0].action == WATCH_KILLED)
		end_caller(w, &call, &ret[0]);
	answer(w, &call, &ret[0]);
	for (int i = 0; i < n; i++)
		if (told(w, &ret[i], began))
			ret[kept++] = ret[i];
	return kept;
}

static void clean_text(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void watch_event_clean(struct watch_event *e)
{
	clean_text(e->address, sizeof e->address);
	clean_text(e->path, sizeof e->path);
	if (e->action >= WATCH_ACTIONS)
		e->action = WATCH_DENIED;
	if (e->error < 0 || e->error > MAX_ERRNO)
		e->error = EPERM;
	e->is_main = e->is_main == 1;
	e->exists = e->exists == 1;
	e->is_dir = e->is_dir == 1;
}
