/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths that the workload is shown read-only, or not at all.
 *
 * Most of them are files right in /proc and /sys. Those two are opened once, with links forbidden; in them the kernel
 * itself is the author of every name, and move_mount and open_tree follow no last link, so a name is enough. Any other
 * path is opened as if the root were "/": a link in the image leads to what the workload would reach by it. A path that
 * is not there is no error. What covers a file is the container's null device, looked at before it is used, since an
 * image may have put something else there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container-backend/mountfd.h"
#include "container-backend/mounts.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

static const struct {
	const char *path;
	long type;
} kernels[] = { { "/proc", PROC_SUPER_MAGIC }, { "/sys", SYSFS_MAGIC } };

struct protect {
	int root;
	int kernel[ARRAY_LEN(kernels)]; /* -1: not opened yet, or not what it should be */
	bool looked[ARRAY_LEN(kernels)];
	int file, folder;               /* the first mask of each kind, in its place; -1: none yet */
	int spare;                      /* a copy of file that found no place yet */
};

/* The folder and name of a path, if it is right in the kernel's own /proc or /sys. */
static int in_kernel(struct protect *p, const char *path, const char **ret_name)
{
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		size_t n = strlen(kernels[i].path);
		struct statfs fs;

		if (strncmp(path, kernels[i].path, n) || path[n] != '/' || !path[n + 1] || strchr(path + n + 1, '/'))
			continue;
		if (!p->looked[i]) {
			p->looked[i] = true;
			p->kernel[i] = path_open_beneath(p->root, kernels[i].path + 1, O_PATH | O_DIRECTORY, 0);
			if (p->kernel[i] >= 0 && (fstatfs(p->kernel[i], &fs) < 0 || fs.f_type != kernels[i].type)) {
				(void)close(p->kernel[i]);
				p->kernel[i] = -1;
			}
		}
		*ret_name = path + n + 1;
		return p->kernel[i];
	}
	return -1;
}

/* ENOTDIR: on the way there is a file, so there is no such path. */
static bool is_missing(int r)
{
	return r == -ENOENT || r == -ENOTDIR;
}

static int protect_readonly(struct protect *p, const char *path)
{
	_cleanup_close_ int place = -1, fd = -1;
	const char *name = "";
	int in = in_kernel(p, path, &name), r;

	if (in < 0) {
		place = path_open_in_root(p->root, path, O_PATH, 0);
		if (place < 0)
			return is_missing(place) ? 0 : place;
	}
	fd = mountfd_clone_at(in >= 0 ? in : place, name, true, true);
	if (fd < 0)
		return is_missing(fd) ? 0 : fd;
	r = mountfd_set(fd, MOUNT_ATTR_RDONLY, 0, true);
	if (r < 0)
		return r;
	return in >= 0 ? mountfd_move_to(fd, in, name) : mountfd_move(fd, place);
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* A detached copy of the null device, read-only so that nobody changes its mode through it. */
static int open_null(const struct protect *p)
{
	_cleanup_close_ int null = path_open_beneath(p->root, "dev/null", O_PATH, 0), fd = -1;
	int r;

	if (null == -ELOOP || (null >= 0 && !is_null(null)))
		return -ENODEV;
	/* A container without any: the host's. */
	fd = null >= 0 ? mountfd_clone(null, "", false) : mountfd_clone(AT_FDCWD, "/dev/null", false);
	if (fd < 0)
		return fd;
	if (null < 0 && !is_null(fd))
		return -ENODEV;
	r = mountfd_set(fd, MOUNT_ATTR_RDONLY, 0, false);
	return r < 0 ? r : steal_fd(&fd);
}

static int open_empty_folder(void)
{
	_cleanup_close_ int fs = mountfd_fs_open("tmpfs");
	int r = fs < 0 ? fs : mountfd_fs_set(fs, "mode", "0555");

	return r < 0 ? r : mountfd_fs_mount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			MOUNT_ATTR_NOEXEC);
}

static int move(int fd, int folder, const char *name)
{
	return *name ? mountfd_move_to(fd, folder, name) : mountfd_move(fd, folder);
}

/* Detached mounts cannot be copied before Linux 6.15: the first one is placed, then copied from its place. */
static int mask_file(struct protect *p, int folder, const char *name)
{
	bool first = p->file < 0;
	int r;

	if (p->spare < 0) {
		p->spare = first ? open_null(p) : mountfd_clone(p->file, "", false);
		if (p->spare < 0)
			return p->spare;
	}
	r = move(p->spare, folder, name);
	if (r < 0)
		return r; /* the copy stays for the next path */
	if (first)
		p->file = p->spare;
	else
		(void)close(p->spare);
	p->spare = -1;
	return 0;
}

static int mask_folder(struct protect *p, int folder, const char *name)
{
	_cleanup_close_ int copy = -1;

	if (p->folder < 0) {
		p->folder = open_empty_folder();
		return p->folder < 0 ? p->folder : move(p->folder, folder, name);
	}
	copy = mountfd_clone(p->folder, "", false);
	return copy < 0 ? copy : move(copy, folder, name);
}

static int protect_masked(struct protect *p, const char *path)
{
	_cleanup_close_ int place = -1;
	const char *name = "";
	int in = in_kernel(p, path, &name), r;

	if (in < 0) {
		struct stat st;

		place = path_open_in_root(p->root, path, O_PATH, 0);
		if (place < 0)
			return is_missing(place) ? 0 : place;
		if (fstat(place, &st) < 0)
			return -errno;
		return S_ISDIR(st.st_mode) ? mask_folder(p, place, "") : mask_file(p, place, "");
	}
	/* Most are files: to try is cheaper than to ask. */
	r = mask_file(p, in, name);
	if (r == -ENOTDIR || r == -EINVAL) /* a file onto a folder */
		r = mask_folder(p, in, name);
	return r == -ENOENT ? 0 : r;
}

int mounts_protect(const struct plan *plan, int root_fd, struct error *err)
{
	struct protect p = { .root = root_fd, .kernel = { -1, -1 }, .file = -1, .folder = -1, .spare = -1 };
	int r = 0;

	for (char *const *path = plan->readonly_paths; r == 0 && path && *path; path++) {
		r = protect_readonly(&p, *path);
		if (r < 0)
			(void)error_set(err, -r, "readonly_paths: %s: %s", *path, strerror(-r));
	}
	for (char *const *path = plan->masked_paths; r == 0 && path && *path; path++) {
		r = protect_masked(&p, *path);
		if (r < 0)
			(void)error_set(err, -r, "masked_paths: %s: %s", *path, strerror(-r));
	}
	close_cleanup(&p.file);
	close_cleanup(&p.folder);
	close_cleanup(&p.spare);
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++)
		close_cleanup(&p.kernel[i]);
	return r < 0 ? r : 0;
}
