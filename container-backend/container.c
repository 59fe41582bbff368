/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container shell: backend operations, and the order of their steps.
 *
 * Theory of operation.
 *
 *   check    asks every part whether this host can do what the plan says; makes nothing
 *   create   names the control group in state.json, then container_spawn(): group, namespaces, root (spawn.c, init.c)
 *   start    one byte to the child, which has been waiting
 *   kill     by pidfd, or by pid and start time: never another process's
 *   account  what the control group counted
 *   delete   ends and removes what state.json names; nothing else outlives the processes
 *
 * What a container leaves on the host is exactly: processes, one control group, and the instance's folder (which is not
 * ours). Mounts, upper layer, devices, terminal and network live in namespaces that go with the last process. The pid
 * is a direct child of the creator, and is the container's PID 1: when it ends the kernel ends the rest. While a
 * launcher supervises, it is tied to the launcher (PR_SET_PDEATHSIG); after a launcher's sudden end only an empty
 * control group is left, under the name that state.json already held. (A workload that is PID 1 itself, without our
 * init, can undo the tie; delete ends it.)
 *
 * Invariants: the group's name and the process are on disk before the group is (on pure v2 the name alone: there the
 * group comes first, and until the process is noted it ends with its maker). delete works from state.json alone, any
 * number of times,
 * also for an instance whose create never came back.
 *
 * Not defended against: the kernel. A container shares it with the host; that is what the other shell is for.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container-backend/container_verbs.h"
#include "container-backend/attributes.h"
#include "container-backend/devnodes.h"
#include "container-backend/disk_rates.h"
#include "container-backend/exec.h"
#include "container-backend/idmap.h"
#include "container-backend/mounts.h"
#include "container-backend/namespaces.h"
#include "container-backend/notify.h"
#include "container-backend/spawn.h"
#include "container-backend/ungrouped.h"
#include "container-backend/sysctls.h"
#include "policies/enforce/caps.h"
#include "policies/enforce/cgroup.h"
#include "policies/enforce/landlock.h"
#include "policies/enforce/rlimits.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "runtime/model/usernet.h"

enum { KILL_TIMEOUT_MS = 5000, MAX_LOWERS = 500 }; /* overlayfs's own limit */

static bool has_filesystem(const char *name)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/proc/filesystems", 65536, &text, NULL, NULL) < 0)
		return false;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char *tab = strchr(line, '\t');

		if (tab && !strcmp(tab + 1, name))
			return true;
	}
	return false;
}

/* What this host's control groups are, looked at once: a launch asks four times, and they do not change under it. */
static const struct cgroup_host *groups_of_host(void)
{
	static struct cgroup_host host;
	static bool known;

	if (!known)
		cgroup_probe(&host);
	known = true;
	return &host;
}

static void probe_cgroups(struct json_writer *w)
{
	const struct cgroup_host *host = groups_of_host();

	json_begin_object(w, "cgroup");
	json_put_string(w, "layout", cgroup_layout_name(host->layout));
	json_put_bool(w, "memory", host->memory);
	json_put_bool(w, "swap", host->swap);
	json_put_bool(w, "cpu", host->cpu);
	json_put_bool(w, "pids", host->pids);
	json_put_bool(w, "freezer", host->freezer);
	json_end(w);
}

static void container_probe(struct json_writer *w)
{
	uint64_t caps = caps_available();

	json_put_bool(w, "root", geteuid() == 0);
	namespaces_probe(w);
	probe_cgroups(w);
	json_put_bool(w, "overlay", has_filesystem("overlay"));
	/* EFAULT: the filter's address was looked at, so there are filters. */
	json_put_bool(w, "seccomp", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno == EFAULT);
	json_put_int(w, "landlock_abi", landlock_version());
	json_begin_array(w, "capabilities");
	for (unsigned i = 0; i < 64; i++)
		if (caps & UINT64_C(1) << i && caps_name(i))
			json_put_string(w, NULL, caps_name(i));
	json_end(w);
}

static int check_empty_root(const struct plan_root *root, struct error *err)
{
	if (root->path || strv_len(root->lowers))
		return error_set(err, EINVAL, "root.%s: not together with root.empty", root->path ? "path" : "lowers");
	for (size_t i = 0; i < root->n_links; i++)
		if (root->links[i].key[0] != '/' || !strrchr(root->links[i].key, '/')[1] || !root->links[i].value)
			return error_set(err, EINVAL, "root.links[%zu]: %s: not an absolute path and a target", i,
					root->links[i].key);
	return 0;
}

