/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent side of a container: clone, id maps and control groups for the child, and its answer. init.c has the other
 * side and tells how the two go together.
 *
 * While the child mounts, the parent makes the control groups: with two processors each of the two hides behind the
 * other. On pure v2 the group comes first instead and the child is cloned into it, which moves nothing at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/hook_points.h"
#include "container-backend/idmap.h"
#include "container-backend/init.h"
#include "container-backend/mounts.h"
#include "container-backend/namespaces.h"
#include "container-backend/network.h"
#include "container-backend/disk_rates.h"
#include "container-backend/scratch.h"
#include "container-backend/spawn.h"
#include "container-backend/terminal.h"
#include "policies/enforce/cgroup.h"
#include "policies/enforce/rlimits.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "runtime/model/usernet.h"

enum { FDS_PER_MESSAGE = 8 };

struct spawn {
	const struct spawn_request *request;
	struct cgroup_host host;
	bool made_group;
	unsigned hierarchies; /* in which it was made */
	int sock;            /* our end */
	pid_t pid;
	int pidfd;
	pid_t network_pid;   /* 0: none */
	int scratch;         /* the disk for the writes, mounted nowhere; -1: none */
	dev_t scratch_device;
};

static int make_group(struct spawn *s, struct error *err)
{
	const struct spawn_request *q = s->request;
	/* Of a bundle an engine may ask for all the figures; whoever runs one in the foreground gets what its processes
	 * tell. In a guest no device is the host's. */
	bool counted = q->plan->bundle ? q->detached || q->in_guest : q->plan->figures || q->plan->limits.cpu_us;
	unsigned flags = (counted ? CGROUP_FIGURES : q->plan->bundle ? CGROUP_NO_FIGURES : 0) |
		(q->in_guest ? CGROUP_DEVICES_IF_ABLE : 0);
	struct plan_resources named;
	int r = disk_rates_name(q->plan, q->in_guest, s->scratch >= 0 ? s->scratch_device : 0, &named, err);

	if (r == 0)
		r = cgroup_create_with(&s->host, q->cgroup, &named, flags, &s->hierarchies, err);
	disk_rates_release(&named);
	s->made_group = r == 0;
	return r;
}

static int send_message(struct spawn *s, char message, const int *fds, size_t n, struct error *err)
{
	int r = fd_send(s->sock, &message, 1, fds, n);

	/* EPIPE: the child has ended; what it said about that waits in the socket. */
	return r < 0 && r != -EPIPE && r != -ECONNRESET ?
		error_set(err, -r, "cannot reach the container's process: %s", strerror(-r)) : 0;
}

/* With root outside: layers whose owners are seen through the maps, if the kernel can; as they are, if not. */
static int send_lowers(struct spawn *s, struct error *err)
{
	const struct plan *plan = s->request->plan;
	size_t n = strv_len(plan->root.lowers), len = 0;
	_cleanup_close_ int userns = -1;
	int fds[FDS_PER_MESSAGE], r = 0;
	char path[64];

	if (geteuid() != 0)
		return 0;
	(void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)s->pid); /* fits */
	userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return error_sys(err, "cannot open the user namespace");
	for (size_t i = 0; r == 0 && i < n; i++) {
		fds[len] = idmap_lower(plan->root.lowers[i], userns);
		if (fds[len] < 0)
			break; /* one that cannot: those above it would not fit in order either */
		len++;
		if (len == FDS_PER_MESSAGE || i + 1 == n) {
			r = send_message(s, CHILD_LOWERS, fds, len, err);
			while (len > 0)
				(void)close(fds[--len]);
		}
	}
	if (len > 0 && r == 0)
		r = send_message(s, CHILD_LOWERS, fds, len, err);
	while (len > 0)
		(void)close(fds[--len]);
	return r;
}

/* The sources that take our rights: see mounts_is_given(). */
static int send_mounts(struct spawn *s, struct error *err)
{
	const struct plan *plan = s->request->plan;
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->n_mounts; i++) {
		_cleanup_close_ int fd = -1;

		if (!mounts_is_given(plan, i, geteuid() == 0))
			continue;
		fd = idmap_mount(plan, &plan->mounts[i], s->pid, err);
		r = fd < 0 ? error_prefix(err, "mounts[%zu]", i) : send_message(s, CHILD_MOUNT, &fd, 1, err);
	}
	return r;
}

