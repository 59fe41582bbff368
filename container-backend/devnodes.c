/* SPDX-License-Identifier: Apache-2.0 */
/* The container's /dev. */
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

enum { TTY_GROUP = 5, MAX_DEVICES = 64 };

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

bool devnodes_have_tty_group(const struct plan *plan)
{
	return !(plan->namespaces & PLAN_NS(USER)) || idmap_has(plan->gid_maps, plan->n_gid_maps, TTY_GROUP);
}

int devnodes_check(const struct plan *plan, struct error *err)
{
	if (plan->n_devices > MAX_DEVICES)
		return error_set(err, E2BIG, "devices: %zu are more than %d", plan->n_devices, MAX_DEVICES);
	for (size_t i = 0; i < plan->n_devices; i++) {
		const struct plan_device *d = &plan->devices[i];

		if (!d->path || d->path[0] != '/' || strlen(d->path) >= PATH_MAX)
			return error_set(err, EINVAL, "devices[%zu].path: not absolute: %s", i,
					d->path ? d->path : "none");
		if (d->major > 4095 || d->minor > 1048575)
			return error_set(err, EINVAL, "devices[%zu]: no device number: %ju:%ju", i, (uintmax_t)d->major,
					(uintmax_t)d->minor);
		if (d->mode > 0777)
			return error_set(err, EINVAL, "devices[%zu].mode: more than permissions: %jo", i,
					(uintmax_t)d->mode);
	}
	return 0;
}

/* Binds the host's node of that name, which must be that device, onto an empty file. */
static int bind_node(int folder, const char *name, const char *host_path, dev_t number)
{
	_cleanup_close_ int source = mountfd_clone(AT_FDCWD, host_path, false), made = -1, target = -1;
	struct stat st;

	if (source < 0)
		return source;
	if (fstat(source, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != number)
		return -ENODEV;
	made = openat(folder, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	target = made < 0 ? -1 : openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return target < 0 ? -errno : mountfd_move(source, target);
}

static int make_node(int folder, const char *name, const char *host_path, mode_t mode, dev_t number)
{
	struct stat st;

	if (mknodat(folder, name, S_IFCHR | mode, number) == 0)
		return 0;
	if (errno == EEXIST) /* asked for twice, or one of the usual ones: fine if it is the same */
		return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
			st.st_rdev == number ? 0 : -EEXIST;
	return errno == EPERM || errno == EACCES ? bind_node(folder, name, host_path, number) : -errno;
}

static int make_device(const struct plan_device *d, int root_fd, struct error *err)
{
	_cleanup_free_ char *folder = xstrdup(d->path);
	char *slash = strrchr(folder, '/');
	_cleanup_close_ int fd = -1;
	int s;

	*slash = '\0';
	fd = mounts_make_dir(root_fd, folder[0] ? folder : "/", err);
	if (fd < 0)
		return fd;
	s = make_node(fd, slash + 1, d->path, (mode_t)d->mode, makedev((unsigned)d->major, (unsigned)d->minor));
	return s < 0 ? error_set(err, -s, "cannot make %s: %s", d->path, strerror(-s)) : 0;
}

static int make_folders(int dev, struct error *err)
{
	static const char *const folders[] = { "pts", "shm", "mqueue" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (mkdirat(dev, folders[i], 0755) < 0 && errno != EEXIST)
			return error_sys(err, "cannot make /dev/%s", folders[i]);
	return 0;
}

int devnodes_make(const struct plan *plan, int root_fd, struct error *err)
{
	_cleanup_close_ int dev = path_open_beneath(root_fd, "dev", O_PATH | O_DIRECTORY, 0);
	int s;

	if (dev < 0)
		return error_set(err, -dev, "/dev: %s", strerror(-dev));
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		char host[32];

		(void)snprintf(host, sizeof host, "/dev/%s", usual[i].name); /* fits */
		s = make_node(dev, usual[i].name, host, 0666, makedev(usual[i].major, usual[i].minor));
		if (s < 0)
			return error_set(err, -s, "cannot make %s: %s", host, strerror(-s));
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
			return error_sys(err, "cannot make /dev/%s", links[i].name);
	s = make_folders(dev, err);
	for (size_t i = 0; s == 0 && i < plan->n_devices; i++)
		if (make_device(&plan->devices[i], root_fd, err) < 0)
			s = error_prefix(err, "devices[%zu]", i);
	return s;
}
