/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process attributes of a plan: scheduler, priorities, personality, keyring, labels.
 *
 * Labels are written to the process's own attr files. The container's /proc is not trusted with that (CVE-2019-16884:
 * an image whose /proc is a folder gets the write and the workload no label): the host's /proc is opened before it goes
 * out of sight, and that it is procfs is asked of the file system itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container-backend/affinity.h"
#include "container-backend/attributes.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

struct word {
	const char *name;
	uint64_t value;
};

/* The document's names. SCHED_ISO is reserved: no kernel has it. */
static const struct word policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL }, { "SCHED_FIFO", SCHED_FIFO }, { "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH }, { "SCHED_IDLE", SCHED_IDLE }, { "SCHED_DEADLINE", SCHED_DEADLINE }, { 0 },
};
static const struct word flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
	{ 0 },
};
static const struct word classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT }, { "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE }, { 0 },
};

static bool look_up(const struct word *words, const char *name, uint64_t *ret)
{
	for (; words->name; words++)
		if (!strcmp(words->name, name)) {
			*ret = words->value;
			return true;
		}
	return false;
}

static bool asks(const char *label)
{
	return label && *label;
}

static bool has_apparmor(void)
{
	_cleanup_free_ char *text = NULL;

	return file_read_at(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &text, NULL, NULL) == 0 &&
		text[0] == 'Y';
}

/* "unconfined" is what a process has where there is no AppArmor. */
static bool wants_apparmor(const struct plan_process *p)
{
	return asks(p->apparmor_profile) && strcmp(p->apparmor_profile, "unconfined");
}

int attributes_check(const struct plan_process *p, struct error *err)
{
	uint64_t value;

	if (p->scheduler.policy && !look_up(policies, p->scheduler.policy, &value))
		return error_set(
			err, EINVAL, "process.scheduler.policy: %s: this kernel has none such", p->scheduler.policy);
	strv_foreach(flag, p->scheduler.flags)
		if (!look_up(flags, flag, &value))
			return error_set(err, EINVAL, "process.scheduler.flags: unknown: %s", flag);
	if (p->io_priority.class && !look_up(classes, p->io_priority.class, &value))
		return error_set(err, EINVAL, "process.ioPriority.class: unknown: %s", p->io_priority.class);
	if (p->io_priority.priority < 0 || p->io_priority.priority > 7)
		return error_set(
			err, EINVAL, "process.ioPriority.priority: %jd: 0 to 7", (intmax_t)p->io_priority.priority);
	if (affinity_check(p->exec_cpus_initial, "process.execCPUAffinity.initial", err) < 0 ||
			affinity_check(p->exec_cpus_final, "process.execCPUAffinity.final", err) < 0)
		return -EINVAL;
	if (p->oom_score_adj < -1000 || p->oom_score_adj > 1000)
		return error_set(err, EINVAL, "process.oomScoreAdj: %jd: -1000 to 1000", (intmax_t)p->oom_score_adj);
	if (wants_apparmor(p) && !has_apparmor())
		return error_set(err, EOPNOTSUPP, "process.apparmorProfile: %s: this kernel has no AppArmor",
			p->apparmor_profile);
	if (asks(p->selinux_label) && access("/sys/fs/selinux/enforce", F_OK) < 0)
		return error_set(
			err, EOPNOTSUPP, "process.selinuxLabel: %s: this kernel has no SELinux", p->selinux_label);
	return 0;
}

/* procfs itself, not something that was put in its place. */
static int open_proc(struct error *err)
{
	_cleanup_close_ int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return error_sys(err, "/proc");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return error_set(err, EINVAL, "/proc: not the proc file system");
	return steal_fd(&fd);
}

int attributes_early(const struct plan *plan, bool rootless, int *ret_proc_fd, struct error *err)
{
	const struct plan_process *p = &plan->process;
	bool later = wants_apparmor(p) || asks(p->selinux_label) || plan->seccomp_listener;
	_cleanup_close_ int proc = -1;
	char text[16];
	int r;

	*ret_proc_fd = -1;
	if (!p->oom_score_adj_set && !later)
		return 0;
	proc = open_proc(err);
	if (proc < 0)
		return proc;
	if (p->oom_score_adj_set) {
		(void)snprintf(text, sizeof text, "%d", (int)p->oom_score_adj); /* checked: fits */
		r = file_write_once(proc, "self/oom_score_adj", text);
		if (r < 0 && !(rootless && (r == -EACCES || r == -EPERM))) /* without root it can only be raised */
			return error_set(err, -r, "process.oomScoreAdj: %s: %s", text, strerror(-r));
	}
	if (later)
		*ret_proc_fd = steal_fd(&proc);
	return 0;
}

static int set_scheduler(const struct plan_scheduler *s, struct error *err)
{
	struct sched_attr attr = { .size = SCHED_ATTR_SIZE_VER0,
		.sched_nice = (int32_t)s->nice,
		.sched_priority = (uint32_t)s->priority,
		.sched_runtime = s->runtime_ns,
		.sched_deadline = s->deadline_ns,
		.sched_period = s->period_ns };
	uint64_t value = 0;

	if (!s->policy)
		return 0;
	(void)look_up(policies, s->policy, &value); /* checked, as the flags are */
	attr.sched_policy = (uint32_t)value;
	strv_foreach(flag, s->flags)
		attr.sched_flags |= look_up(flags, flag, &value) ? value : 0;
	return syscall(SYS_sched_setattr, 0, &attr, 0) < 0 ? error_sys(err, "process.scheduler: %s", s->policy) : 0;
}

static int set_io_priority(const struct plan_io_priority *p, struct error *err)
{
	uint64_t class = 0;

	if (!p->class)
		return 0;
	(void)look_up(classes, p->class, &class); /* checked */
	return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE((int)class, (int)p->priority)) < 0 ?
		error_sys(err, "process.ioPriority: %s", p->class) : 0;
}

/* Where keys are not to be had (no support, quota used up, forbidden) the workload has the caller's, as with runc. */
static void take_keyring(const char *id)
{
	_cleanup_free_ char *name = xasprintf("_ses.%s", id);

	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0);
}

int attributes_privileged(const struct plan_process *p, const char *id, struct error *err)
{
	int r = set_scheduler(&p->scheduler, err);

	if (r == 0)
		r = set_io_priority(&p->io_priority, err);
	if (r == 0 && p->keyring)
		take_keyring(id);
	return r;
}

static int write_label(int proc, const char *file, const char *text, const char *field, struct error *err)
{
	int r = file_write_once(proc, file, text);

	return r < 0 ? error_set(err, -r, "%s: cannot set it: %s", field, strerror(-r)) : 0;
}

int attributes_late(const struct plan_process *p, int proc_fd, struct error *err)
{
	int r = 0;

	if (p->personality_set && personality((unsigned long)p->personality) < 0)
		return error_sys(err, "linux.personality");
	if (wants_apparmor(p)) {
		_cleanup_free_ char *text = xasprintf("exec %s", p->apparmor_profile);

		r = write_label(proc_fd, "thread-self/attr/apparmor/exec", text, "process.apparmorProfile", err);
	}
	if (r == 0 && asks(p->selinux_label))
		r = write_label(proc_fd, "thread-self/attr/exec", p->selinux_label, "process.selinuxLabel", err);
	return r;
}
