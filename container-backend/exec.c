/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more process in a running container.
 *
 * Theory of operation. Joining a pid namespace takes effect for children only, and joining is for a process with one
 * thread. So there are three processes for a moment:
 *
 *      caller ── fork ──► guide ── clone(CLONE_PARENT) ──► the new process, a child of the caller
 *                           joins the control groups, then all namespaces at once, by the target's pidfd
 *
 * The guide tells the caller the new process's pid, as its own pid namespace, the host's, counts, and ends. The new
 * process takes a terminal of the container's own devpts, finds user, working folder and program inside the
 * container's root, and goes on as every workload (workload.c): nothing about privilege is written twice.
 *
 * The container may be hostile. From the moment we are in its pid namespace its processes can see ours: it is not
 * dumpable, holds no descriptor but its task's (none of a folder of the host), and its program file is a read-only view
 * (self.c). The working folder is entered inside the root and then asked for its name: a folder outside has none.
 *
 * Not defended against: a container that was given CAP_SYS_PTRACE in the host's user namespace: it may trace us.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/affinity.h"
#include "container-backend/attributes.h"
#include "container-backend/exec.h"
#include "container-backend/idmap.h"
#include "container-backend/init.h"
#include "container-backend/namespaces.h"
#include "container-backend/notify.h"
#include "container-backend/terminal.h"
#include "policies/enforce/cgroup.h"
#include "policies/enforce/rlimits.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

enum { EXIT_SETUP = 125 };

struct entering {
	const struct exec_request *request;
	struct plan plan;         /* a shallow copy, with the new process in it */
	int sock, event_fd;
	int proc_fd, listener_fd; /* as in struct workload */
	uint64_t namespaces;      /* CLONE_ flags: those of the target that are not ours */
};

/* What the two children send: an event as a workload's set-up does; the guide's says the pid in code. */
static void answer_and_exit(const struct entering *e, const struct error *err) __attribute__((noreturn));
static void answer_and_exit(const struct entering *e, const struct error *err)
{
	struct backend_event event = { .kind = EVENT_ERROR, .code = err->code, .exit_status = EXIT_SETUP };

	(void)snprintf(event.text, sizeof event.text, "%s", err->message); /* a cut line is still a line */
	(void)backend_event_send(e->sock, &event); /* the caller sees our end in any case */
	_exit(EXIT_SETUP);
}

static int take_ids(const struct entering *e, struct error *err)
{
	return e->namespaces & CLONE_NEWUSER ? idmap_become_root(err) : 0;
}

/* The folder, with the new root as "/". "(unreachable)" would be a folder outside of it. */
static int enter_cwd(const struct plan_process *process, struct error *err)
{
	const char *path = process->cwd ? process->cwd : "/";
	char now[4096];

	if (chdir(path) < 0)
		return error_sys(err, "process.cwd: %s", path);
	if (!getcwd(now, sizeof now) || now[0] != '/')
		return error_set(err, ENOENT, "process.cwd: %s: not inside the container", path);
	return 0;
}

