/* SPDX-License-Identifier: Apache-2.0 */
/* The mount system calls by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container-backend/mountfd.h"

static int result(int r)
{
	return r < 0 ? -errno : r;
}

int mountfd_clone_at(int dirfd, const char *path, bool recursive, bool nofollow)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) |
		(*path ? 0 : AT_EMPTY_PATH) | (nofollow ? AT_SYMLINK_NOFOLLOW : 0);

	return result(open_tree(dirfd, path, flags));
}

int mountfd_clone(int dirfd, const char *path, bool recursive)
{
	return mountfd_clone_at(dirfd, path, recursive, false);
}

static int set_attributes(int fd, struct mount_attr *attr, bool recursive)
{
	return result(mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), attr, sizeof *attr));
}

int mountfd_set(int fd, uint64_t set, uint64_t clear, bool recursive)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };

	return set || clear ? set_attributes(fd, &attr, recursive) : 0;
}

int mountfd_idmap(int fd, int userns_fd, bool recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };

	return set_attributes(fd, &attr, recursive);
}

int mountfd_propagate(int fd, unsigned long flag)
{
	struct mount_attr attr = { .propagation = flag & ~(unsigned long)MS_REC };

	return set_attributes(fd, &attr, flag & MS_REC);
}

int mountfd_move(int fd, int target_fd)
{
	return result(move_mount(fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int mountfd_move_to(int fd, int dirfd, const char *name)
{
	return result(move_mount(fd, "", dirfd, name, MOVE_MOUNT_F_EMPTY_PATH));
}

int mountfd_fs_open(const char *type)
{
	return result(fsopen(type, FSOPEN_CLOEXEC));
}

int mountfd_fs_set(int fs, const char *key, const char *value)
{
	return result(fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0));
}

int mountfd_fs_mount(int fs, uint64_t attributes)
{
	int r = result(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));

	return r < 0 ? r : result(fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes));
}

int mountfd_fs_error(int fs, int code, struct error *err, const char *what)
{
	char text[256];
	ssize_t n = fs < 0 ? 0 : read(fs, text, sizeof text - 1); /* "e overlay: …", one message a read */

	if (n <= 2)
		return error_set(err, code, "%s: %s", what, strerror(code));
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return error_set(err, code, "%s: %s (%s)", what, strerror(code), text + 2);
}

int mountfd_mount_at(int target_fd, const char *type, unsigned long flags, const char *data)
{
	int r = result(fchdir(target_fd));

	return r < 0 ? r : result(mount(type, ".", type, flags, data));
}
