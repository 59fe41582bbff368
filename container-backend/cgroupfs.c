/* SPDX-License-Identifier: Apache-2.0 */
/* The view of its control group that a container is given. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container-backend/cgroupfs.h"
#include "container-backend/mountfd.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

int cgroupfs_list(const char *group, char **ret_list, struct error *err)
{
	_cleanup_strbuf_ struct strbuf list = { 0 };
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL, err) < 0)
		return -err->code;
	rest = text;
	while ((line = strsep(&rest, "\n"))) { /* "4:memory:/path", or "0::/path" for v2 */
		char *controllers = strchr(line, ':'), *path = controllers ? strchr(++controllers, ':') : NULL;

		if (!path || path[1] != '/' || (group && strcmp(path + 2, group + strspn(group, "/"))))
			continue;
		*path = '\0';
		strbuf_printf(&list, "%s %s\n", *controllers ? controllers : "unified", path + 1);
	}
	if (!list.text && group)
		return error_set(err, ENOENT, "type: cgroup: the container is not in %s", group);
	*ret_list = list.text ? steal_ptr(list.text) : xstrdup("");
	return 0;
}

/* The container's own group of a hierarchy, as the host has it mounted in the
 * usual place, onto place or a name in it. */
static int bind_group(int place, const char *name, const char *hierarchy, const char *path, uint64_t attributes)
{
	_cleanup_free_ char *source = xasprintf("/sys/fs/cgroup%s%s%s", *hierarchy ? "/" : "", hierarchy, path);
	_cleanup_close_ int fd = mountfd_clone(AT_FDCWD, source, false);
	int r = fd < 0 ? fd : mountfd_set(fd, attributes, 0, false);

	if (r < 0)
		return r;
	return *name ? mountfd_move_to(fd, place, name) : mountfd_move(fd, place);
}

/* MS_ flags that a group's mount can have, as MOUNT_ATTR_. */
static uint64_t attributes_of(unsigned long flags)
{
	return (flags & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0) | (flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
		(flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0) | (flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
}

/* "name=systemd" is a hierarchy without a controller; its folder is "systemd". */
static const char *folder_of(const char *controllers)
{
	return strncmp(controllers, "name=", 5) ? controllers : controllers + 5;
}

static int show_hierarchy(int folder, const char *controllers, const char *path, unsigned long flags,
		bool own_namespace)
{
	const char *name = folder_of(controllers);
	bool unified = !strcmp(controllers, "unified");
	int r;

	if (mkdirat(folder, name, 0555) < 0)
		return -errno;
	if (own_namespace) { /* nobody else can reach the tmpfs: a name is safe */
		if (fchdir(folder) < 0)
			return -errno;
		return mount("cgroup", name, unified ? "cgroup2" : "cgroup", flags, unified ? NULL : controllers) < 0 ?
			-errno : 0;
	}
	r = bind_group(folder, name, name, path, attributes_of(flags));
	return r == -ENOENT ? 0 : r; /* one that the host has not mounted in the usual place: an empty folder */
}

/* "cpu" and "cpuacct" for "cpu,cpuacct". */
static int link_members(int folder, const char *controllers)
{
	_cleanup_free_ char *copy = xstrdup(controllers);
	char *rest = copy, *member;

	if (!strchr(controllers, ','))
		return 0;
	while ((member = strsep(&rest, ",")))
		if (symlinkat(controllers, folder, member) < 0 && errno != EEXIST)
			return -errno;
	return 0;
}

static int show_v1(int target_fd, char *rest, unsigned long flags, bool own_namespace)
{
	_cleanup_close_ int fs = mountfd_fs_open("tmpfs"), fd = -1;
	int r = fs < 0 ? fs : mountfd_fs_set(fs, "mode", "0755");
	char *name;

	fd = r < 0 ? r : mountfd_fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	r = fd < 0 ? fd : mountfd_move(fd, target_fd);
	while (r == 0 && (name = strsep(&rest, "\n"))) {
		char *path = strchr(name, ' ');

		if (!path)
			continue;
		*path++ = '\0';
		r = show_hierarchy(fd, name, path, flags, own_namespace);
		if (r == 0)
			r = link_members(fd, name);
	}
	return r < 0 || !(flags & MS_RDONLY) ? r : mountfd_set(fd, MOUNT_ATTR_RDONLY, 0, false);
}

/* list: one line. */
static int show_v2(int target_fd, const char *list, unsigned long flags, bool own_namespace)
{
	_cleanup_free_ char *path = xstrdup(strchr(list, ' ') + 1);
	int r = own_namespace ? mountfd_mount_at(target_fd, "cgroup2", flags, NULL) : -EPERM;

	path[strcspn(path, "\n")] = '\0';
	/* In a user namespace whose cgroup namespace is another's it cannot be mounted. */
	return r == -EPERM || r == -EBUSY ? bind_group(target_fd, "", "", path, attributes_of(flags)) : r;
}

int cgroupfs_mount(int target_fd, const char *list, unsigned long flags, bool own_namespace, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(list ? list : "");
	struct statfs fs;
	bool v2 = !strncmp(copy, "unified ", 8) && statfs("/sys/fs/cgroup", &fs) == 0 &&
		fs.f_type == CGROUP2_SUPER_MAGIC;
	int r = v2 ? show_v2(target_fd, copy, flags, own_namespace) : show_v1(target_fd, copy, flags, own_namespace);

	return r < 0 ? error_set(err, -r, "cannot mount the control group: %s", strerror(-r)) : 0;
}
