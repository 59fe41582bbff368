/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock's rules from a plan's lists.
 *
 * A list that is there restricts its rights everywhere but beneath its paths; a list that is not there restricts
 * nothing. Moving files between folders is denied to every landlocked process unless it is granted, so it is always
 * among the handled rights, and granted where writing is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policies/enforce/landlock.h"
#include "runtime/base/alloc.h"

/* Of newer headers than Debian 12's. */
#define FS_TRUNCATE     (UINT64_C(1) << 14) /* version 3, Linux 6.2 */
#define NET_BIND_TCP    (UINT64_C(1) << 0)  /* version 4, Linux 6.7 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define RULE_NET_PORT   2

struct ruleset_attr {
	uint64_t handled_fs, handled_net;
};
struct port_attr {
	uint64_t allowed, port;
};

enum { FIRST_VERSION = 2, TRUNCATE_VERSION = 3, NET_VERSION = 4 };

#define FS_WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
	LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
	LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)
/* What a rule for a file can grant; the others are rights over a folder's entries. */
#define FS_OF_FILES (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | \
	FS_TRUNCATE)

/* The lists of paths. execve(2) reads what it executes. */
static const struct {
	enum plan_landlock_list list;
	size_t offset;
	uint64_t handled, granted;
} path_lists[] = {
	{ PLAN_LANDLOCK_READ, offsetof(struct plan_landlock, read), LANDLOCK_ACCESS_FS_READ_FILE,
		LANDLOCK_ACCESS_FS_READ_FILE },
	{ PLAN_LANDLOCK_LIST, offsetof(struct plan_landlock, list), LANDLOCK_ACCESS_FS_READ_DIR,
		LANDLOCK_ACCESS_FS_READ_DIR },
	{ PLAN_LANDLOCK_WRITE, offsetof(struct plan_landlock, write), FS_WRITE, FS_WRITE },
	{ PLAN_LANDLOCK_EXECUTE, offsetof(struct plan_landlock, execute), LANDLOCK_ACCESS_FS_EXECUTE,
		LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE },
};
static const struct {
	enum plan_landlock_list list;
	size_t offset;
	uint64_t right;
} port_lists[] = {
	{ PLAN_LANDLOCK_CONNECT_TCP, offsetof(struct plan_landlock, connect_tcp), NET_CONNECT_TCP },
	{ PLAN_LANDLOCK_BIND_TCP, offsetof(struct plan_landlock, bind_tcp), NET_BIND_TCP },
};

static char *const *list_at(const struct plan_landlock *l, size_t offset)
{
	return *(char ***)((char *)(uintptr_t)l + offset);
}

int landlock_version(void)
{
	long r = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return r < 0 ? 0 : (int)r;
}

static uint64_t handled_net(const struct plan_landlock *l)
{
	uint64_t rights = 0;

	for (size_t i = 0; i < ARRAY_LEN(port_lists); i++)
		if (l->restricts & PLAN_LANDLOCK_BIT(port_lists[i].list))
			rights |= port_lists[i].right;
	return rights;
}

static uint64_t handled_fs(const struct plan_landlock *l, int version)
{
	uint64_t rights = 0;

	for (size_t i = 0; i < ARRAY_LEN(path_lists); i++)
		if (l->restricts & PLAN_LANDLOCK_BIT(path_lists[i].list))
			rights |= path_lists[i].handled;
	rights |= rights ? LANDLOCK_ACCESS_FS_REFER : 0;
	return version < TRUNCATE_VERSION ? rights & ~FS_TRUNCATE : rights;
}

static const char *missing(const struct plan_landlock *l, int version)
{
	if (!l->restricts)
		return NULL;
	if (version < FIRST_VERSION)
		return "landlock";
	return handled_net(l) && version < NET_VERSION ? "landlock-tcp" : NULL;
}

int landlock_check(const struct plan_landlock *l, struct error *err)
{
	int version = landlock_version();
	const char *lacks = missing(l, version);

	if (!lacks || l->best_effort)
		return 0;
	return error_set(err, EOPNOTSUPP, "landlock: this kernel has version %d of it, %s needs %d: \"best_effort\": "
			"true goes on without", version, lacks, version < FIRST_VERSION ? FIRST_VERSION : NET_VERSION);
}

static int add_path(int ruleset, const char *path, uint64_t rights, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = rights };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* nothing there to allow */
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILES;
	if (rule.allowed_access == 0 ||
			syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		return 0;
	return error_sys(err, "landlock: %s", path);
}

static int add_paths(int ruleset, const struct plan_landlock *l, uint64_t handled, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(path_lists); i++) {
		if (!(l->restricts & PLAN_LANDLOCK_BIT(path_lists[i].list)))
			continue;
		strv_foreach(path, list_at(l, path_lists[i].offset)) {
			r = add_path(ruleset, path, path_lists[i].granted & handled, err);
			if (r < 0)
				return r;
		}
	}
	if (!(l->restricts & PLAN_LANDLOCK_BIT(PLAN_LANDLOCK_WRITE)) && handled)
		r = add_path(ruleset, "/", LANDLOCK_ACCESS_FS_REFER, err);
	return r;
}

static int add_ports(int ruleset, const struct plan_landlock *l, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(port_lists); i++) {
		if (!(l->restricts & PLAN_LANDLOCK_BIT(port_lists[i].list)))
			continue;
		strv_foreach(port, list_at(l, port_lists[i].offset)) {
			struct port_attr rule = { .allowed = port_lists[i].right, .port = strtoull(port, NULL, 10) };

			if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) < 0)
				return error_sys(err, "landlock: TCP port %s", port);
		}
	}
	return 0;
}

int landlock_prepare(const struct plan_landlock *l, int *ret_fd, const char **ret_missing, struct error *err)
{
	int version = l->restricts ? landlock_version() : 0, r = l->restricts ? landlock_check(l, err) : 0;
	struct ruleset_attr attr = { .handled_fs = handled_fs(l, version),
		.handled_net = version < NET_VERSION ? 0 : handled_net(l) };
	size_t size = version < NET_VERSION ? sizeof attr.handled_fs : sizeof attr;
	_cleanup_close_ int fd = -1;

	*ret_fd = -1;
	*ret_missing = missing(l, version);
	if (r < 0 || version < FIRST_VERSION || (!attr.handled_fs && !attr.handled_net))
		return r;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return error_sys(err, "landlock: cannot make a ruleset");
	r = add_paths(fd, l, attr.handled_fs, err);
	if (r == 0 && attr.handled_net)
		r = add_ports(fd, l, err);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

int landlock_enforce(int fd)
{
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}