static int check_root(const struct plan *plan, struct error *err)
{
	size_t n = strv_len(plan->root.lowers);

	if (plan->root.empty)
		return check_empty_root(&plan->root, err);
	if (plan->root.path) {
		_cleanup_close_ int fd = open(plan->root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (n > 0)
			return error_set(err, EINVAL, "root.lowers: not together with root.path");
		return fd < 0 ? error_sys(err, "root.path: %s", plan->root.path) : 0;
	}
	if (n == 0 || n > MAX_LOWERS)
		return error_set(err, EINVAL, "root.lowers: %zu folders: a container's root has 1 to %d", n,
				MAX_LOWERS);
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = plan->root.lowers[i][0] == '/' ?
			open(plan->root.lowers[i], O_PATH | O_DIRECTORY | O_CLOEXEC) : (errno = EINVAL, -1);

		if (fd < 0)
			return error_sys(err, "root.lowers[%zu]: %s", i, plan->root.lowers[i]);
	}
	return 0;
}

static int check_capabilities(const struct plan_capabilities *caps, struct error *err)
{
	uint64_t wanted = caps->bounding | caps->effective | caps->inheritable | caps->permitted | caps->ambient;
	uint64_t missing;
	struct {
		uint64_t set, within;
		const char *field, *other;
	} rules[] = {
		{ caps->effective, caps->permitted, "effective", "permitted" },
		{ caps->permitted, caps->bounding, "permitted", "bounding" },
		{ caps->ambient, caps->permitted, "ambient", "permitted" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].set & ~rules[i].within)
			return error_set(err, EINVAL, "process.capabilities.%s: not all of them are in %s",
					rules[i].field, rules[i].other);
	missing = caps_missing(wanted);
	for (unsigned i = 0; i < 64; i++)
		if (missing & UINT64_C(1) << i)
			return error_set(err, EPERM, "process.capabilities: %s: this process may not have it itself",
					caps_name(i) ? caps_name(i) : "unknown to this kernel");
	return 0;
}

static int check_process(const struct plan *plan, struct error *err)
{
	const struct plan_process *p = &plan->process;
	int r;

	if (!p->argv || !p->argv[0])
		return error_set(err, EINVAL, "process.argv: empty");
	if (p->cwd && p->cwd[0] != '/')
		return error_set(err, EINVAL, "process.cwd: not absolute: %s", p->cwd);
	if (p->init && !(plan->namespaces & PLAN_NS(PID)))
		return error_set(err, EINVAL, "process.init: needs a pid namespace");
	if (p->rows > UINT16_MAX || p->columns > UINT16_MAX)
		return error_set(err, EINVAL, "process.rows, process.columns: no terminal is that large");
	if (p->umask > 0777)
		return error_set(err, EINVAL, "process.umask: %jo", (uintmax_t)p->umask);
	if (plan->seccomp.len % 8)
		return error_set(err, EINVAL, "seccomp: not a filter: %zu bytes", plan->seccomp.len);
	r = attributes_check(p, err);
	if (r == 0)
		r = landlock_check(&plan->landlock, err);
	if (r == 0)
		r = notify_check(plan, err);
	if (r < 0)
		return r;
	r = check_capabilities(&p->capabilities, err);
	return r < 0 ? r : rlimits_check(p->rlimits, p->n_rlimits, err);
}

static int check_paths(char *const *paths, const char *field, struct error *err)
{
	strv_foreach(path, paths)
		if (path[0] != '/')
			return error_set(err, EINVAL, "%s: not absolute: %s", field, path);
	return 0;
}

static int container_check(const struct plan *plan, struct error *err)
{
	int r = namespaces_check(plan, err);

	if (r == 0)
		r = idmap_check(plan, err);
	if (r == 0)
		r = check_root(plan, err);
	if (r == 0)
		r = check_process(plan, err);
	if (r == 0)
		r = mounts_check(plan, err);
	if (r == 0)
		r = devnodes_check(plan, err);
	if (r == 0)
		r = sysctls_check(plan, err);
	if (r == 0)
		r = check_paths(plan->masked_paths, "masked_paths", err);
	if (r == 0)
		r = check_paths(plan->readonly_paths, "readonly_paths", err);
	if (r < 0)
		return r;
	/* A bundle's is then shown what there is: `spec --rootless` writes such ones. */
	if (!plan->mounts_exact && !cgroup_usable(groups_of_host()) && mounts_need_cgroup(plan))
		return error_set(err, EOPNOTSUPP, "mounts: type: cgroup: no control group that this user may write to");
	r = ungrouped_check(plan, err);
	if (r == 0)
		r = usernet_check(plan, err);
	if (r == 0)
		r = disk_rates_check(plan, groups_of_host(), err);
	return r < 0 ? r : cgroup_check(groups_of_host(), &plan->resources, err);
}