static int prepare(struct entering *e, struct workload *w, struct terminal *terminal, struct error *err)
{
	const struct plan_process *process = &e->plan.process;
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? error_sys(err, "cannot open the container's root") : take_ids(e, err);

	if (r == 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
		r = error_sys(err, "cannot become undumpable");
	if (r == 0 && process->terminal)
		r = terminal_open_plain(process, root, terminal, err);
	if (r == 0)
		r = user_lookup(root, process->user, &w->user, err);
	if (r == 0)
		r = user_add_groups(process->groups, &w->user, err);
	if (r == 0 && process->terminal)
		r = terminal_own(terminal, w->user.uid, err);
	return r == 0 ? enter_cwd(process, err) : r;
}

/* The new process. */
static void newcomer(struct entering *e) __attribute__((noreturn));
static void newcomer(struct entering *e)
{
	const struct backend_exec *x = e->request->exec;
	struct spawn_request request = { .plan = &e->plan,
		.event_fd = e->event_fd,
		.start_fd = -1,
		.instance = e->request->instance,
		.stdio = { x->stdio[0], x->stdio[1], x->stdio[2] },
		.die_with_parent = x->die_with_parent };
	struct workload w = { .request = &request, .terminal = -1, .proc_fd = e->proc_fd,
		.listener_fd = e->listener_fd };
	struct terminal terminal = { -1, -1 };
	struct backend_event ready = { .kind = EVENT_MILESTONE, .text = "isolated" };
	struct error err = { 0 };

	if (x->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
		(void)error_sys(&err, "cannot tie the process to its launcher");
		answer_and_exit(e, &err);
	}
	if (prepare(e, &w, &terminal, &err) < 0)
		answer_and_exit(e, &err);
	if (fd_send(e->sock, &ready, sizeof ready, &terminal.master, e->plan.process.terminal) < 0)
		_exit(EXIT_SETUP);
	close_cleanup(&terminal.master);
	(void)close(e->sock);
	w.terminal = terminal.slave;
	workload_run(&w);
}

/* With the processors that it is to have on the way, and there. */
static int join_groups(const struct entering *e, struct error *err)
{
	const struct exec_request *q = e->request;
	_cleanup_free_ char *below = NULL;
	struct cgroup_host host;

	if (affinity_set(e->plan.process.exec_cpus_initial, "process.execCPUAffinity.initial", err) < 0)
		return -err->code;
	if (!q->cgroup)
		return affinity_set(e->plan.process.exec_cpus_final, "process.execCPUAffinity.final", err);
	cgroup_probe(&host);
	if (q->exec->cgroup)
		below = xasprintf("%s/%s", q->cgroup, q->exec->cgroup);
	if (cgroup_attach(&host, below ? below : q->cgroup, 0, err) < 0)
		return -err->code;
	return affinity_set(e->plan.process.exec_cpus_final, "process.execCPUAffinity.final", err);
}

static void guide(struct entering *e) __attribute__((noreturn));
static void guide(struct entering *e)
{
	const struct backend_exec *x = e->request->exec;
	const int kept[] = { e->sock, e->event_fd, e->request->target, x->stdio[0], x->stdio[1], x->stdio[2] };
	struct backend_event event = { .kind = EVENT_MILESTONE, .text = "pid" };
	struct clone_args args = { .flags = CLONE_PARENT | CLONE_CLEAR_SIGHAND };
	struct error err = { 0 };
	sigset_t none;
	long pid;

	keep_only(first_own_fd(&e->plan.process), kept, ARRAY_LEN(kept));
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with valid arguments */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || join_groups(e, &err) < 0 ||
			attributes_early(&e->plan, e->namespaces & CLONE_NEWUSER, &e->proc_fd, &err) < 0 ||
			notify_connect(&e->plan, &e->listener_fd, &err) < 0) {
		if (!err.code)
			(void)error_sys(&err, "cannot become undumpable");
		answer_and_exit(e, &err);
	}
	if (e->namespaces & CLONE_NEWUSER)
		rlimits_make_room(0, e->plan.process.rlimits, e->plan.process.n_rlimits);
	if (e->namespaces && setns(e->request->target, (int)e->namespaces) < 0) {
		(void)error_sys(&err, "cannot join the container's namespaces");
		answer_and_exit(e, &err);
	}
	(void)close(e->request->target);
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		newcomer(e);
	if (pid < 0) {
		(void)error_sys(&err, "cannot make the process");
		answer_and_exit(e, &err);
	}
	event.code = (int32_t)pid;
	(void)backend_event_send(e->sock, &event); /* the caller misses it and kills what is his child */
	_exit(0);
}