static int give_maps(struct spawn *s, struct error *err)
{
	bool userns = s->request->plan->namespaces & PLAN_NS(USER);
	const struct plan_process *process = &s->request->plan->process;
	int r = userns ? idmap_write(s->request->plan, s->pid, err) : 0;

	if (userns)
		rlimits_make_room(s->pid, process->rlimits, process->n_rlimits);
	if (r == 0)
		r = send_mounts(s, err);
	if (r == 0 && s->scratch >= 0)
		r = send_message(s, CHILD_SCRATCH, &s->scratch, 1, err);
	if (r < 0 || !userns)
		return r;
	r = send_lowers(s, err);
	return r < 0 ? r : send_message(s, CHILD_MAPS, NULL, 0, err);
}

static int give_groups(struct spawn *s, struct error *err)
{
	int fds[CGROUP_HIERARCHIES], n, r;

	if (!s->request->cgroup || s->made_group)
		return 0;
	r = make_group(s, err);
	if (r < 0)
		return r;
	n = cgroup_open_join(&s->host, s->request->cgroup, s->hierarchies, fds, err);
	if (n < 0)
		return n;
	r = send_message(s, CHILD_GROUPS, fds, (size_t)n, err);
	while (n > 0)
		(void)close(fds[--n]);
	return r;
}

static bool is_network_offer(const struct spawn *s, const struct backend_event *event)
{
	return event->kind == EVENT_MILESTONE && !strcmp(event->text, NETWORK_OFFER) &&
		s->request->plan->network == NETWORK_USER && !s->network_pid;
}

/* The child's one answer, and before it what it asks for. */
static int await_child(struct spawn *s, struct spawn_result *ret, struct error *err)
{
	bool changes = s->request->plan->changes;
	_cleanup_close_ int console = -1, scratch = -1;
	int fds[2];
	struct backend_event event;
	bool terminal = s->request->plan->process.terminal;
	ssize_t n;

	for (;;) { /* ECONNRESET, once: it ended without reading our last message; its own comes next */
		int r;

		n = fd_recv(s->sock, &event, sizeof event, fds, ARRAY_LEN(fds));
		if (n == -ECONNRESET)
			continue;
		if (n == (ssize_t)sizeof event && is_network_offer(s, &event)) {
			r = usernet_join(s->request->plan, fds[0], fds[1], &s->network_pid, err);
			close_cleanup(&fds[0]);
			close_cleanup(&fds[1]);
			if (r < 0)
				return r;
			continue;
		}
		if (n != (ssize_t)sizeof event || event.kind != EVENT_MILESTONE || strcmp(event.text, HOOK_POINT) ||
				!hook_points_needed(s->request->plan))
			break;
		r = hook_points_serve(s->request, s->pid, s->sock, err);
		if (r < 0)
			return r;
	}
	if (n < 0)
		return error_set(err, (int)-n, "cannot hear the container's process: %s", strerror((int)-n));
	console = terminal ? fds[0] : -1;
	scratch = fds[terminal];
	if (n != (ssize_t)sizeof event)
		return error_set(err, ECHILD, "the container's process ended while it was set up");
	event.text[sizeof event.text - 1] = '\0';
	if (event.kind != EVENT_MILESTONE)
		return error_set(err, event.code > 0 ? event.code : EIO, "%s", event.text);
	if (terminal && (console < 0 || !terminal_is_master(console)))
		return error_set(err, EPROTO, "process.terminal: what the container sent is not a terminal");
	if (changes && scratch < 0)
		return error_set(err, EPROTO, "changes: the container did not send its scratch file system");
	ret->console_fd = steal_fd(&console);
	ret->scratch_fd = steal_fd(&scratch);
	return 0;
}