/* The two channels to the child: events from it, the word to start to it. Ours are in in->live. */
static int open_channels(struct instance *in, int *ret_event, int *ret_start, struct error *err)
{
	int events[2], start[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
		return error_sys(err, "cannot make the event socket");
	in->live.event_fd = events[0];
	*ret_event = events[1];
	if (in->detached) {
		*ret_start = instance_make_fifo(in, err);
		return *ret_start < 0 ? *ret_start : 0;
	}
	if (pipe2(start, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make the start pipe");
	*ret_start = start[0];
	in->live.start_fd = start[1];
	return 0;
}

/* The group's name goes to disk before the group exists. */
static int name_group(const struct plan *plan, struct instance *in, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (plan->no_cgroup || !cgroup_usable(groups_of_host()))
		return 0;
	path = cgroup_path_of(groups_of_host(), plan, err);
	if (!path)
		return -err->code;
	/* A path of somebody's choosing may be in use; delete, which kills all in it, must never learn of it then. */
	if (plan->cgroup && cgroup_check_free(groups_of_host(), path, err) < 0)
		return -err->code;
	free(in->cgroup);
	in->cgroup = steal_ptr(path);
	/* elsewhere note_child() is in time */
	return groups_of_host()->layout == CGROUP_V2 ? instance_save(in, err) : 0;
}

/* The process goes to disk, and with it the group that it is about to get. */
static int note_child(void *arg, pid_t pid, struct error *err)
{
	struct instance *in = arg;
	int r = pid_start_time(pid, &in->pid_start);

	in->pid = (uint64_t)pid;
	return r < 0 ? error_set(err, -r, "cannot read /proc/%d/stat: %s", (int)pid, strerror(-r))
		     : instance_save(in, err);
}

static int container_delete(const struct instance *in, struct error *err);

static int container_create(const struct plan *plan, struct instance *in, const int stdio[3], struct error *err)
{
	_cleanup_close_ int event_fd = -1, start_fd = -1;
	struct spawn_result made;
	int r = open_channels(in, &event_fd, &start_fd, err);

	if (r == 0)
		r = name_group(plan, in, err);
	if (r == 0) {
		struct spawn_request request = { .plan = plan, .cgroup = in->cgroup, .host = groups_of_host(),
			.event_fd = event_fd, .start_fd = start_fd, .stdio = { stdio[0], stdio[1], stdio[2] },
			.detached = in->detached, .instance = in, .made = note_child, .made_arg = in,
			/* Supervised by somebody else, or by nobody yet: it outlives us. */
			.die_with_parent = !in->detached && in->supervisor == (uint64_t)getpid() };

		r = container_spawn(&request, &made, err);
	}
	if (r < 0)
		return r;
	in->live.pidfd = made.pidfd;
	in->live.console_fd = made.console_fd;
	in->live.scratch_fd = made.scratch_fd;
	in->live.setup_user_us = made.setup.user_us;
	in->live.setup_system_us = made.setup.system_us;
	in->network_pid = (uint64_t)made.network_pid;
	if (in->network_pid)
		(void)pid_start_time(made.network_pid, &in->network_pid_start); /* dies with us; noted for delete */
	if (in->detached)
		r = container_release(&made.release_fd, err);
	if (r < 0) {
		(void)container_delete(in, NULL); /* the first error is the one to tell */
		while (waitpid(made.pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return r;
}

static int container_start(struct instance *in, struct error *err)
{
	int r;

	if (in->detached)
		return instance_write_fifo(in, err);
	r = in->live.start_fd < 0 ? -EBADF : fd_write_full(in->live.start_fd, "", 1);

	close_cleanup(&in->live.start_fd);
	in->live.start_fd = -1;
	return r < 0 ? error_set(err, -r, "cannot start the workload: %s", strerror(-r)) : 0;
}

/* A pidfd of the instance's process, the caller's to close. -ESRCH: gone, or another process has its number now. */
static int open_process(const struct instance *in)
{
	_cleanup_close_ int fd = -1;
	uint64_t start;
	int r;

	if (!in->pid)
		return -ESRCH;
	if (in->live.pidfd >= 0)
		return fcntl(in->live.pidfd, F_DUPFD_CLOEXEC, 3);
	fd = pidfd_open_pid((pid_t)in->pid);
	if (fd < 0)
		return fd == -EINVAL ? -ESRCH : fd; /* EINVAL: a thread has the number */
	r = pid_start_time((pid_t)in->pid, &start); /* after opening: from here on the number is held */
	if (r < 0)
		return r;
	return start == in->pid_start ? steal_fd(&fd) : -ESRCH;
}

static int container_kill(const struct instance *in, int signo, struct error *err)
{
	_cleanup_close_ int fd = open_process(in);
	int r = fd < 0 ? fd : pidfd_kill(fd, signo);

	return r < 0 ? error_set(err, -r, "cannot send signal %d to %s: %s", signo, in->id, strerror(-r)) : 0;
}

static void container_account(const struct instance *in, struct report *report)
{
	const struct cgroup_cpu setup = { in->live.setup_user_us, in->live.setup_system_us };
	struct cgroup_stats stats;

	if (!in->cgroup)
		return;
	cgroup_stats(groups_of_host(), in->cgroup, &stats);
	/* The group counts the workload's every process, also those that nobody reaped, and its page cache. */
	if (stats.cpu.user_us || stats.cpu.system_us) {
		stats.cpu = cgroup_cpu_without(stats.cpu, setup);
		report->cpu_user_us = stats.cpu.user_us;
		report->cpu_system_us = stats.cpu.system_us;
	}
	if (stats.peak_memory_bytes)
		report->peak_memory_bytes = stats.peak_memory_bytes;
	report->oom_kills += stats.oom_kills;
	report->pids_denied += stats.pids_denied;
	report->cpu_throttled += stats.cpu_throttled;
	report->cpu_throttled_us += stats.cpu_throttled_us;
}

/* pasta, whose namespace is empty now. It would end with its launcher in any case. */
static void end_network(const struct instance *in)
{
	_cleanup_close_ int fd = in->network_pid ? pidfd_open_pid((pid_t)in->network_pid) : -1;
	uint64_t start;

	if (fd < 0 || pid_start_time((pid_t)in->network_pid, &start) < 0 || start != in->network_pid_start)
		return; /* gone; its number may be another's */
	(void)pidfd_kill(fd, SIGKILL); /* it was there a moment ago */
	(void)waitid(P_PIDFD, (id_t)fd, &(siginfo_t){ 0 }, WEXITED); /* ECHILD: somebody else's */
}

static int container_delete(const struct instance *in, struct error *err)
{
	_cleanup_close_ int fd = open_process(in);

	end_network(in);
	if (fd >= 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		(void)pidfd_kill(fd, SIGKILL); /* ESRCH: a zombie, which is as good */
		if (in->cgroup && in->status == INSTANCE_PAUSED)
			(void)cgroup_freeze(groups_of_host(), in->cgroup, false, NULL); /* else v1 lets nothing die */
		if (poll(&p, 1, KILL_TIMEOUT_MS) == 0)
			return error_set(err, EBUSY, "%s: process %ju survives SIGKILL", in->id, (uintmax_t)in->pid);
	}
	if (!in->cgroup)
		return 0;
	return cgroup_destroy(groups_of_host(), in->cgroup, err);
}

static int container_exec(const struct instance *in, const struct plan *plan, const struct backend_exec *exec,
		struct backend_exec_result *ret, struct error *err)
{
	_cleanup_close_ int target = open_process(in);
	struct exec_request request = { .plan = plan,
		.exec = exec,
		.instance = in,
		.target = target,
		.target_pid = (pid_t)in->pid,
		.cgroup = in->cgroup };

	if (ungrouped_check_process(plan, exec->process, err) < 0)
		return -err->code;
	if (target < 0)
		return error_set(err, -target, "cannot exec in %s: container not running", in->id);
	return container_enter(&request, ret, err);
}

const struct backend container_backend = {
	.name = "container",
	.probe = container_probe,
	.check = container_check,
	.create = container_create,
	.start = container_start,
	.kill = container_kill,
	.account = container_account,
	.delete = container_delete,
	.exec = container_exec,
	.kill_all = container_kill_all,
	.pause = container_pause,
	.resume = container_resume,
	.update = container_update,
	.stats = container_stats,
	.processes = container_processes,
};
