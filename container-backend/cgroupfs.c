/* SPDX-License-Identifier: Apache-2.0 */
/* The view of its control group that a container is given. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/cgroupfs.h"
#include "container-backend/mountfd.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

enum { SHOW_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC };

int cgroupfs_list(const char *group, char **ret_list, struct error *err)
{
	_cleanup_strbuf_ struct strbuf list = { 0 };
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (!group)
		return error_set(err, EOPNOTSUPP,
				"mounts: type: cgroup: the container has no control group on this host");
	if (file_read_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL, err) < 0)
		return -err->code;
	rest = text;
	while ((line = strsep(&rest, "\n"))) { /* "4:memory:/path", or "0::/path" for v2 */
		char *controllers = strchr(line, ':'), *path = controllers ? strchr(++controllers, ':') : NULL;

		if (!path || path[1] != '/' || strcmp(path + 2, group))
			continue;
		*path = '\0';
		strbuf_printf(&list, "%s\n", *controllers ? controllers : "unified");
	}
	if (!list.text)
		return error_set(err, ENOENT, "mounts: type: cgroup: the container is not in %s", group);
	*ret_list = steal_ptr(list.text);
	return 0;
}

static int show_hierarchy(int folder, const char *controllers)
{
	_cleanup_close_ int place = -1;

	if (mkdirat(folder, controllers, 0555) < 0)
		return -errno;
	place = openat(folder, controllers, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return place < 0 ? -errno : mountfd_mount_at(place, "cgroup", SHOW_FLAGS, controllers);
}

static int show_v1(int target_fd, char *rest)
{
	_cleanup_close_ int fs = mountfd_fs_open("tmpfs"), fd = -1;
	int s = fs < 0 ? fs : mountfd_fs_set(fs, "mode", "0555");
	char *name;

	fd = s < 0 ? s : mountfd_fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	s = fd < 0 ? fd : mountfd_move(fd, target_fd);
	while (s == 0 && (name = strsep(&rest, "\n")))
		if (*name)
			s = show_hierarchy(fd, name);
	return s < 0 ? s : mountfd_set(fd, MOUNT_ATTR_RDONLY, 0, false);
}

int cgroupfs_mount(int target_fd, const char *list, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(list ? list : "");
	int s = strcmp(copy, "unified\n") ? show_v1(target_fd, copy)
		: mountfd_mount_at(target_fd, "cgroup2", SHOW_FLAGS, NULL);

	return s < 0 ? error_set(err, -s, "cannot mount the control group: %s", strerror(-s)) : 0;
}