/* One event of the children. -ECHILD: both are gone without a word. */
static int hear(const struct entering *e, struct backend_event *event, int *ret_console, struct error *err)
{
	ssize_t n = fd_recv(e->sock, event, sizeof *event, ret_console, 1);

	if (n < 0)
		return error_set(err, (int)-n, "cannot hear the new process: %s", strerror((int)-n));
	if (n != (ssize_t)sizeof *event)
		return error_set(err, ECHILD, "the new process ended while it was set up");
	event->text[sizeof event->text - 1] = '\0';
	if (event->kind != EVENT_MILESTONE)
		return error_set(err, event->code > 0 ? event->code : EIO, "%s", event->text);
	return 0;
}

/* The guide's word and the newcomer's, in either order. */
static int await(const struct entering *e, struct backend_exec_result *ret, struct error *err)
{
	bool ready = false;
	int r = 0;

	while (r == 0 && (!ready || !ret->pid)) {
		_cleanup_close_ int console = -1;
		struct backend_event event;

		r = hear(e, &event, &console, err);
		if (r < 0)
			break;
		if (!strcmp(event.text, "pid")) {
			ret->pid = event.code;
			continue;
		}
		ready = true;
		if (e->plan.process.terminal && (console < 0 || !terminal_is_master(console)))
			r = error_set(err, EPROTO, "process.terminal: what the container sent is not a terminal");
		else if (e->plan.process.terminal)
			ret->console_fd = steal_fd(&console);
	}
	return r;
}

/* Failed: the newcomer, if there is one, is our child and goes. */
static void abandon(const struct entering *e, struct backend_exec_result *made)
{
	struct backend_event event;
	int console = -1;

	while (!made->pid && fd_recv(e->sock, &event, sizeof event, &console, 1) == (ssize_t)sizeof event) {
		if (event.kind == EVENT_MILESTONE && !strncmp(event.text, "pid", sizeof event.text))
			made->pid = event.code;
		close_cleanup(&console);
		console = -1;
	}
	close_cleanup(&made->console_fd);
	if (made->pid <= 0)
		return;
	(void)kill(made->pid, SIGKILL); /* a child of ours that nobody has reaped: the pid is its */
	while (waitpid(made->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start(struct entering *e, struct backend_exec_result *made, struct error *err)
{
	_cleanup_close_ int theirs = -1;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, "cannot make a socket pair");
	theirs = pair[1];
	pid = fork();
	if (pid == 0) {
		e->sock = theirs;
		guide(e);
	}
	close_cleanup(&theirs);
	theirs = -1;
	e->sock = pair[0];
	r = pid < 0 ? error_sys(err, "cannot make a process") : await(e, made, err);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r == 0) {
		made->pidfd = pidfd_open_pid(made->pid);
		if (made->pidfd < 0)
			r = error_set(err, -made->pidfd, "cannot open the new process");
	}
	if (r < 0)
		abandon(e, made);
	close_cleanup(&e->sock);
	return r;
}

int container_enter(const struct exec_request *request, struct backend_exec_result *ret, struct error *err)
{
	struct backend_exec_result made = { .pidfd = -1, .console_fd = -1, .event_fd = -1 };
	struct entering e = { .request = request, .plan = *request->plan, .sock = -1, .proc_fd = -1,
		.listener_fd = -1 };
	_cleanup_close_ int theirs = -1;
	int events[2], r;

	e.plan.process = *request->exec->process; /* borrowed, as all of the copy */
	e.plan.process.init = false;
	e.plan.audit = 0; /* who watches the instance does not hear of this process */
	r = attributes_check(&e.plan.process, err);
	if (r == 0)
		r = namespaces_of(request->target_pid, &e.namespaces, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
		return error_sys(err, "cannot make the event socket");
	made.event_fd = events[0];
	theirs = e.event_fd = events[1];
	r = start(&e, &made, err);
	if (r < 0) {
		close_cleanup(&made.event_fd);
		return r;
	}
	*ret = made;
	return 0;
}
