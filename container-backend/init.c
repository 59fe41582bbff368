/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child side of a container: from clone3 to the workload. The host's launcher and PID 1 of the guest run the same.
 *
 * Theory of operation. The child is born in its namespaces but with the parent's view of everything else. It gives that
 * up in stages:
 *
 *   1 begin     dies with its parent if asked; undumpable (nobody of the same user may look into it or reach its
 *               program through /proc/PID/exe); no descriptor but the ones of its task; default signal handling
 *   2 open      layers and bind sources, by host paths: the last use of them
 *   3 maps      in a user namespace: waits until it has ids, becomes 0:0 there
 *   4 mounts    root, base, devices, the plan's, terminal, protected paths, sysctls; the parent makes the groups
 *   5 group     joins them, then the cgroup namespace
 *   6 enter     pivot_root; from here on no path reaches the host; host name, loopback, user, working folder
 *   7 wait      "isolated" goes to the parent, then start_fd decides
 *   8 start     the workload's process, or our PID 1 with the workload as its child (reaper.c), drops the rest:
 *               rlimits, bounding set, user, capabilities, filter, exec (workload.c)
 *
 * Order that matters: the cgroup namespace after joining, because its root is where its maker stands. Rlimits just
 * before exec, because NPROC, NOFILE or AS could stop our own steps. The filter as late as can be, so that it need not
 * allow our steps: after everything with no_new_privs, just before the capabilities are given up without (loading it
 * takes CAP_SYS_ADMIN then).
 *
 * Stages 1 to 7 fail by an ERROR message to the parent, which reports it as its own; after that by an ERROR event.
 *
 * Not defended against: a workload with CAP_SYS_ADMIN over the host (no user namespace), which is the host's root; and
 * volumes shared with other containers changing under us between the lookup of a program and its exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/attributes.h"
#include "container-backend/cgroupfs.h"
#include "container-backend/hook_points.h"
#include "container-backend/idmap.h"
#include "container-backend/init.h"
#include "container-backend/mounts.h"
#include "container-backend/namespaces.h"
#include "container-backend/network.h"
#include "container-backend/notify.h"
#include "container-backend/rootfs.h"
#include "container-backend/sysctls.h"
#include "container-backend/terminal.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"

enum { EXIT_SETUP = 125, MAX_KEPT = 12 };

struct state {
	const struct child *child;
	const struct plan *plan;
	struct rootfs root;
	struct mounts mounts;
	struct terminal terminal;
	char *groups;             /* for mounts of type cgroup */
	struct workload workload;
};

int first_own_fd(const struct plan_process *process)
{
	return 3 + (int)process->preserve_fds;
}

