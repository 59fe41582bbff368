/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps before the workload's own code: privilege falls here, in the order that init.c explains.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/attributes.h"
#include "container-backend/init.h"
#include "container-backend/notify.h"
#include "container-backend/preload.h"
#include "container-backend/program.h"
#include "policies/enforce/caps.h"
#include "policies/enforce/landlock.h"
#include "policies/enforce/rlimits.h"
#include "policies/enforce/seccomp.h"
#include "policies/enforce/watch.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/model/backend.h"
#include "runtime/model/hooks.h"
#include "runtime/model/late.h"

enum { EXIT_SETUP = 125, DEFAULT_UMASK = 0022 };

int workload_become_user(const struct workload *w, struct error *err)
{
	const struct user *u = &w->user;

	/* EPERM: the user namespace of an ordinary user has setgroups denied; then there are none to add or drop. */
	if (setgroups(u->n_groups, u->groups) < 0 && (errno != EPERM || u->n_groups))
		return error_sys(err, "process.user: cannot set %zu supplementary groups", u->n_groups);
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return error_sys(err, "process.user: cannot become group %u", u->gid);
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return error_sys(err, "process.user: cannot become user %u", u->uid);
	/* The change of user has undone both. */
	if (w->request->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_sys(err, "cannot tie the container to its launcher");
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? error_sys(err, "cannot become undumpable") : 0;
}

/* A session of its own, with the terminal, and the three standard descriptors. */
static int take_stdio(const struct workload *w, struct error *err)
{
	int from[3];

	(void)setsid(); /* fails for a process that leads a group already: PID 1 after a fork does not */
	if (w->terminal >= 0 && ioctl(w->terminal, TIOCSCTTY, 0) < 0)
		return error_sys(err, "process.terminal: cannot become its session");
	for (int i = 0; i < 3; i++) {
		int fd = w->terminal >= 0 ? w->terminal : w->request->stdio[i];

		from[i] = fd >= 0 ? fd : open("/dev/null", O_RDWR | O_CLOEXEC);
		if (from[i] >= 0 && from[i] < i) /* would be covered before its turn: out of the way */
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			return error_sys(err, "cannot prepare standard descriptor %d", i);
	}
	for (int i = 0; i < 3; i++)
		if (from[i] == i ? fd_set_cloexec(i, false) < 0 : dup2(from[i], i) < 0)
			return error_sys(err, "cannot set standard descriptor %d", i);
	return 0;
}

/* The descriptor of the notifications goes to whoever hears the events. */
static int load_watched(const struct workload *w, struct error *err)
{
	const struct plan *plan = w->request->plan;
	struct backend_event event = { .kind = EVENT_LISTENER, .at_ns = clock_now_ns() };
	int r = watch_install(&plan->seccomp, plan->audit, plan->seccomp_flags, w->request->event_fd, &event,
			sizeof event);

	return r < 0 ? error_set(err, -r, "seccomp: cannot load the watched filter: %s", strerror(-r)) : 0;
}

/* While paths can still be opened: the rules, for bind_by_landlock(). What the kernel lacks of them is said. */
static int prepare_landlock(struct workload *w, struct error *err)
{
	const char *missing;
	char text[64];
	int r = landlock_prepare(&w->request->plan->landlock, &w->landlock_fd, &missing, err);

	if (r < 0 || !missing)
		return r;
	(void)snprintf(text, sizeof text, "without-%s", missing); /* fits */
	(void)backend_event_milestone(w->request->event_fd, text); /* a supervisor that is gone needs no news */
	return 0;
}

static int bind_by_landlock(const struct workload *w, struct error *err)
{
	int r = w->landlock_fd < 0 ? 0 : landlock_enforce(w->landlock_fd);

	return r < 0 ? error_set(err, -r, "landlock: cannot bind the process: %s", strerror(-r)) : 0;
}

static int load_unwatched(const struct plan *plan, struct error *err)
{
	int r = watch_install_deaf(&plan->seccomp, plan->seccomp_flags);

	return r < 0 ? error_set(err, -r, "seccomp: cannot load the filter: %s", strerror(-r)) : 0;
}

static int load_filter(const struct workload *w, struct error *err)
{
	const struct plan *plan = w->request->plan;
	bool notify = w->listener_fd >= 0;
	_cleanup_free_ char *state = NULL;
	int r;

	if (plan->audit && w->request->event_fd >= 0)
		return load_watched(w, err);
	if (!notify && !plan->bundle) /* nobody hears of a policy's "notify": it only lets through */
		return load_unwatched(plan, err);
	state = notify ? notify_state(plan, w->request->instance, w->proc_fd) : NULL;
	r = plan->seccomp.len ? seccomp_install_flags(&plan->seccomp, plan->seccomp_flags |
			(notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0)) : 0;

	if (r < 0)
		return error_set(err, -r, "seccomp: cannot load the filter: %s", strerror(-r));
	return notify ? notify_send(w->listener_fd, state, r, err) : 0;
}

/* What takes privilege that the next steps give up. */
static int become(const struct workload *w, struct error *err)
{
	const struct plan_process *p = &w->request->plan->process;
	int r = attributes_privileged(p, w->request->plan->id ? w->request->plan->id : "bivalve", err);

	if (r == 0)
		r = rlimits_apply(p->rlimits, p->n_rlimits, err);
	if (r == 0)
		r = caps_drop_bounding(&p->capabilities, err);
	return r < 0 ? r : workload_become_user(w, err);
}

/*
 * The last of privilege goes. Loading a filter takes no_new_privs or CAP_SYS_ADMIN: with the former it comes last and
 * has to allow execve(2) alone; without, capset(2) and prctl(2) too.
 */
static int confine(const struct workload *w, struct error *err)
{
	const struct plan *plan = w->request->plan;
	const struct plan_process *p = &plan->process;
	int r = 0;

	if (p->no_new_privs) {
		r = caps_apply(&p->capabilities, err);
		if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
			r = error_sys(err, "process.no_new_privs");
		if (r == 0)
			r = bind_by_landlock(w, err);
		return r < 0 ? r : load_filter(w, err);
	}
	if ((plan->seccomp.len || plan->audit || w->landlock_fd >= 0) && w->user.uid != 0)
		r = caps_regain(err);
	if (r == 0)
		r = bind_by_landlock(w, err);
	if (r == 0)
		r = load_filter(w, err);
	return r < 0 ? r : caps_apply(&p->capabilities, err);
}

/* The plan's variables, and home if HOME is not among them. */
static char **make_env(const struct workload *w, char *home)
{
	char *const *env = w->request->plan->process.env;
	size_t n = strv_len(env);
	char **all = xcalloc(n + 2, sizeof *all);
	bool given = false;

	for (size_t i = 0; i < n; i++) {
		all[i] = env[i];
		given |= !strncmp(env[i], "HOME=", 5);
	}
	if (!given)
		all[n] = home;
	return all;
}

int workload_find_program(const struct workload *w, struct error *err)
{
	char path[4096];

	return program_find(w->request->plan->process.argv[0], w->request->plan->process.env, path, sizeof path, err) ?
		-err->code : 0;
}

static void fail(const struct workload *w, const struct error *err, int status) __attribute__((noreturn));
static void fail(const struct workload *w, const struct error *err, int status)
{
	struct backend_event event = { .kind = EVENT_ERROR, .code = err->code, .exit_status = status,
		.at_ns = clock_now_ns() };

	(void)snprintf(event.text, sizeof event.text, "%s", err->message); /* a cut line is still a line */
	/* By write(2): the filter may be there already, and few forbid that. The exit status says it in any case. */
	(void)!write(w->request->event_fd, &event, sizeof event);
	_exit(status);
}

/* What the workload's first steps find is made beforehand: its folder in /proc, which static programs look into. */
static void warm_up(void)
{
	char path[64];

	(void)!readlink("/proc/self/exe", path, sizeof path); /* there may be no /proc */
	preload_self();
}

/* A machine may be saved while we wait here: what is random or the time must not have been asked for before. */
static int await_arguments(struct workload *w, struct spawn_request *own, struct plan *plan, struct error *err)
{
	char *late;

	*own = *w->request;
	*plan = *own->plan;
	own->plan = plan;
	warm_up();
	(void)backend_event_milestone(own->event_fd, "prepared"); /* without it no template is made */
	late = late_receive(own->start_fd, err);
	if (!late)
		return -err->code;
	late_apply(late, plan);
	w->request = own;
	return 0; /* the pipe closes on exec */
}

void workload_run(const struct workload *shared)
{
	struct workload own = *shared, *w = &own;
	struct spawn_request request;
	struct plan late;
	const struct plan *plan = w->request->plan;
	const struct plan_process *p = &plan->process;
	char **env, *home, path[4096];
	struct error err = { 0 };
	int status;

	(void)umask(p->umask || p->umask_set ? (mode_t)p->umask : DEFAULT_UMASK); /* cannot fail */
	if (take_stdio(w, &err) < 0 || prepare_landlock(w, &err) < 0 || become(w, &err) < 0)
		fail(w, &err, EXIT_SETUP);
	home = xasprintf("HOME=%s", w->user.home);
	/* all are already */
	if (close_range((unsigned)first_own_fd(p), ~0U, CLOSE_RANGE_CLOEXEC) < 0 && errno != EINVAL && errno != ENOSYS)
		fail(w, (error_sys(&err, "cannot close descriptors"), &err), EXIT_SETUP);
	if (w->request->prepared) {
		if (await_arguments(w, &request, &late, &err) < 0)
			fail(w, &err, EXIT_SETUP);
		plan = &late;
		p = &plan->process;
	}
	env = make_env(w, home);
	status = program_find(p->argv[0], env, path, sizeof path, &err);
	if (status)
		fail(w, &err, status);
	if (attributes_late(p, w->proc_fd, &err) < 0)
		fail(w, &err, EXIT_SETUP);
	if (w->hook_state && hooks_run(plan, HOOK_START_CONTAINER, w->hook_state, &err) < 0)
		fail(w, &err, EXIT_SETUP);
	(void)backend_event_milestone(w->request->event_fd, "exec"); /* a supervisor that is gone needs no news */
	if (confine(w, &err) < 0)
		fail(w, &err, EXIT_SETUP);
	(void)execve(path, p->argv, env);
	status = program_exec_error(path, errno, &err);
	if (err.code == ENOENT) /* it was there a moment ago */
		(void)error_set(&err, ENOENT, "exec: \"%s\": the interpreter that it names: no such file or directory",
				path);
	fail(w, &err, status);
}
