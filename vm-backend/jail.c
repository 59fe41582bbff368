/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail: what a guest has that broke out of its machine into the VMM's process.
 *
 * Theory of operation
 *
 * The VMM is a fork of the launcher, so at first it has all that the launcher has. Privilege only falls, in stages; the
 * guest's first instruction runs after the last. A stage that fails ends the VMM with its name: there is no half a
 * jail.
 *
 *   stage        afterwards it can still              and must not be able to
 *   descriptors  use what it was given by number      use the launcher's files, sockets, terminals
 *   namespaces   see the host's files                 reach the network, host IPC, host name; change host mounts
 *   root         use its open descriptors             name any file: its root is an empty read-only tmpfs
 *   limits       use what is open                     open more, dump core, grow a file beyond the largest disk
 *   identity     read and write what is open          act as root, or signal anyone's processes
 *   capabilities nothing that needs one               regain one: bounding set empty, no_new_privs
 *   threads      (vCPU and disk threads are made)
 *   filter       run the guest, serve its devices,    open, map, fork, exec, connect, ptrace, any other ioctl; what
 *                each thread its own                  another kind of thread does (jail_filter.c)
 *
 * Without root a user namespace gives the right to the stages that need one. Where the host forbids user namespaces,
 * "namespaces" and "root" are left out, and the filter alone keeps the process from naming files: it has no open(2).
 *
 * With shares the VMM is also a file server. Its root is then the share tree (shares.c) instead of an empty folder, it
 * may open files there, and it keeps the capabilities of a file server over them: another's file is to be read,
 * written, owned as the guest's kernel says. It still has no other file of the host, no network, no process but itself.
 * Without root the capabilities are those of a user namespace with one user in it.
 *
 * What it does not defend against: a guest that breaks KVM itself is in the host's kernel, beyond any jail; a guest
 * may exhaust what its limits (cgroup, set by vm.c) allow; side channels of the processor. The process keeps a copy of
 * the launcher's heap and arguments, which tell of this one workload and nothing else; keep it so.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/fs/fs_server.h"
#include "vm-backend/jail.h"
#include "vm-backend/shares.h"

enum {
	JAIL_ID = 0x6b760000,           /* uid and gid; beyond what systems and containers hand out */
	JAIL_ID_FALLBACK = 65534,       /* in a user namespace that does not map the other */
};

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int jail_close_fds(const int *keep, size_t n, struct error *err)
{
	_cleanup_free_ int *sorted = xmemdup(keep, n * sizeof *keep);
	unsigned next = 0;
	int null;

	qsort(sorted, n, sizeof *sorted, compare_ints);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < 0)
			continue;
		if ((unsigned)sorted[i] > next && close_range(next, (unsigned)sorted[i] - 1, 0) < 0)
			return error_sys(err, "jail: descriptors");
		if ((unsigned)sorted[i] >= next)
			next = (unsigned)sorted[i] + 1;
	}
	if (close_range(next, ~0U, 0) < 0)
		return error_sys(err, "jail: descriptors");
	/* Nobody must get 0, 1 or 2 by chance: libraries write there. */
	do
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (null >= 0 && null <= STDERR_FILENO);
	if (null < 0)
		return error_sys(err, "jail: /dev/null");
	(void)close(null); /* the first beyond */
	return 0;
}

/* In a fresh user namespace: the caller, and nobody else. An id is the same inside and outside. */
static int map_self(uid_t uid, gid_t gid, struct error *err)
{
	char users[48], groups[48];
	int r;

	(void)snprintf(users, sizeof users, "%u %u 1", uid, uid); /* fits, like the next */
	(void)snprintf(groups, sizeof groups, "%u %u 1", gid, gid);
	(void)file_write_once(AT_FDCWD, "/proc/self/setgroups", "deny"); /* what it is for fails if it fails */
	r = file_write_once(AT_FDCWD, "/proc/self/uid_map", users);
	if (r == 0)
		r = file_write_once(AT_FDCWD, "/proc/self/gid_map", groups);
	return r < 0 ? error_set(err, -r, "jail: cannot map user and group: %s", strerror(-r)) : 0;
}

/* 1: done; 0: this host does not let an unprivileged process have namespaces. */
static int enter_namespaces(bool privileged, struct error *err)
{
	int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

	if (unshare(flags | (privileged ? 0 : CLONE_NEWUSER)) == 0)
		return 1;
	if (!privileged && (errno == EPERM || errno == EACCES || errno == ENOSPC || errno == EUSERS || errno == EINVAL))
		return 0;
	return error_sys(err, "jail: namespaces");
}

/*
 * The new root is a mount without a name, put on top of "/" where only our descriptor finds it; pivot_root(".", ".")
 * then leaves the old root on top of the new, and detaching it leaves nothing else.
 */
static int enter_root(struct error *err)
{
	_cleanup_close_ int fs = -1;
	_cleanup_close_ int root = -1;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, "jail: root: cannot make mounts private");
	fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
			syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
			syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_sys(err, "jail: root: tmpfs");
	root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
			MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root < 0 || syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_sys(err, "jail: root: cannot mount it");
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
			chdir("/") < 0)
		return error_sys(err, "jail: root: cannot change it");
	return 0;
}

