/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining namespaces by path.
 *
 * Theory of operation. A process of its own, the guide, joins them and makes the child (CLONE_PARENT: the child is the
 * launcher's). So the launcher stays where it is; the child is inside from its first moment, also of a pid namespace,
 * which setns(2) gives to children only; and a namespace of the host can be joined although the child gets a new user
 * namespace, in which it would have no right to. A joined user namespace comes first, since new namespaces have to
 * belong to it.
 *
 * Paths are the bundle's, that is the user's; what they lead to is checked to be a namespace of the type named.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/joins.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"

/* In the order in which they are joined. mount is not: see joins_check(). */
static const struct {
	enum plan_namespace type;
	int flag;
	const char *name;
} kinds[] = {
	{ PLAN_NS_USER, CLONE_NEWUSER, "user" },
	{ PLAN_NS_PID, CLONE_NEWPID, "pid" },
	{ PLAN_NS_NET, CLONE_NEWNET, "net" },
	{ PLAN_NS_IPC, CLONE_NEWIPC, "ipc" },
	{ PLAN_NS_UTS, CLONE_NEWUTS, "uts" },
	{ PLAN_NS_TIME, CLONE_NEWTIME, "time" },
	{ PLAN_NS_CGROUP, CLONE_NEWCGROUP, "cgroup" },
};

/* Opens the namespace of this kind; -1 when the plan names none. */
static int open_join(const struct plan *plan, size_t kind, int *ret_fd, struct error *err)
{
	const char *path = plan_join_path(plan, kinds[kind].type);
	_cleanup_close_ int fd = -1;

	*ret_fd = -1;
	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_sys(err, "linux.namespaces: %s: %s", kinds[kind].name, path);
	if (ioctl(fd, NS_GET_NSTYPE) != kinds[kind].flag)
		return error_set(err, EINVAL, "linux.namespaces: %s: %s is no %s namespace", kinds[kind].name, path,
				kinds[kind].name);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool is_known(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(type, kinds[i].name))
			return true;
	return false;
}

int joins_check(const struct plan *plan, struct error *err)
{
	for (size_t i = 0; i < plan->n_joins; i++) {
		if (!strcmp(plan->joins[i].type, "mount"))
			return error_set(err, EOPNOTSUPP,
				"linux.namespaces: mount: by path: the container's root would be "
				"put over another one's");
		if (!is_known(plan->joins[i].type))
			return error_set(err, EINVAL, "linux.namespaces: unknown type %s", plan->joins[i].type);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(plan->joins[i].type, plan->joins[k].type))
				return error_set(err, EINVAL, "linux.namespaces: %s: named twice", plan->joins[i].type);
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		_cleanup_close_ int fd = -1;
		int r = open_join(plan, i, &fd, err);

		if (r < 0)
			return r;
		if (fd >= 0 && plan->namespaces & (UINT64_C(1) << kinds[i].type))
			return error_set(err, EINVAL, "linux.namespaces: %s: both new and by path", kinds[i].name);
	}
	return 0;
}

bool joins_needed(const struct plan *plan)
{
	return plan->n_joins > (plan_join_path(plan, PLAN_NS_CGROUP) ? 1 : 0);
}

static int join(const struct plan *plan, size_t kind, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r = open_join(plan, kind, &fd, err);

	if (r < 0 || fd < 0)
		return r;
	/* Our own user namespace cannot be joined again, and need not be. */
	if (setns(fd, kinds[kind].flag) < 0 && !(errno == EINVAL && kinds[kind].flag == CLONE_NEWUSER))
		return error_sys(err, "linux.namespaces: %s: cannot join %s", kinds[kind].name,
				plan_join_path(plan, kinds[kind].type));
	return 0;
}

/* What the guide tells. */
struct word {
	pid_t pid;
	struct error error;
};

/* Returns in the child alone. */
static void guide(const struct plan *plan, const struct clone_args *wanted, int pipe_fd)
{
	struct clone_args args = *wanted;
	struct word word = { 0 };
	int fds[ARRAY_LEN(kinds)];
	int r = 0;

	/* All are opened before the first is joined: afterwards the rights to do so may be gone. */
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		fds[i] = -1;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(kinds); i++)
		r = open_join(plan, i, &fds[i], &word.error);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(kinds); i++)
		if (fds[i] >= 0 && kinds[i].flag != CLONE_NEWCGROUP && setns(fds[i], kinds[i].flag) < 0 &&
				!(errno == EINVAL && kinds[i].flag == CLONE_NEWUSER)) /* our own: need not be joined */
			r = error_sys(&word.error, "linux.namespaces: %s: cannot join %s", kinds[i].name,
					plan_join_path(plan, kinds[i].type));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		close_cleanup(&fds[i]);
	if (r == 0) {
		args.flags = (args.flags & ~(uint64_t)CLONE_PIDFD) | CLONE_PARENT;
		args.exit_signal = 0; /* with CLONE_PARENT it is as ours */
		args.pidfd = 0;
		word.pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
		if (word.pid == 0)
			return;
		if (word.pid < 0)
			(void)error_sys(&word.error, "cannot make the namespaces");
	}
	_exit(fd_write_full(pipe_fd, &word, sizeof word) < 0);
}

pid_t joins_clone(const struct plan *plan, const struct clone_args *args, struct error *err)
{
	struct word word = { 0 };
	int pipe_fds[2];
	pid_t pid;
	bool heard;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		guide(plan, args, pipe_fds[1]);
		return 0;
	}
	(void)close(pipe_fds[1]);
	heard = pid > 0 && fd_read_full(pipe_fds[0], &word, sizeof word) == (ssize_t)sizeof word;
	(void)close(pipe_fds[0]);
	if (pid < 0)
		return error_sys(err, "cannot make a process");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (!heard)
		return error_set(err, ECHILD, "linux.namespaces: the process that joins them was killed");
	return word.pid > 0 ? word.pid : error_set(err, word.error.code, "%s", word.error.message);
}

int joins_enter_cgroup(const struct plan *plan, struct error *err)
{
	return join(plan, ARRAY_LEN(kinds) - 1, err); /* cgroup is the last */
}
