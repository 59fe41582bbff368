/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's /dev: the nodes and links that every program may expect (runtime-spec, config-linux.md "Default
 * Devices" and "Default Filesystems"), and the plan's devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "container-backend/devnodes.h"
#include "container-backend/idmap.h"
#include "container-backend/mountfd.h"
#include "container-backend/mounts.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { TTY_GROUP = 5, MAX_DEVICES = 512 };

/* What every program may expect; all of them harmless. Numbers: the kernel's Documentation/admin-guide/devices.txt. */
static const struct {
	const char *name;
	unsigned major, minor;
} usual[] = {
	{ "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "core", "/proc/kcore" }, { "ptmx", "pts/ptmx" },
};

/* What a device may be. */
static const struct {
	const char *type;
	mode_t mode;
} kinds[] = { { "c", S_IFCHR }, { "u", S_IFCHR }, { "b", S_IFBLK }, { "p", S_IFIFO } };

bool devnodes_have_tty_group(const struct plan *plan)
{
	return !plan->n_gid_maps || idmap_has(plan->gid_maps, plan->n_gid_maps, TTY_GROUP);
}

/* S_IFCHR and so on; 0: no such type. */
static mode_t kind_of(const struct plan_device *d)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(d->type ? d->type : "c", kinds[i].type))
			return kinds[i].mode;
	return 0;
}

static int check_device(const struct plan_device *d, struct error *err)
{
	if (!d->path || d->path[0] != '/' || strlen(d->path) >= PATH_MAX)
		return error_set(err, EINVAL, ".path: not absolute: %s", d->path ? d->path : "none");
	if (!kind_of(d))
		return error_set(err, EINVAL, ".type: not one of c, u, b, p: %s", d->type);
	if (d->major > 4095 || d->minor > 1048575)
		return error_set(err, EINVAL, ": no device number: %ju:%ju", (uintmax_t)d->major, (uintmax_t)d->minor);
	if (d->mode > 0777)
		return error_set(err, EINVAL, ".mode: more than permissions: %jo", (uintmax_t)d->mode);
	if (d->uid >= UINT32_MAX || d->gid >= UINT32_MAX)
		return error_set(err, EINVAL, ".%s: out of range", d->uid >= UINT32_MAX ? "uid" : "gid");
	return 0;
}

int devnodes_check(const struct plan *plan, struct error *err)
{
	if (plan->n_devices > MAX_DEVICES)
		return error_set(err, E2BIG, "devices: %zu are more than %d", plan->n_devices, MAX_DEVICES);
	for (size_t i = 0; i < plan->n_devices; i++) {
		struct error why;
		int r = check_device(&plan->devices[i], &why);

		if (r < 0)
			return error_set(err, -r, "devices[%zu]%s", i, why.message);
	}
	return 0;
}

/* Binds the host's node of that name, which must be that device, onto an empty file. */
static int bind_node(int folder, const char *name, const char *host_path, mode_t kind, dev_t number)
{
	_cleanup_close_ int source = mountfd_clone(AT_FDCWD, host_path, false);
	struct stat st;

	if (source < 0)
		return source;
	if (fstat(source, &st) < 0 || (st.st_mode & S_IFMT) != kind || st.st_rdev != number)
		return -ENODEV;
	if (mknodat(folder, name, S_IFREG | 0666, 0) < 0)
		return -errno;
	return mountfd_move_to(source, folder, name);
}

static int make_node(const struct plan *plan, int folder, const char *name, const char *host_path, mode_t mode,
		dev_t number)
{
	mode_t kind = mode & S_IFMT;
	struct stat st;
	int code = EPERM; /* what mknod says in a user namespace; it need not be asked */

	if (kind == S_IFIFO || !plan_has_userns(plan))
		code = mknodat(folder, name, mode, number) == 0 ? 0 : errno;
	if (code == EPERM || code == EACCES)
		code = -bind_node(folder, name, host_path, kind, number);
	if (code == EEXIST) /* asked for twice, or one of the usual ones: fine if it is the same */
		return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == kind &&
			(kind == S_IFIFO || st.st_rdev == number) ? 0 : -EEXIST;
	return -code;
}

static int make_device(const struct plan *plan, const struct plan_device *d, int root_fd, struct error *err)
{
	_cleanup_free_ char *path = place_clean(d->path), *folder = xstrdup(path);
	char *slash = strrchr(folder, '/');
	_cleanup_close_ int fd = -1;
	mode_t kind = kind_of(d);
	int r;

	*slash = '\0';
	fd = mounts_make_dir(root_fd, folder[0] ? folder : "/", err);
	if (fd < 0)
		return fd;
	r = make_node(plan, fd, slash + 1, path, kind | (mode_t)d->mode,
			kind == S_IFIFO ? 0 : makedev((unsigned)d->major, (unsigned)d->minor));
	/* In a user namespace the node is the host's: its owner is too. */
	if (r == 0 && (d->uid || d->gid) && (kind == S_IFIFO || !plan_has_userns(plan)) &&
			fchownat(fd, slash + 1, (uid_t)d->uid, (gid_t)d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r < 0 ? error_set(err, -r, "cannot make %s: %s", path, strerror(-r)) : 0;
}

/* The plan's devices that are in /dev, or those that are not. */
static int make_devices(const struct plan *plan, int root_fd, bool in_dev, bool others, struct error *err)
{
	for (size_t i = 0; i < plan->n_devices; i++) {
		_cleanup_free_ char *path = place_clean(plan->devices[i].path);

		if ((place_within(path, "/dev") ? in_dev : others) && strcmp(path, "/dev/ptmx") &&
				make_device(plan, &plan->devices[i], root_fd, err) < 0)
			return error_prefix(err, "devices[%zu]", i);
	}
	return 0;
}

int devnodes_make_usual(const struct plan *plan, int root_fd, int dev, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		char host[32];
		int r;

		(void)snprintf(host, sizeof host, "/dev/%s", usual[i].name); /* fits */
		r = make_node(plan, dev, usual[i].name, host, S_IFCHR | 0666,
				makedev(usual[i].major, usual[i].minor));
		if (r < 0)
			return error_set(err, -r, "cannot make %s: %s", host, strerror(-r));
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
			return error_sys(err, "cannot make /dev/%s", links[i].name);
	return make_devices(plan, root_fd, true, false, err);
}

int devnodes_make_others(const struct plan *plan, int root_fd, bool have_dev, struct error *err)
{
	return make_devices(plan, root_fd, !have_dev, true, err);
}
