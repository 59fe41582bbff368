/* SPDX-License-Identifier: Apache-2.0 */
/* The namespaces of a plan: making them and giving them their first content. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container-backend/joins.h"
#include "container-backend/namespaces.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"

/* To add one: also enum plan_namespace and its name in runtime/model/plan.c. */
static const struct {
	uint64_t plan;
	uint64_t clone;
	const char *name, *file;
} namespaces[] = {
	{ PLAN_NS(PID), CLONE_NEWPID, "pid", "/proc/self/ns/pid" },
	{ PLAN_NS(MOUNT), CLONE_NEWNS, "mount", "/proc/self/ns/mnt" },
	{ PLAN_NS(UTS), CLONE_NEWUTS, "uts", "/proc/self/ns/uts" },
	{ PLAN_NS(IPC), CLONE_NEWIPC, "ipc", "/proc/self/ns/ipc" },
	{ PLAN_NS(NET), CLONE_NEWNET, "net", "/proc/self/ns/net" },
	{ PLAN_NS(CGROUP), 0, "cgroup", "/proc/self/ns/cgroup" },
	{ PLAN_NS(USER), CLONE_NEWUSER, "user", "/proc/self/ns/user" },
	{ PLAN_NS(TIME), 0, "time", "/proc/self/ns/time" },
};
_Static_assert(ARRAY_LEN(namespaces) == PLAN_NS_COUNT, "a row for each namespace");

int namespaces_required(const struct plan *plan, struct error *err)
{
	if (!(plan->namespaces & PLAN_NS(MOUNT)))
		return error_set(err, EINVAL, "namespaces: a container needs a mount namespace of its own");
	if (!plan_has_userns(plan) && geteuid() != 0)
		return error_set(err, EPERM, "namespaces: without root a container needs a user namespace of its own");
	return 0;
}

int namespaces_check(const struct plan *plan, struct error *err)
{
	/* Looked for are those that kernels are built without or that are younger than this program's other needs; the
	 * rest is missed by the first system call of create, before anything is made. */
	const uint64_t rare = PLAN_NS(USER) | PLAN_NS(TIME);

	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		if (plan->namespaces & rare & namespaces[i].plan && access(namespaces[i].file, F_OK) < 0)
			return error_set(err, EOPNOTSUPP, "namespaces: this kernel has no %s namespaces",
					namespaces[i].name);
	if (!(plan->namespaces & PLAN_NS(UTS)) && !plan_join_path(plan, PLAN_NS_UTS) &&
		(plan->hostname || plan->domainname))
		return error_set(err, EINVAL, "%s: without a uts namespace it would be the host's",
				plan->hostname ? "hostname" : "domainname");
	for (size_t i = 0; i < plan->n_time_offsets; i++)
		if (strcmp(plan->time_offsets[i].clock, "monotonic") && strcmp(plan->time_offsets[i].clock, "boottime"))
			return error_set(
				err, EINVAL, "linux.timeOffsets: unknown clock %s", plan->time_offsets[i].clock);
	if (plan->n_time_offsets && !(plan->namespaces & PLAN_NS(TIME)))
		return error_set(err, EINVAL, "linux.timeOffsets: need a new time namespace");
	if (joins_check(plan, err) < 0)
		return -err->code;
	return namespaces_required(plan, err);
}

void namespaces_probe(struct json_writer *w)
{
	json_begin_array(w, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		if (access(namespaces[i].file, F_OK) == 0)
			json_put_string(w, NULL, namespaces[i].name);
	json_end(w);
}

pid_t namespaces_clone(const struct plan *plan, int cgroup_fd, int *ret_pidfd, struct error *err)
{
	struct clone_args args = { .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
	int pidfd = -1;
	long pid;

	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
		if (plan->namespaces & namespaces[i].plan)
			args.flags |= namespaces[i].clone;
	args.pidfd = (uintptr_t)&pidfd;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	if (joins_needed(plan)) {
		pid = joins_clone(plan, &args, err);
		if (pid > 0)
			*ret_pidfd = pidfd_open_pid((pid_t)pid); /* a child of ours: it cannot be another's yet */
		return (pid_t)pid;
	}
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0) {
		int code = errno;

		return error_set(err, code, "cannot make the namespaces: %s%s", strerror(code),
				code == ENOSPC ? " (a limit in /proc/sys/user/max_*_namespaces is reached)" :
				code == EPERM ? " (not root, or the host forbids user namespaces)" :
				code == EINVAL ? " (this kernel lacks one of them)" : "");
	}
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

int namespaces_enter_cgroup(const struct plan *plan, struct error *err)
{
	if (plan->namespaces & PLAN_NS(CGROUP) && unshare(CLONE_NEWCGROUP) < 0)
		return error_sys(err, "cannot make the cgroup namespace");
	return joins_enter_cgroup(plan, err);
}

/*
 * Its clocks are set before the first process enters: hence the namespace for children first, and then that one for
 * ourselves. The child's /proc is the host's still.
 */
int namespaces_make_time(const struct plan *plan, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (!(plan->namespaces & PLAN_NS(TIME)))
		return 0;
	if (unshare(CLONE_NEWTIME) < 0)
		return error_sys(err, "cannot make the time namespace");
	for (size_t i = 0; i < plan->n_time_offsets; i++) {
		const struct plan_time_offset *o = &plan->time_offsets[i];
		char line[128];
		int r;

		(void)snprintf(line, sizeof line, "%s %jd %ju\n", o->clock, (intmax_t)o->seconds,
				(uintmax_t)o->nanoseconds); /* names are checked: it fits */
		r = file_write_once(AT_FDCWD, "/proc/self/timens_offsets", line);
		if (r < 0)
			return error_set(err, -r, "linux.timeOffsets: %s: %s", o->clock, strerror(-r));
	}
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return error_sys(err, "cannot enter the time namespace");
	return 0;
}

static int raise_loopback(struct error *err)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == ENOSYS)) /* a kernel without IPv4 has no loopback to raise */
		return 0;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_sys(err, "cannot bring up the loopback interface");
	return 0;
}

int namespaces_configure(const struct plan *plan, struct error *err)
{
	bool own_uts = plan->namespaces & PLAN_NS(UTS) || plan_join_path(plan, PLAN_NS_UTS);

	if (own_uts && plan->hostname && sethostname(plan->hostname, strlen(plan->hostname)) < 0)
		return error_sys(err, "hostname: %s", plan->hostname);
	if (own_uts && plan->domainname && setdomainname(plan->domainname, strlen(plan->domainname)) < 0)
		return error_sys(err, "domainname: %s", plan->domainname);
	return plan->namespaces & PLAN_NS(NET) ? raise_loopback(err) : 0;
}

/* What setns(2) calls them: as clone(2), and those that are left to unshare(2). */
static int join_flag(size_t i)
{
	return namespaces[i].plan == PLAN_NS(CGROUP) ? CLONE_NEWCGROUP :
		namespaces[i].plan == PLAN_NS(TIME) ? CLONE_NEWTIME : (int)namespaces[i].clone;
}

int namespaces_of(pid_t pid, uint64_t *ret_flags, struct error *err)
{
	*ret_flags = 0;
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		struct stat ours, theirs;
		char path[64];

		(void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, strrchr(namespaces[i].file, '/') + 1);
		if (stat(namespaces[i].file, &ours) < 0)
			continue; /* this kernel has none of the kind */
		if (stat(path, &theirs) < 0)
			return error_sys(
				err, "cannot look at the %s namespace of process %d", namespaces[i].name, (int)pid);
		if (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
			*ret_flags |= (uint64_t)join_flag(i);
	}
	return 0;
}