/* The same with the share tree as the root, and a way to open files anew by descriptor. */
static int enter_shares(struct jail_shares *shares, struct error *err)
{
	struct share_tree tree = { 0 };
	int r = 0;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_sys(err, "jail: root: cannot make mounts private");
	r = shares->proc_fd = fs_open_proc(err);
	if (r >= 0)
		r = share_tree_open(&tree, shares->shares, shares->n, err);
	if (r >= 0)
		r = shares->root_fd = share_tree_mount(&tree, "/", err);
	share_tree_release(&tree);
	if (r < 0)
		return error_prefix(err, "jail: root");
	if (fchdir(shares->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
			chdir("/") < 0)
		return error_sys(err, "jail: root: cannot change it");
	return 0;
}

/* As many files as the host lets us: the guest's kernel decides how many it remembers. */
static int raise_files(struct error *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_sys(err, "jail: limits: nofile");
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? error_sys(err, "jail: limits: nofile") : 0;
}

static int set_limits(uint64_t max_file_bytes, bool shares, struct error *err)
{
	const struct {
		__rlimit_resource_t resource;
		rlim_t max;
		const char *name;
		bool for_disks;                         /* not with shares: files are opened and grow */
	} limits[] = {
		{ RLIMIT_NOFILE, 0, "nofile", true },   /* what is open stays usable; nothing more opens */
		{ RLIMIT_CORE, 0, "core", false },
		{ RLIMIT_FSIZE, max_file_bytes, "fsize", true },
		{ RLIMIT_MSGQUEUE, 0, "msgqueue", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit limit;

		if (shares && limits[i].for_disks)
			continue;
		if (getrlimit(limits[i].resource, &limit) < 0)
			return error_sys(err, "jail: limits: %s", limits[i].name);
		if (limit.rlim_max > limits[i].max)
			limit.rlim_max = limits[i].max;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(limits[i].resource, &limit) < 0)
			return error_sys(err, "jail: limits: %s", limits[i].name);
	}
	return shares ? raise_files(err) : 0;
}

static int drop_bounding_set(struct error *err)
{
	/* Until the kernel knows no such capability. */
	for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
	return errno == EINVAL ? 0 : error_sys(err, "jail: capabilities: bounding set");
}

/*
 * Of a file server. The guest's kernel judges who may do what; what it decided must not fail for another reason here.
 * All are below 32.
 */
static const unsigned share_capabilities =
	1U << CAP_CHOWN |
	1U << CAP_DAC_OVERRIDE |        /* files of others */
	1U << CAP_FOWNER |              /* their modes and times */
	1U << CAP_FSETID |              /* set-group-ID of another's group */
	1U << CAP_SETUID |              /* setfsuid: the owner of what is made */
	1U << CAP_SETGID |
	1U << CAP_MKNOD |
	1U << CAP_SETFCAP;              /* security.capability of a program that the guest installs */

/* Else a change of the file system's user would add and remove some of them. */
static int fix_capabilities(struct error *err)
{
	enum { BITS = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT | SECBIT_NOROOT_LOCKED };

	return prctl(PR_SET_SECUREBITS, BITS, 0, 0, 0) < 0 ? error_sys(err, "jail: capabilities: secure bits") : 0;
}

static int drop_capabilities(bool shares, struct error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const unsigned kept = shares ? share_capabilities : 0;
	const struct __user_cap_data_struct data[2] = { { .permitted = kept, .effective = kept } };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return error_sys(err, "jail: capabilities: ambient set");
	if (syscall(SYS_capset, &head, data) < 0)
		return error_sys(err, "jail: capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, "jail: capabilities: no_new_privs");
	return 0;
}

static int drop_identity(struct error *err)
{
	uid_t id = JAIL_ID;

	if (setgroups(0, NULL) < 0)
		return error_sys(err, "jail: identity: groups");
	if (setresgid(id, id, id) < 0) {
		if (errno != EINVAL)
			return error_sys(err, "jail: identity: group %u", id);
		id = JAIL_ID_FALLBACK;
		if (setresgid(id, id, id) < 0)
			return error_sys(err, "jail: identity: group %u", id);
	}
	if (setresuid(id, id, id) < 0)
		return error_sys(err, "jail: identity: user %u", id);
	return 0;
}

/* The strings too, which /proc/PID/environ shows. */
static void wipe_environment(void)
{
	for (char **s = environ; s && *s; s++)
		explicit_bzero(*s, strlen(*s));
	(void)clearenv(); /* only frees the list */
}

int jail_enter(pid_t parent, uint64_t max_file_bytes, struct jail_shares *shares, struct error *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	bool privileged = uid == 0;
	int r = enter_namespaces(privileged, err);
	bool own = r > 0;

	if (r == 0 && shares)
		return error_set(
			err, EPERM, "host directories need root or a user namespace, and this host allows none");
	if (r >= 0 && shares && !privileged)
		r = map_self(uid, gid, err);
	if (r >= 0 && own)
		r = shares ? enter_shares(shares, err) : enter_root(err);
	if (r >= 0)
		r = set_limits(max_file_bytes, shares, err);
	if (r >= 0 && shares)
		r = fix_capabilities(err);
	if (r >= 0 && (privileged || own))
		r = drop_bounding_set(err);
	if (r >= 0 && privileged)
		r = drop_identity(err);
	if (r >= 0)
		r = drop_capabilities(shares, err);
	if (r < 0)
		return r;
	wipe_environment();
	/* A change of identity cleared the first and may have set the second. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_sys(err, "jail: prctl");
	if (getppid() != parent)
		return error_set(err, ESRCH, "jail: the launcher is gone");
	return 0;
}
