/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders: whole reads, atomic writes, resolution that cannot leave a root, removal of trees. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"

int path_mkdirs(const char *path, mode_t mode, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);

	if (mkdir(path, mode) == 0)
		return 0;
	for (char *slash = copy + 1; *copy && (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST && errno != EROFS)
			return error_sys(err, "cannot make the folder %s", copy);
		*slash = '/';
	}
	if (mkdir(path, mode) < 0) {
		struct stat st;

		if (errno != EEXIST)
			return error_sys(err, "cannot make the folder %s", path);
		if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
			return error_set(err, ENOTDIR, "%s is in the way: not a folder", path);
	}
	return 0;
}

int file_read_at(int dirfd, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len = 0, size = 4096;

	if (fd < 0)
		return error_sys(err, "cannot open %s", path);
	for (;;) {
		ssize_t n;

		text = xreallocarray(text, size + 1, 1);
		n = fd_read_full(fd, text + len, size - len);
		if (n < 0) {
			errno = (int)-n;
			return error_sys(err, "cannot read %s", path);
		}
		len += (size_t)n;
		if (len > max)
			return error_set(err, EFBIG, "%s is larger than %zu bytes", path, max);
		if (len < size)
			break;
		size *= 4;
	}
	text[len] = '\0';
	*ret_text = steal_ptr(text);
	if (ret_len)
		*ret_len = len;
	return 0;
}

static int rename_over(int dirfd, const char *from, const char *to)
{
	return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
}

/* Whatever is not a first write or a swap falls back to the plain rename. */
static int rename_or_swap(int dirfd, const char *from, const char *to)
{
	if (renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST && renameat2(dirfd, from, dirfd, to, RENAME_EXCHANGE) == 0)
		return unlinkat(dirfd, from, 0) < 0 ? -errno : 0;
	return rename_over(dirfd, from, to);
}

static int write_and_place(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
		int (*place)(int dirfd, const char *from, const char *to), struct error *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.%d.tmp", path, (int)getpid());
	_cleanup_close_ int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return error_sys(err, "cannot write %s", path);
	r = fd_write_full(fd, data, len);
	if (r == 0)
		r = place(dirfd, tmp, path);
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0); /* the write's error is the one to tell */
		errno = -r;
		return error_sys(err, "cannot write %s", path);
	}
	return 0;
}

int file_write_atomic(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	return write_and_place(dirfd, path, data, len, mode, rename_over, err);
}

int file_write_volatile(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	return write_and_place(dirfd, path, data, len, mode, rename_or_swap, err);
}

int file_write_once(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int open_resolved(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)flags | O_CLOEXEC, .resolve = resolve };
	long fd;

	if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		how.mode = mode;
	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
	while (fd < 0 && errno == EAGAIN); /* a rename raced with the walk */
	return fd < 0 ? -errno : (int)fd;
}

int path_open_in_root(int dirfd, const char *path, int flags, mode_t mode)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	return open_resolved(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

static int remove_children(int fd, dev_t dev, unsigned depth, struct error *err);

static int remove_entry(int dirfd, const char *name, dev_t dev, unsigned depth, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != EACCES)
		return error_sys(err, "cannot remove %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES) { /* our own folder with a mode that shuts us out (not root) */
		(void)!fchmodat(dirfd, name, 0700, 0); /* if it fails, so does the open below */
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return error_sys(err, "cannot remove %s", name);
	if (fstat(fd, &st) < 0)
		return error_sys(err, "cannot remove %s", name);
	if (dev && st.st_dev != dev)
		return error_set(err, EXDEV, "cannot remove %s: something is mounted there", name);
	if ((st.st_mode & 0700) != 0700)
		(void)fchmod(fd, 0700); /* if it matters, removal fails by name */
	r = remove_children(fd, st.st_dev, depth + 1, err);
	if (r < 0)
		return r;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_sys(err, "cannot remove %s", name);
	return 0;
}

static int remove_children(int fd, dev_t dev, unsigned depth, struct error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), r = 0;
	struct dirent *e;
	DIR *d;

	if (depth > 4000)
		return error_set(err, ELOOP, "cannot remove a tree more than 4000 folders deep");
	d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		r = error_sys(err, "cannot list a folder");
		if (copy >= 0)
			(void)close(copy);
		return r;
	}
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = remove_entry(fd, e->d_name, dev, depth, err);
	(void)closedir(d);
	return r;
}

int path_remove_tree(int dirfd, const char *name, struct error *err)
{
	return remove_entry(dirfd, name, 0, 0, err);
}

int path_check_output(const char *option, const char *path, struct error *err)
{
	_cleanup_free_ char *dir = NULL;
	const char *slash;

	if (!path || !strcmp(path, "-"))
		return 0;
	slash = strrchr(path, '/');
	dir = slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
	return access(dir, W_OK) < 0 ? error_sys(err, "%s %s: cannot write to its folder", option, path) : 0;
}

char *path_program_dir(void)
{
	char path[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return xstrdup(path);
}

bool path_beneath(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	while (len > 1 && folder[len - 1] == '/')
		len--;
	return len == 1 || (!strncmp(path, folder, len) && (path[len] == '\0' || path[len] == '/'));
}
