/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel parameters of the container's namespaces.
 *
 * Only keys that are known to belong to a namespace are taken, and only if that namespace is not the caller's: all
 * others are the host's. They are written through a procfs of our own that is mounted nowhere, so that nothing in the
 * image or on top of /proc can take a write elsewhere; the names are walked without links and without leaving it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container-backend/mountfd.h"
#include "container-backend/sysctls.h"
#include "runtime/base/alloc.h"

enum { MAX_SYSCTLS = 256, MAX_KEY = 256, MAX_VALUE = 4096 };

/* To add one: it must be the namespace's in every kernel that there is, else it is the host's in some. */
static const struct {
	const char *key; /* with "." at its end: all that begin so */
	enum plan_namespace ns;
} keys[] = {
	{ "kernel.msgmax", PLAN_NS_IPC }, { "kernel.msgmnb", PLAN_NS_IPC }, { "kernel.msgmni", PLAN_NS_IPC },
	{ "kernel.sem", PLAN_NS_IPC }, { "kernel.shmall", PLAN_NS_IPC }, { "kernel.shmmax", PLAN_NS_IPC },
	{ "kernel.shmmni", PLAN_NS_IPC }, { "kernel.shm_rmid_forced", PLAN_NS_IPC },
	{ "fs.mqueue.", PLAN_NS_IPC }, { "net.", PLAN_NS_NET }, { "kernel.domainname", PLAN_NS_UTS },
	{ "user.", PLAN_NS_USER },
};
static const struct {
	const char *name, *file;
} namespaces[] = {
	[PLAN_NS_IPC] = { "ipc", "/proc/self/ns/ipc" }, [PLAN_NS_NET] = { "net", "/proc/self/ns/net" },
	[PLAN_NS_UTS] = { "uts", "/proc/self/ns/uts" }, [PLAN_NS_USER] = { "user", "/proc/self/ns/user" },
};

/*
 * The key with dots between its parts. As sysctl(8) has it, the first separator tells which one of "." and "/" it is;
 * the other is then part of a name: net.ipv4.conf.eth0/1.forwarding. *ret_path: the same as a path below /proc/sys.
 */
static int normalize(const char *key, char ret_dots[MAX_KEY], char ret_path[MAX_KEY])
{
	size_t n = strlen(key);
	char separator;

	if (n == 0 || n >= MAX_KEY)
		return -EINVAL;
	separator = key[strcspn(key, "./")];
	for (size_t i = 0; i <= n; i++) {
		char other = separator == '/' ? '.' : '/';

		ret_dots[i] = (char)(key[i] == separator ? '.' : key[i] == other ? '/' : key[i]);
		ret_path[i] = (char)(ret_dots[i] == '.' && key[i] ? '/' : ret_dots[i] == '/' ? '.' : ret_dots[i]);
	}
	/* No empty parts and none that are "." or "..": the path has to say what it looks like. */
	for (const char *at = ret_path; *at; at += strcspn(at, "/"), at += *at == '/')
		if (strcspn(at, "/") == strspn(at, "."))
			return -EINVAL;
	return ret_path[n - 1] == '/' || ret_path[0] == '/' ? -EINVAL : 0;
}

/* Whether the namespace is not ours. */
static bool is_own(const struct plan *plan, enum plan_namespace ns)
{
	const char *path = plan_join_path(plan, ns);
	struct stat theirs, ours;

	if (plan->namespaces & UINT64_C(1) << ns)
		return true;
	return path && stat(path, &theirs) == 0 && stat(namespaces[ns].file, &ours) == 0 &&
		(theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev);
}

static int check_key(const struct plan *plan, const char *dots, struct error *err)
{
	if (!strcmp(dots, "kernel.hostname"))
		return error_set(err, EINVAL, "hostname is the field for it");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i].key);

		if (keys[i].key[n - 1] == '.' ? strncmp(dots, keys[i].key, n) : strcmp(dots, keys[i].key))
			continue;
		return is_own(plan, keys[i].ns) ? 0 : error_set(err, EPERM,
				"the container has no %s namespace of its own: this would change the host",
				namespaces[keys[i].ns].name);
	}
	return error_set(err, EPERM, "not a parameter of a namespace: this would change the host");
}

int sysctls_check(const struct plan *plan, struct error *err)
{
	if (plan->n_sysctls > MAX_SYSCTLS)
		return error_set(err, E2BIG, "sysctls: %zu are more than %d", plan->n_sysctls, MAX_SYSCTLS);
	for (size_t i = 0; i < plan->n_sysctls; i++) {
		const struct plan_pair *s = &plan->sysctls[i];
		char dots[MAX_KEY], path[MAX_KEY];

		if (!s->key || normalize(s->key, dots, path) < 0)
			return error_set(err, EINVAL, "sysctls: %.300s: not the name of a parameter",
					s->key ? s->key : "none");
		if (!s->value || strlen(s->value) >= MAX_VALUE)
			return error_set(err, EINVAL, "sysctls: %s: no value, or too long a one", s->key);
		if (check_key(plan, dots, err) < 0)
			return error_prefix(err, "sysctls: %s", s->key);
	}
	return 0;
}

/* /proc/sys of a procfs that nothing lies on. Where a fresh one is forbidden, the host's, which must be one. */
static int open_sys(struct error *err)
{
	_cleanup_close_ int fs = mountfd_fs_open("proc"), proc = -1, sys = -1;
	struct statfs st;

	proc = fs < 0 ? -1 : mountfd_fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (proc < 0)
		proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	sys = proc < 0 ? -1 : openat(proc, "sys", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sys < 0 || fstatfs(sys, &st) < 0)
		return error_sys(err, "sysctls: cannot open /proc/sys");
	if (st.f_type != PROC_SUPER_MAGIC)
		return error_set(err, ENOTSUP, "sysctls: /proc/sys is not the kernel's");
	return steal_fd(&sys);
}

static int write_one(int sys, const char *path, const char *value)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, sys, path, &how, sizeof how);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, value, strlen(value));
	return n < 0 ? -errno : n < (ssize_t)strlen(value) ? -EIO : 0;
}

int sysctls_write(const struct plan *plan, struct error *err)
{
	_cleanup_close_ int sys = -1;

	if (plan->n_sysctls == 0)
		return 0;
	sys = open_sys(err);
	if (sys < 0)
		return sys;
	for (size_t i = 0; i < plan->n_sysctls; i++) {
		const struct plan_pair *s = &plan->sysctls[i];
		char dots[MAX_KEY], path[MAX_KEY];
		/* Looked at once more: the guest's PID 1 has the plan from the host, and nobody checked it there. */
		int r = normalize(s->key, dots, path) < 0 ? -EINVAL : 0;

		if (r == 0)
			r = write_one(sys, path, s->value);
		if (r < 0)
			return error_set(err, -r, "sysctls: %s: cannot write \"%s\": %s", s->key, s->value,
					strerror(-r));
	}
	return 0;
}