/* A step of ours may fail because the child has ended: then what it said about that is the reason to tell. */
static int prefer_childs_word(struct spawn *s, int r, struct error *err)
{
	struct pollfd p = { .fd = s->sock, .events = POLLIN };
	struct spawn_result told = { .console_fd = -1, .scratch_fd = -1 };
	struct error theirs = { 0 };
	int t;

	if (s->pid <= 0 || poll(&p, 1, 0) <= 0)
		return r;
	t = await_child(s, &told, &theirs);
	close_cleanup(&told.console_fd);
	close_cleanup(&told.scratch_fd);
	if (t >= 0 || t == -ECHILD)
		return r;
	return error_set(err, theirs.code, "%s", theirs.message);
}

static void abandon(struct spawn *s)
{
	if (s->network_pid > 0) {
		(void)kill(s->network_pid, SIGKILL); /* our child and not yet reaped */
		while (waitpid(s->network_pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (s->pid > 0) {
		(void)pidfd_kill(s->pidfd, SIGKILL); /* ESRCH: it ended by itself */
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
		close_cleanup(&s->pidfd);
	}
	if (s->made_group)
		(void)cgroup_remove(&s->host, s->request->cgroup, NULL); /* the first error is the one to tell */
}

static int clone_child(struct spawn *s, struct error *err)
{
	struct child child = { .request = s->request, .by_root = geteuid() == 0 };
	_cleanup_close_ int group = -1, theirs = -1;
	int pair[2];

	if (s->request->cgroup && s->host.layout == CGROUP_V2) {
		int r = make_group(s, err);

		if (r < 0)
			return r;
		group = cgroup_open_dir(&s->host, s->request->cgroup);
		if (group < 0)
			return error_sys(err, "cannot open the control group %s", s->request->cgroup);
		child.in_cgroup = true;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, "cannot make a socket pair");
	s->sock = pair[0];
	theirs = pair[1];
	child.sock = theirs;
	s->pid = namespaces_clone(s->request->plan, group, &s->pidfd, err);
	if (s->pid == 0)
		container_child(&child);
	return s->pid < 0 ? s->pid : 0;
}

int container_spawn(const struct spawn_request *request, struct spawn_result *ret, struct error *err)
{
	struct spawn s = { .request = request, .sock = -1, .pidfd = -1, .scratch = -1 };
	struct spawn_result result = { .console_fd = -1, .scratch_fd = -1, .release_fd = -1 };
	int r = namespaces_required(request->plan, err);

	if (r == 0)
		r = idmap_check(request->plan, err);
	if (r < 0)
		return r;
	if (request->cgroup && request->host)
		s.host = *request->host;
	else if (request->cgroup)
		cgroup_probe(&s.host);
	if (request->plan->root.scratch)
		r = s.scratch = scratch_mount(request->plan, &s.scratch_device, err);
	if (r >= 0)
		r = clone_child(&s, err);
	if (r == 0)
		r = give_maps(&s, err);
	if (r == 0 && request->made)
		r = request->made(request->made_arg, s.pid, err);
	if (r == 0)
		r = give_groups(&s, err);
	r = r == 0 ? await_child(&s, &result, err) : prefer_childs_word(&s, r, err);
	if (r == 0 && request->detached)
		result.release_fd = steal_fd(&s.sock);
	close_cleanup(&s.sock);
	close_cleanup(&s.scratch); /* the child has its own */
	if (r < 0) {
		abandon(&s);
		return r;
	}
	result.pid = s.pid;
	result.pidfd = s.pidfd;
	result.network_pid = s.network_pid;
	if (request->cgroup && s.host.layout == CGROUP_V2) /* born in it */
		cgroup_cpu(&s.host, request->cgroup, &result.setup);
	*ret = result;
	return 0;
}

int container_release(int *release_fd, struct error *err)
{
	int r = fd_send(*release_fd, (char[]){ CHILD_RELEASE }, 1, NULL, 0);
	char byte;

	/* Until it has undone the tie and closed its end, our own end would still be its end. */
	if (r == 0 && fd_recv(*release_fd, &byte, 1, NULL, 0) != 0)
		r = -ESRCH;
	close_cleanup(release_fd);
	*release_fd = -1;
	return r < 0 ? error_set(err, -r, "the container's process is gone: %s", strerror(-r)) : 0;
}