void keep_only(int from, const int *fds, size_t n)
{
	int sorted[MAX_KEPT];
	size_t len = 0;

	for (size_t i = 0; i < n && len < MAX_KEPT; i++) {
		size_t at = len;

		if (fds[i] < from)
			continue;
		for (; at > 0 && sorted[at - 1] > fds[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = fds[i];
		len++;
	}
	for (size_t i = 0; i <= len; i++) {
		if (i == len)
			(void)close_range((unsigned)from, ~0U, 0); /* fails on kernels that lack it only (before 5.9) */
		else if (sorted[i] > from)
			(void)close_range((unsigned)from, (unsigned)sorted[i] - 1, 0);
		if (i < len)
			from = sorted[i] + 1;
	}
}

/* clone3 has set handlers back (CLONE_CLEAR_SIGHAND) but leaves ignored what shells, nohup and interpreters ignore. */
static const int often_ignored[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGXFSZ,
};

/* Stage 1. */
static int begin(const struct child *c, struct error *err)
{
	const struct spawn_request *q = c->request;
	const int kept[] = { c->sock, q->stdio[0], q->stdio[1], q->stdio[2], q->event_fd, q->start_fd };
	sigset_t none;

	if ((q->die_with_parent || q->detached) && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_sys(err, "cannot tie the container to its launcher");
	/* In a user namespace only once the maps are written: the files to write them belong to us until then. */
	if (!(q->plan->namespaces & PLAN_NS(USER)) && prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_sys(err, "cannot become undumpable");
	/* The parent's end of the socket above all: its end of file means he is gone. */
	keep_only(first_own_fd(&q->plan->process), kept, ARRAY_LEN(kept));
	for (size_t i = 0; i < ARRAY_LEN(often_ignored); i++)
		(void)signal(often_ignored[i], SIG_DFL); /* cannot fail for these */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with valid arguments */
	(void)umask(0); /* the modes of what we make are meant */
	return 0;
}

/* The parent's next message and what came with it. Without a parent there is nothing to go on for. */
static char receive(int sock, int *ret_fds, size_t n_fds)
{
	char byte;

	if (fd_recv(sock, &byte, 1, ret_fds, n_fds) != 1)
		_exit(EXIT_SETUP);
	return byte;
}

/* The sources that the parent gives, one a message. */
static int await_mounts(struct state *s, struct error *err)
{
	size_t n = mounts_count_given(s->plan, s->child->by_root);

	for (size_t i = 0; i < n; i++) {
		int fd;

		if (receive(s->child->sock, &fd, 1) != CHILD_MOUNT || fd < 0)
			return error_set(err, EPROTO, "unexpected message for the mounts");
		if (mounts_adopt(&s->mounts, i, fd, err) < 0)
			return -err->code;
	}
	return 0;
}

static int await_scratch(struct state *s, struct error *err)
{
	if (s->plan->root.scratch && (receive(s->child->sock, &s->root.disk, 1) != CHILD_SCRATCH || s->root.disk < 0))
		return error_set(err, EPROTO, "unexpected message for the disk of the root");
	return 0;
}

/* Stage 3. */
static int await_maps(struct state *s, struct error *err)
{
	int fds[8];
	size_t lower = 0;
	char message;

	if (await_mounts(s, err) < 0 || await_scratch(s, err) < 0)
		return -err->code;
	if (plan_join_path(s->plan, PLAN_NS_USER))
		return idmap_become_root(err) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0
			       ? error_prefix(err, "linux.namespaces: user")
			       : 0;
	if (!(s->plan->namespaces & PLAN_NS(USER)))
		return 0;
	while ((message = receive(s->child->sock, fds, ARRAY_LEN(fds))) == CHILD_LOWERS)
		for (size_t i = 0; i < ARRAY_LEN(fds) && fds[i] >= 0; i++)
			rootfs_adopt(&s->root, lower++, fds[i]);
	if (message != CHILD_MAPS)
		return error_set(err, EPROTO, "unexpected message %d for the user namespace", message);
	if (idmap_become_root(err) < 0)
		return -err->code;
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_sys(err, "cannot become undumpable");
	return 0;
}

/* Stage 5. The parent's cgroup descriptors are used once. */
static int join_group(struct state *s, struct error *err)
{
	const struct spawn_request *q = s->child->request;
	int fds[CGROUP_HIERARCHIES];
	size_t n = 0;
	int r = 0;

	if (q->cgroup && !s->child->in_cgroup) {
		if (receive(s->child->sock, fds, ARRAY_LEN(fds)) != CHILD_GROUPS)
			return error_set(err, EPROTO, "unexpected message for the control groups");
		while (n < ARRAY_LEN(fds) && fds[n] >= 0)
			n++;
		r = cgroup_join(fds, n, err);
		for (size_t i = 0; i < n; i++)
			(void)close(fds[i]);
	}
	if (r == 0 && mounts_need_cgroup(s->plan))
		r = cgroupfs_list(q->cgroup, &s->groups, err);
	return r < 0 ? r : namespaces_enter_cgroup(s->plan, err);
}

static int find_user(struct state *s, struct error *err)
{
	const struct plan *plan = s->plan;
	struct user *u = &s->workload.user;
	int r = user_lookup(s->root.fd, plan->process.user, u, err);

	if (r == 0)
		r = user_add_groups(plan->process.groups, u, err);
	if (r < 0 || !(plan->namespaces & PLAN_NS(USER)))
		return r;
	if (!idmap_has(plan->uid_maps, plan->n_uid_maps, u->uid))
		return error_set(err, EINVAL, "process.user: user %u does not exist in this user namespace (uid_maps)",
				u->uid);
	if (!idmap_has(plan->gid_maps, plan->n_gid_maps, u->gid))
		return error_set(err, EINVAL, "process.user: group %u does not exist in this user namespace (gid_maps)",
				u->gid);
	return 0;
}

/* Stage 5 in the midst of stage 4, when the first cgroup mount is due. */
static int join_and_list(void *arg, const char **ret_list, struct error *err)
{
	struct state *s = arg;
	int r = join_group(s, err);

	*ret_list = s->groups;
	return r;
}

/* Stages 4 and 5. */
static int build(struct state *s, struct error *err)
{
	const struct plan *plan = s->plan;
	bool early = mounts_need_cgroup(plan);
	int r = rootfs_mount(&s->root, plan, err);

	s->mounts.groups = join_and_list;
	s->mounts.groups_arg = s;
	s->mounts.scratch = s->root.scratch;
	s->mounts.foreign_groups = !s->child->request->cgroup;
	if (r == 0)
		r = mounts_make(&s->mounts, s->root.fd, err);
	if (r == 0 && plan->process.terminal)
		r = terminal_open(&plan->process, s->root.fd, &s->terminal, err);
	if (r == 0)
		r = network_write_files(plan, s->root.fd, err);
	if (r == 0)
		r = mounts_protect(plan, s->root.fd, err);
	if (r == 0)
		r = mounts_finish(&s->mounts, s->root.fd, err);
	if (r == 0)
		r = namespaces_configure(plan, err);
	if (r == 0)
		r = sysctls_write(plan, err);
	if (r == 0)
		r = find_user(s, err);
	if (r == 0 && !early)
		r = join_group(s, err);
	return r;
}

/* Makes the working folder if it is missing and goes there. "(unreachable)" would be a folder outside the root. */
static int enter_cwd(const struct state *s, struct error *err)
{
	const char *path = s->plan->process.cwd ? s->plan->process.cwd : "/";
	_cleanup_close_ int fd = -1;
	char now[4096];

	if (!strcmp(path, "/")) /* rootfs_enter() went there */
		return 0;
	fd = mounts_make_dir(s->root.fd, path, err);
	if (fd < 0)
		return error_prefix(err, "process.cwd");
	if (fchdir(fd) < 0)
		return error_sys(err, "process.cwd: %s", path);
	if (!getcwd(now, sizeof now) || now[0] != '/')
		return error_set(err, ENOENT, "process.cwd: %s: not inside the container", path);
	return 0;
}

/* Stage 6. */
static int enter(struct state *s, struct error *err)
{
	struct workload *w = &s->workload;
	int r = 0;

	if (hook_points_needed(s->plan))
		r = hook_points_pass(s->plan, s->child->sock, &w->hook_state, err);
	if (r == 0)
		r = rootfs_enter(&s->root, s->plan, err);

	if (r == 0)
		r = enter_cwd(s, err);
	if (r == 0)
		r = rootfs_seal(&s->root, err);
	if (r == 0 && s->plan->process.terminal)
		r = terminal_own(&s->terminal, w->user.uid, err);
	if (r == 0 && s->child->request->detached)
		r = workload_find_program(w, err);
	return r;
}

static int set_up(struct state *s, struct error *err)
{
	int r = begin(s->child, err);

	if (r == 0)
		r = attributes_early(s->plan, plan_has_userns(s->plan), &s->workload.proc_fd, err);
	if (r == 0)
		r = network_offer(s->plan, s->child->sock, err);
	if (r == 0)
		r = notify_connect(s->plan, &s->workload.listener_fd, err);
	if (r == 0)
		r = rootfs_open(&s->root, s->plan, err);
	if (r == 0)
		r = mounts_open(&s->mounts, s->plan, s->child->by_root, err);
	if (r == 0)
		r = await_maps(s, err);
	if (r == 0)
		r = namespaces_make_time(s->plan, err);
	if (r == 0)
		r = build(s, err);
	return r < 0 ? r : enter(s, err);
}

/* Stage 7. Returns when the workload may start. */
static void report_and_wait(struct state *s)
{
	const struct spawn_request *q = s->child->request;
	struct backend_event ready = { .kind = EVENT_MILESTONE, .text = "isolated" };
	bool terminal = s->plan->process.terminal;
	const int kept[] = { terminal ? 0 : q->stdio[0], terminal ? 1 : q->stdio[1], terminal ? 2 : q->stdio[2],
		q->event_fd, q->start_fd, s->terminal.slave, s->workload.proc_fd, s->workload.listener_fd };
	int fds[2];
	size_t n_fds = 0;
	char byte;

	if (!q->detached)
		(void)backend_event_milestone(q->event_fd, "isolated"); /* a supervisor that is gone needs no news */
	if (terminal)
		fds[n_fds++] = s->terminal.master;
	if (s->plan->changes)
		fds[n_fds++] = s->root.scratch;
	if (fd_send(s->child->sock, &ready, sizeof ready, fds, n_fds) < 0)
		_exit(EXIT_SETUP); /* nobody there to start us */
	if (q->detached && (receive(s->child->sock, NULL, 0) != CHILD_RELEASE || prctl(PR_SET_PDEATHSIG, 0) < 0))
		_exit(EXIT_SETUP);
	/* Who made us may wait for the end of its own streams: while we wait for the start, they must not be ours. */
	for (int i = 0; terminal && i < 3; i++)
		if (dup2(s->terminal.slave, i) < 0)
			_exit(EXIT_SETUP);
	keep_only(first_own_fd(&s->plan->process), kept, ARRAY_LEN(kept)); /* bar the socket: that tells the maker */
	if (q->start_fd < 0 || q->prepared)
		return;
	if (fd_read_full(q->start_fd, &byte, 1) != 1)
		_exit(EXIT_SETUP); /* end of file: never start */
	(void)close(q->start_fd);
}

void container_child(const struct child *child)
{
	const struct plan *plan = child->request->plan;
	struct state s = { .child = child, .plan = plan, .terminal = { -1, -1 },
		.workload = { .request = child->request, .terminal = -1, .proc_fd = -1,
			.listener_fd = -1 } };
	struct error err = { 0 };

	if (set_up(&s, &err) < 0) {
		struct backend_event event = { .kind = EVENT_ERROR, .code = err.code, .exit_status = EXIT_SETUP };

		(void)snprintf(event.text, sizeof event.text, "%s", err.message); /* a cut line is still a line */
		(void)backend_event_send(child->sock, &event); /* the parent sees our end in any case */
		_exit(EXIT_SETUP);
	}
	s.workload.terminal = s.terminal.slave;
	report_and_wait(&s);
	if (plan->process.init)
		reaper_run(&s.workload);
	workload_run(&s.workload);
}
