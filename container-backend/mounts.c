/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts beneath the container's root: the base that every container has, the plan's own, and the paths that are shown
 * read-only or not at all.
 *
 * The image is hostile: its symbolic links may point anywhere. /proc, /dev and /sys are opened with links forbidden
 * (else procfs could be put where the workload chooses, and later writes to it would go astray); all other places are
 * resolved as if the root were "/". Sources come from the plan, that is from the user, and are resolved on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "container-backend/cgroupfs.h"
#include "container-backend/devnodes.h"
#include "container-backend/mount_options.h"
#include "container-backend/mountfd.h"
#include "container-backend/mounts.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { MAX_MOUNTS = 512 };

/* What every container has, unless the plan mounts something else at the same place. In order. */
static const struct base {
	const char *path, *type;
	unsigned long flags;
	const char *data;
	uint64_t needs; /* PLAN_NS bits without which it would show the host's; it is then left out (proc, sys: kept) */
} bases[] = {
	{ "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0 },
	{ "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=1m", 0 },
	{ "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620", 0 },
	{ "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m", 0 },
	{ "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, PLAN_NS(IPC) },
	{ "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0 },
};

static const char *const types[] = { "bind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup" };

/* The same place in two spellings: slashes repeated or trailing do not matter. */
static bool same_path(const char *a, const char *b)
{
	for (;;) {
		while (a[0] == '/' && (a[1] == '/' || a[1] == '\0'))
			a++;
		while (b[0] == '/' && (b[1] == '/' || b[1] == '\0'))
			b++;
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

static bool is_base(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (same_path(path, bases[i].path))
			return true;
	return false;
}

static bool has_dotdot(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return true;
	return false;
}

static int check_mount(const struct plan_mount *m, struct error *err)
{
	struct mount_options options;
	bool known = false;

	if (!m->destination || m->destination[0] != '/' || strlen(m->destination) >= PATH_MAX ||
			has_dotdot(m->destination))
		return error_set(err, EINVAL, "destination: not a plain absolute path: %s",
				m->destination ? m->destination : "none");
	if (same_path(m->destination, "/"))
		return error_set(err, EINVAL, "destination: /: the root itself cannot be mounted over");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		known |= m->type && !strcmp(m->type, types[i]);
	if (!known)
		return error_set(err, EINVAL, "type: unknown: %s", m->type ? m->type : "none");
	if (mount_options_parse(m->options, 0, &options, err) < 0)
		return error_prefix(err, "options");
	if (strcmp(m->type, "bind"))
		return 0;
	if (options.data[0])
		return error_set(err, EINVAL, "options: not for a bind mount: %s", options.data);
	if (!m->source || m->source[0] != '/')
		return error_set(err, EINVAL, "source: not absolute: %s", m->source ? m->source : "none");
	if (access(m->source, F_OK) < 0)
		return error_sys(err, "source: %s", m->source);
	return 0;
}

int mounts_check(const struct plan *plan, struct error *err)
{
	if (plan->n_mounts > MAX_MOUNTS)
		return error_set(err, E2BIG, "mounts: %zu are more than %d", plan->n_mounts, MAX_MOUNTS);
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (check_mount(&plan->mounts[i], err) < 0)
			return error_prefix(err, "mounts[%zu]", i);
	return 0;
}

int mounts_open(struct mounts *ret, const struct plan *plan, struct error *err)
{
	*ret = (struct mounts){ .sources = xcalloc(plan->n_mounts, sizeof *ret->sources), .n = plan->n_mounts };
	for (size_t i = 0; i < plan->n_mounts; i++) {
		const struct plan_mount *m = &plan->mounts[i];
		struct mount_options options;
		int s;

		ret->sources[i] = -1;
		if (strcmp(m->type, "bind"))
			continue;
		if (mount_options_parse(m->options, 0, &options, err) < 0)
			return error_prefix(err, "mounts[%zu].options", i);
		/* In a user namespace the mounts below are locked to the copied one and have to come along. */
		ret->sources[i] = mountfd_clone(AT_FDCWD, m->source,
				options.recursive || plan->namespaces & PLAN_NS(USER));
		s = ret->sources[i];
		if (s >= 0)
			s = mountfd_set(ret->sources[i], options.set, options.clear, true);
		if (s < 0)
			return error_set(err, -s, "mounts[%zu].source: %s: %s", i, m->source, strerror(-s));
	}
	return 0;
}

int mounts_make_dir(int root_fd, const char *path, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	_cleanup_close_ int parent = -1;
	int fd = path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);

	if (fd != -ENOENT)
		return fd >= 0 ? fd : error_set(err, -fd, "%s: %s", path, strerror(-fd));
	parent = path_open_in_root(root_fd, "/", O_PATH | O_DIRECTORY, 0);
	for (char *at = copy; *at;) {
		char *name = at + strspn(at, "/"), *end = name + strcspn(name, "/"), saved = *end;

		if (end == name)
			break;
		*end = '\0';
		fd = path_open_in_root(root_fd, copy, O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT) {
			/* EEXIST: a symbolic link to nowhere, which the next line tells. */
			if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
				return error_sys(err, "cannot make the folder %s", copy);
			fd = path_open_in_root(root_fd, copy, O_PATH | O_DIRECTORY, 0);
		}
		if (fd < 0)
			return error_set(err, -fd, "%s: %s", copy, strerror(-fd));
		(void)close(parent);
		parent = fd;
		*end = saved;
		at = end;
	}
	return steal_fd(&parent);
}

int mounts_make_file(int root_fd, const char *path, struct error *err)
{
	_cleanup_free_ char *folder = xstrdup(path);
	_cleanup_close_ int parent = -1, made = -1;
	int fd = path_open_in_root(root_fd, path, O_PATH, 0);
	char *slash = strrchr(folder, '/');

	if (fd != -ENOENT)
		return fd >= 0 ? fd : error_set(err, -fd, "%s: %s", path, strerror(-fd));
	if (!slash || !slash[1])
		return error_set(err, EISDIR, "%s: not the name of a file", path);
	*slash = '\0';
	parent = mounts_make_dir(root_fd, folder[0] ? folder : "/", err);
	if (parent < 0)
		return parent;
	made = openat(parent, slash + 1, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (made < 0)
		return error_sys(err, "cannot make %s", path);
	fd = openat(parent, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_sys(err, "%s", path) : fd;
}

/* A base folder: a real one in a real one, no link anywhere. */
static int open_base(int root_fd, const char *path, struct error *err)
{
	int fd = path_open_beneath(root_fd, path + 1, O_PATH | O_DIRECTORY, 0);

	if (fd == -ENOENT && mkdirat(root_fd, path + 1, 0755) == 0)
		fd = path_open_beneath(root_fd, path + 1, O_PATH | O_DIRECTORY, 0);
	return fd >= 0 ? fd : error_set(err, -fd, "%s in the root: %s", path,
			fd == -ELOOP || fd == -ENOTDIR ? "a symbolic link or no folder" : strerror(-fd));
}

static int place_bind(const struct mounts *m, size_t i, int root_fd, const char *path, struct error *err)
{
	_cleanup_close_ int target = -1;
	struct stat st;
	int s;

	if (fstat(m->sources[i], &st) < 0)
		return error_sys(err, "source");
	target = S_ISDIR(st.st_mode) ? mounts_make_dir(root_fd, path, err) : mounts_make_file(root_fd, path, err);
	if (target < 0)
		return error_prefix(err, "destination");
	s = mountfd_move(m->sources[i], target);
	return s < 0 ? error_set(err, -s, "cannot bind to %s: %s", path, strerror(-s)) : 0;
}

static int place_filesystem(const struct plan_mount *m, int root_fd, const char *groups, struct error *err)
{
	unsigned long base = strcmp(m->type, "sysfs") ? 0 : MS_RDONLY;
	bool known = is_base(m->destination);
	_cleanup_close_ int target = known ? open_base(root_fd, m->destination, err)
		: mounts_make_dir(root_fd, m->destination, err);
	struct mount_options options;
	int s;

	if (target < 0)
		return error_prefix(err, "destination");
	if (strcmp(m->type, "tmpfs"))
		base |= MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (!strcmp(m->type, "devpts"))
		base &= ~(unsigned long)MS_NODEV;
	if (mount_options_parse(m->options, base, &options, err) < 0)
		return error_prefix(err, "options");
	if (!strcmp(m->type, "cgroup"))
		return cgroupfs_mount(target, groups, err);
	s = mountfd_mount_at(target, m->type, options.flags, options.data);
	return s < 0 ? error_set(err, -s, "cannot mount %s on %s: %s", m->type, m->destination, strerror(-s)) : 0;
}

static int place(const struct mounts *mounts, const struct plan *plan, size_t i, int root_fd, const char *groups,
		struct error *err)
{
	const struct plan_mount *m = &plan->mounts[i];
	int s = strcmp(m->type, "bind") ? place_filesystem(m, root_fd, groups, err)
		: place_bind(mounts, i, root_fd, m->destination, err);

	return s < 0 ? error_prefix(err, "mounts[%zu]", i) : 0;
}

/* sysfs belongs to a network namespace: a user namespace that has none of its own is shown the host's, read-only. */
static int bind_host_sys(int target)
{
	_cleanup_close_ int fd = mountfd_clone(AT_FDCWD, "/sys", true);
	int s = fd < 0 ? fd : mountfd_set(fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			MOUNT_ATTR_NOEXEC, 0, true);

	return s < 0 ? s : mountfd_move(fd, target);
}

static int mount_base(const struct base *b, const struct plan *plan, int root_fd, struct error *err)
{
	_cleanup_close_ int target = -1;
	char data[128];
	int s;

	if (b->needs & ~plan->namespaces)
		return 0;
	target = open_base(root_fd, b->path, err);
	if (target < 0)
		return target;
	(void)snprintf(data, sizeof data, "%s%s", b->data ? b->data : "", /* fits */
			!strcmp(b->type, "devpts") && devnodes_have_tty_group(plan) ? ",gid=5" : "");
	s = mountfd_mount_at(target, b->type, b->flags, data);
	if (s == -EPERM && !strcmp(b->type, "sysfs"))
		s = bind_host_sys(target);
	return s < 0 ? error_set(err, -s, "cannot mount %s: %s", b->path, strerror(-s)) : 0;
}

int mounts_base(const struct mounts *m, const struct plan *plan, int root_fd, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		bool replaced = false, ours = true;
		int s = 0;

		for (size_t j = 0; s == 0 && j < plan->n_mounts; j++)
			if (same_path(plan->mounts[j].destination, bases[i].path)) {
				s = place(m, plan, j, root_fd, NULL, err);
				replaced = true;
				ours = strcmp(plan->mounts[j].type, "bind"); /* nodes made there would be the host's */
			}
		if (s == 0 && !replaced)
			s = mount_base(&bases[i], plan, root_fd, err);
		if (s == 0 && ours && !strcmp(bases[i].path, "/dev"))
			s = devnodes_make(plan, root_fd, err);
		if (s < 0)
			return s;
	}
	return 0;
}

bool mounts_need_cgroup(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (!strcmp(plan->mounts[i].type, "cgroup"))
			return true;
	return false;
}

/* The nodes are made in a tmpfs at /dev as soon as it is there: later mounts may lie on them. */
int mounts_plan(const struct mounts *m, const struct plan *plan, int root_fd, const char *groups, struct error *err)
{
	for (size_t i = 0; i < plan->n_mounts; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		int s;

		if (!plan->mounts_exact && is_base(mount->destination))
			continue;
		s = place(m, plan, i, root_fd, groups, err);
		if (s == 0 && plan->mounts_exact && same_path(mount->destination, "/dev") && !strcmp(mount->type, "tmpfs"))
			s = devnodes_make(plan, root_fd, err);
		if (s < 0)
			return s;
	}
	return 0;
}

static int protect_readonly(int root_fd, const char *path)
{
	_cleanup_close_ int place_fd = path_open_in_root(root_fd, path, O_PATH, 0), fd = -1;
	int s;

	if (place_fd < 0)
		return place_fd == -ENOENT ? 0 : place_fd;
	fd = mountfd_clone(place_fd, "", true);
	s = fd < 0 ? fd : mountfd_set(fd, MOUNT_ATTR_RDONLY, 0, true);
	return s < 0 ? s : mountfd_move(fd, place_fd);
}

/* What covers a masked path: a first mount of each kind is made, then copied. */
struct masks {
	int file, folder; /* -1: not yet */
};

/* The mask of files: the container's null device, which must be one. */
static int open_null(int root_fd)
{
	_cleanup_close_ int null = path_open_beneath(root_fd, "dev/null", O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (null < 0)
		return null;
	if (fstat(null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return -ENODEV;
	return mountfd_clone(null, "", false);
}

static int open_empty_folder(void)
{
	_cleanup_close_ int fs = mountfd_fs_open("tmpfs");
	int s = fs < 0 ? fs : mountfd_fs_set(fs, "mode", "0555");

	return s < 0 ? s : mountfd_fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static int protect_masked(int root_fd, const char *path, struct masks *masks)
{
	_cleanup_close_ int place_fd = path_open_in_root(root_fd, path, O_PATH, 0), copy = -1;
	struct stat st;
	bool folder;
	int *mask, s;

	if (place_fd < 0)
		return place_fd == -ENOENT ? 0 : place_fd;
	if (fstat(place_fd, &st) < 0)
		return -errno;
	folder = S_ISDIR(st.st_mode);
	mask = folder ? &masks->folder : &masks->file;
	if (*mask >= 0) {
		copy = mountfd_clone(*mask, "", false); /* of a mount in place: detached ones cannot be copied */
		return copy < 0 ? copy : mountfd_move(copy, place_fd);
	}
	*mask = folder ? open_empty_folder() : open_null(root_fd);
	s = *mask < 0 ? *mask : mountfd_set(*mask, MOUNT_ATTR_RDONLY, 0, false);
	return s < 0 ? s : mountfd_move(*mask, place_fd);
}

int mounts_protect(const struct plan *plan, int root_fd, struct error *err)
{
	struct masks masks = { -1, -1 };
	int s = 0;

	strv_foreach(path, plan->readonly_paths) {
		s = protect_readonly(root_fd, path);
		if (s < 0)
			return error_set(err, -s, "readonly_paths: %s: %s", path, strerror(-s));
	}
	strv_foreach(path, plan->masked_paths) {
		s = protect_masked(root_fd, path, &masks);
		if (s < 0) {
			(void)error_set(err, -s, "masked_paths: %s: %s", path, strerror(-s));
			break;
		}
	}
	close_cleanup(&masks.file);
	close_cleanup(&masks.folder);
	return s < 0 ? s : 0;
}
