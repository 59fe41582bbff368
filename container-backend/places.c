/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places beneath the container's root: found and made without ever leaving it, whatever the image's links say and
 * whoever changes them meanwhile. Every step is an openat2 or an *at call on a descriptor beneath the root.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container-backend/places.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum { MAX_LINKS = 40 }; /* as the kernel's own walk */

char *place_clean(const char *path)
{
	size_t len = strlen(path), at = 0;
	char *clean = xcalloc(len + 2, 1);

	for (const char *p = path; *p;) {
		const char *name = p + strspn(p, "/");
		size_t n = strcspn(name, "/");

		p = name + n;
		if (n == 0 || (n == 1 && name[0] == '.'))
			continue;
		if (n == 2 && !memcmp(name, "..", 2)) {
			while (at > 0 && clean[--at] != '/')
				;
			continue;
		}
		clean[at++] = '/';
		memcpy(clean + at, name, n);
		at += n;
	}
	clean[at] = '\0';
	if (at == 0)
		memcpy(clean, "/", 2);
	return clean;
}

bool place_within(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return !strncmp(path, folder, n) && (path[n] == '\0' || path[n] == '/');
}

/* The folder that path is in, in memory of its own. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !slash || slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static int make_clean_dir(int root_fd, const char *path, unsigned depth, struct error *err);

/* A name that is there but leads nowhere: a link whose target is missing, which is then made, within the root. */
static int make_link_target(int root_fd, int parent, const char *path, unsigned depth, struct error *err)
{
	_cleanup_free_ char *folder = folder_of(path), *joined = NULL, *clean = NULL;
	char target[PATH_MAX];
	ssize_t n = readlinkat(parent, strrchr(path, '/') + 1, target, sizeof target - 1);

	if (n < 0)
		return error_set(err, ENOTDIR, "%s: not a folder", path);
	if (depth >= MAX_LINKS)
		return error_set(err, ELOOP, "%s: too many symbolic links", path);
	target[n] = '\0';
	joined = target[0] == '/' ? xstrdup(target) : xasprintf("%s/%s", folder, target);
	clean = place_clean(joined);
	return make_clean_dir(root_fd, clean, depth + 1, err);
}

static int make_clean_dir(int root_fd, const char *path, unsigned depth, struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	_cleanup_close_ int parent = -1;
	const char *name = strrchr(path, '/') + 1;
	int fd = path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);

	if (fd != -ENOENT)
		return fd >= 0 ? fd : error_set(err, -fd, "%s: %s", path, strerror(-fd));
	folder = folder_of(path);
	parent = make_clean_dir(root_fd, folder, depth, err);
	if (parent < 0)
		return parent;
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return error_sys(err, "cannot make the folder %s", path);
	fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : make_link_target(root_fd, parent, path, depth, err);
}

int mounts_make_dir(int root_fd, const char *path, struct error *err)
{
	_cleanup_free_ char *clean = place_clean(path);

	return make_clean_dir(root_fd, clean, 0, err);
}

int mounts_make_file(int root_fd, const char *path, struct error *err)
{
	int fd = path_open_in_root(root_fd, path, O_PATH, 0);
	_cleanup_free_ char *folder = NULL;
	_cleanup_close_ int parent = -1;
	const char *slash = strrchr(path, '/');

	if (fd != -ENOENT)
		return fd >= 0 ? fd : error_set(err, -fd, "%s: %s", path, strerror(-fd));
	if (!slash || !slash[1])
		return error_set(err, EISDIR, "%s: not the name of a file", path);
	folder = folder_of(path);
	parent = mounts_make_dir(root_fd, folder, err);
	if (parent < 0)
		return parent;
	if (mknodat(parent, slash + 1, S_IFREG | 0644, 0) < 0)
		return error_sys(err, "cannot make %s", path);
	fd = openat(parent, slash + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_sys(err, "%s", path) : fd;
}

/* Folders made one by one with no link on the way. */
static int make_strict(int root_fd, const char *path, struct place want, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path + 1);
	int fd = -1;

	for (char *at = copy;;) {
		char *end = at + strcspn(at, "/"), saved = *end;
		bool file = want.file && !saved;

		*end = '\0';
		if ((file ? mknodat(root_fd, copy, S_IFREG | 0644, 0) : mkdirat(root_fd, copy, 0755)) < 0 &&
				errno != EEXIST)
			return error_sys(err, "cannot make /%s", copy);
		fd = path_open_beneath(root_fd, copy, O_PATH, 0);
		if (fd < 0 || !saved)
			break;
		(void)close(fd);
		*end = saved;
		at = end + 1;
	}
	return fd >= 0 ? fd : error_set(err, -fd, "/%s: %s", copy, strerror(-fd));
}

/* A link of the image was followed: not onto procfs, where the names do not tell what is covered. */
static int refuse_procfs(int fd, const char *path, struct error *err)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return error_sys(err, "%s", path);
	return fs.f_type == PROC_SUPER_MAGIC ?
		error_set(err, EPERM, "%s: a symbolic link of the root leads it into procfs", path) : 0;
}

static int open_followed(int root_fd, const char *path, struct place want, struct error *err)
{
	_cleanup_close_ int fd = path_open_in_root(root_fd, path, O_PATH | (want.nofollow ? O_NOFOLLOW : 0), 0);

	if (fd == -ENOENT)
		fd = want.file ? mounts_make_file(root_fd, path, err) : mounts_make_dir(root_fd, path, err);
	else if (fd < 0)
		return error_set(err, -fd, "%s: %s", path, strerror(-fd));
	if (fd < 0)
		return fd;
	return refuse_procfs(fd, path, err) < 0 ? -err->code : steal_fd(&fd);
}

int place_open(int root_fd, const char *path, struct place want, struct error *err)
{
	/* Almost always there is no link: then what was opened is what is named, and no more need be asked. */
	int fd = path_open_beneath(root_fd, path + 1, O_PATH, 0);

	if (fd >= 0)
		return fd;
	if (!want.strict)
		return open_followed(root_fd, path, want, err);
	if (fd == -ENOENT)
		return make_strict(root_fd, path, want, err);
	return error_set(err, -fd, "%s in the root: %s", path,
			fd == -ELOOP ? "a symbolic link or no folder" : strerror(-fd));
}
