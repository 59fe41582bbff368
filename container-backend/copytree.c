/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a folder of the image into a fresh tmpfs. The image may be changed by others meanwhile: everything is opened
 * by name in an open folder, without following links, and looked at after opening. The size is bounded by the tmpfs,
 * the depth here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/copytree.h"
#include "runtime/base/alloc.h"

enum { MAX_DEPTH = 64, CHUNK = 1 << 20 };

static int copy_folder(int from, int to, unsigned depth, dev_t dev);

static int copy_file(int from, int to_dir, const char *name, const struct stat *st)
{
	_cleanup_close_ int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (to < 0)
		return -errno;
	while ((n = sendfile(to, from, NULL, CHUNK)) > 0)
		;
	/* The owner first: a change of it takes set-user-ID bits away. */
	if (n < 0 || fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	return 0;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, target, sizeof target - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to_dir, name) < 0 ||
			fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_fifo(int to_dir, const char *name, const struct stat *st)
{
	if (mknodat(to_dir, name, S_IFIFO | (st->st_mode & 0777), 0) < 0 ||
			fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_entry(int from_dir, int to_dir, const char *name, unsigned depth, dev_t dev)
{
	_cleanup_close_ int from = -1, to = -1;
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISLNK(st.st_mode))
		return copy_link(from_dir, to_dir, name, &st);
	if (S_ISFIFO(st.st_mode))
		return copy_fifo(to_dir, name, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	/* Not to hang on a FIFO, nor touch a device, that took its place. */
	from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	if (fstat(from, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return copy_file(from, to_dir, name, &st);
	if (!S_ISDIR(st.st_mode) || st.st_dev != dev)
		return 0;
	if (depth >= MAX_DEPTH)
		return -ELOOP;
	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return to < 0 ? -errno : copy_folder(from, to, depth + 1, dev);
}

static int copy_folder(int from, int to, unsigned depth, dev_t dev)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		r = -errno;
		close_cleanup(&fd);
		return r;
	}
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = copy_entry(fd, to, entry->d_name, depth, dev);
	if (r == 0 && errno)
		r = -errno;
	if (r == 0 && depth > 0 && (fstat(fd, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
			fchmod(to, st.st_mode & 07777) < 0))
		r = -errno;
	(void)closedir(dir);
	return r;
}

int copytree(int from, int to, struct error *err)
{
	_cleanup_close_ int folder = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (folder < 0 || fstat(from, &st) < 0)
		return error_sys(err, "cannot open the folder");
	r = copy_folder(from, folder, 0, st.st_dev);
	return r < 0 ? error_set(err, -r, "cannot copy: %s", strerror(-r)) : 0;
}
