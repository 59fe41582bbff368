/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system of a container.
 *
 *   lowers (the image's layers, shared, never written)  ─┐
 *   upper  (tmpfs of root.upper_bytes, or the disk       ├─ overlay ─► pivot_root
 *           of scratch.c; in this mount namespace       ─┘
 *           only: it goes with the process)
 *
 * Everything is mounted over the topmost lower directory, which exists for sure and which nobody else in this
 * namespace needs; layers are given to overlayfs by fchdir and ".", so their paths have neither a length limit nor
 * forbidden characters, and do not show in the container's /proc/mounts. Kernels before 6.7 have no "lowerdir+":
 * there, the layers are bound to short names on the tmpfs and named in one option string. (Before 6.6 tmpfs has no
 * user.* attributes: in a user namespace, a folder of the image that is removed cannot be made again under its name.)
 *
 * An empty root is a folder of the scratch file system, shown by a bind. Beside it overlay.c keeps the writes to
 * folders of the host.
 *
 * A root that is a directory of its own (root.path) is a bind of it, over itself, with all that is mounted below.
 *
 * A read-only root is a read-only bind of its single layer when that has every mount point; else an overlay as above
 * that is made read-only once the mount points are there. (In a guest a folder that the host shares read-only is such a
 * layer too.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "container-backend/mount_options.h"
#include "container-backend/mountfd.h"
#include "container-backend/places.h"
#include "container-backend/rootfs.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"

/* Some folder to mount over: all sources are open by then. A guest's initramfs has no /usr. */
static int open_stage(struct rootfs *r, struct error *err)
{
	static const char *const folders[] = { "/usr", "/root" };

	for (size_t i = 0; i < ARRAY_LEN(folders) && r->stage < 0; i++)
		r->stage = open(folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r->stage < 0 ? error_sys(err, "root.empty: no folder to mount it on: /usr") : 0;
}

int rootfs_open(struct rootfs *ret, const struct plan *plan, struct error *err)
{
	size_t n = strv_len(plan->root.lowers);

	*ret = (struct rootfs){ .fd = -1,
		.dir = -1,
		.stage = -1,
		.disk = -1,
		.scratch = -1,
		.n = n,
		.lowers = xcalloc(n, sizeof *ret->lowers),
		.idmapped = xcalloc(n, sizeof *ret->idmapped) };
	for (size_t i = 0; i < n; i++) {
		ret->lowers[i] = open(plan->root.lowers[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (ret->lowers[i] < 0)
			return error_sys(err, "root.lowers[%zu]: %s", i, plan->root.lowers[i]);
	}
	if (plan->root.path) {
		ret->dir = open(plan->root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return ret->dir < 0 ? error_sys(err, "root.path: %s", plan->root.path) : 0;
	}
	if (plan->root.empty)
		return open_stage(ret, err);
	if (n == 0)
		return error_set(err, EINVAL, "root.lowers: empty");
	ret->stage = ret->lowers[n - 1];
	return 0;
}

void rootfs_adopt(struct rootfs *r, size_t i, int fd)
{
	if (i >= r->n) {
		(void)close(fd); /* more than there are layers */
		return;
	}
	r->lowers[i] = fd; /* the plain one stays open: it may be the stage */
	r->idmapped[i] = true;
}

/* What has a file system of its own mounted on it: in a container of ours always, in a bundle's if it says so. */
static const char *const own[] = { "/proc", "/dev", "/sys" };

static bool is_covered(const struct plan *plan, const char *folder)
{
	for (size_t i = 0; plan->mounts_exact && i < plan->n_mounts; i++) {
		const struct plan_mount *m = &plan->mounts[i];

		if (m->destination && !strcmp(m->destination, folder) && m->type && strcmp(m->type, "bind") != 0)
			return true;
	}
	return !plan->mounts_exact;
}

/* Whether the layer need not have path: it is below what is mounted. */
static bool is_above(const struct plan *plan, const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (place_within(path, own[i]) && strcmp(path, own[i]) != 0)
			return is_covered(plan, own[i]);
	return false;
}

static bool has_place(const struct rootfs *r, const struct plan *plan, const char *path)
{
	_cleanup_close_ int fd = -1;

	if (!path || is_above(plan, path))
		return true;
	fd = path_open_in_root(r->lowers[0], path, O_PATH, 0);
	return fd >= 0;
}

/* Whether everything that will be mounted on, or made, has its place in the only layer. */
static bool has_mount_points(const struct rootfs *r, const struct plan *plan)
{
	if (plan->network == NETWORK_USER)
		return false; /* /etc/resolv.conf is to be written */
	if (!is_covered(plan, "/dev") || !has_place(r, plan, plan->process.cwd))
		return false; /* its nodes are made in the root, in the first case */
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (!has_place(r, plan, own[i]))
			return false;
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (!has_place(r, plan, plan->mounts[i].destination))
			return false;
	return true;
}

static int mount_bind(struct rootfs *r, const struct plan *plan, struct error *err)
{
	/* In a user namespace the mounts below a copied one are locked to it and have to come along. */
	_cleanup_close_ int fd = r->idmapped[0] ? fcntl(r->lowers[0], F_DUPFD_CLOEXEC, 3)
		: mountfd_clone(r->lowers[0], "", plan->namespaces & PLAN_NS(USER));
	int s = fd < 0 ? fd : mountfd_set(fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, 0, true);

	if (s == 0)
		s = mountfd_move(fd, r->stage);
	if (s < 0)
		return error_set(err, -s, "root.lowers[0]: cannot bind %s: %s", plan->root.lowers[0], strerror(-s));
	r->fd = steal_fd(&fd);
	return 0;
}

static int set_number(int fs, const char *key, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%ju", (uintmax_t)value); /* fits */
	return value ? mountfd_fs_set(fs, key, text) : 0;
}

static int mount_disk(struct rootfs *r, int *ret_fd, struct error *err)
{
	int s = mountfd_move(r->disk, r->stage);

	if (s < 0)
		return error_set(err, -s, "root.scratch: cannot attach the disk: %s", strerror(-s));
	*ret_fd = steal_fd(&r->disk);
	return 0;
}

/* The tmpfs that takes the writes, over the stage; or the disk. */
static int mount_scratch(struct rootfs *r, const struct plan *plan, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fs = r->disk >= 0 ? -1 : mountfd_fs_open("tmpfs"), fd = -1;
	int s = fs < 0 ? fs : set_number(fs, "size", plan->root.upper_bytes ? plan->root.upper_bytes
			: plan->root.tmpfs_bytes);

	if (r->disk >= 0)
		return mount_disk(r, ret_fd, err);
	if (s == 0)
		s = set_number(fs, "nr_inodes", plan->root.upper_inodes);
	fd = s < 0 ? s : mountfd_fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	s = fd < 0 ? fd : mountfd_move(fd, r->stage);
	if (s < 0)
		return mountfd_fs_error(fs, -s, err, "root.upper_bytes: cannot mount the tmpfs of the root");
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* "lowerdir+" came with Linux 6.7; asking an older kernel for it leaves an error line in its log. */
static bool has_layers_by_fd(void)
{
	struct utsname name;
	unsigned major, minor;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
		(major > 6 || (major == 6 && minor >= 7));
}

/* Gives overlayfs its layers one by one, each as "." of the working folder. */
static int add_layers(const struct rootfs *r, int fs, int scratch, bool user_ns)
{
	int s = 0;

	for (size_t i = r->n; s == 0 && i-- > 0;) {
		s = fchdir(r->lowers[i]) < 0 ? -errno : 0;
		if (s == 0)
			s = mountfd_fs_set(fs, "lowerdir+", ".");
	}
	if (s == 0)
		s = fchdir(scratch) < 0 ? -errno : 0;
	if (s == 0)
		s = mountfd_fs_set(fs, "upperdir", "upper");
	if (s == 0)
		s = mountfd_fs_set(fs, "workdir", "work");
	if (s == 0 && user_ns) /* trusted.overlay.* is the host's alone */
		s = mountfd_fs_set(fs, "userxattr", NULL);
	return s;
}

static int mount_overlay_by_fd(struct rootfs *r, int scratch, bool user_ns, struct error *err)
{
	_cleanup_close_ int fs = mountfd_fs_open("overlay"), fd = -1;
	int s = fs < 0 ? fs : add_layers(r, fs, scratch, user_ns);

	fd = s < 0 ? s : mountfd_fs_mount(fs, MOUNT_ATTR_NODEV);
	s = fd < 0 ? fd : mountfd_move(fd, r->stage);
	if (s < 0)
		return mountfd_fs_error(fs, -s, err, "root: cannot mount the overlay");
	r->fd = steal_fd(&fd);
	return 0;
}

/* Puts layer i at "l<i>" of the tmpfs: without what is mounted on it, which is the tmpfs itself for the stage. */
static int attach_layer(const struct rootfs *r, size_t i, int scratch)
{
	_cleanup_close_ int place = -1, copy = -1;
	char name[24];
	int fd;

	(void)snprintf(name, sizeof name, "l%zu", i); /* fits */
	if (mkdirat(scratch, name, 0755) < 0)
		return -errno;
	place = openat(scratch, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place < 0)
		return -errno;
	copy = r->idmapped[i] ? -1 : mountfd_clone(r->lowers[i], "", false);
	fd = r->idmapped[i] ? r->lowers[i] : copy;
	return fd < 0 ? fd : mountfd_move(fd, place);
}

static int attach_layers(const struct rootfs *r, int scratch, bool idmapped, struct error *err)
{
	for (size_t i = 0; i < r->n; i++) {
		int s = r->idmapped[i] == idmapped ? attach_layer(r, i, scratch) : 0;

		if (s < 0)
			return error_set(err, -s, "root.lowers[%zu]: cannot bind it: %s", i, strerror(-s));
	}
	return 0;
}

static int mount_overlay_by_names(struct rootfs *r, int scratch, bool user_ns, struct error *err)
{
	_cleanup_strbuf_ struct strbuf options = { 0 };

	strbuf_puts(&options, "upperdir=upper,workdir=work,lowerdir=");
	for (size_t i = r->n; i-- > 0;)
		strbuf_printf(&options, "l%zu%s", i, i ? ":" : "");
	if (user_ns)
		strbuf_puts(&options, ",userxattr");
	if (options.len >= 4096)
		return error_set(err, E2BIG, "root.lowers: %zu layers are more than this kernel can stack", r->n);
	if (fchdir(scratch) < 0 || (mkdir("root", 0755) < 0 && errno != EEXIST) ||
			mount("overlay", "root", "overlay", MS_NODEV, options.text) < 0)
		return error_sys(err, "root: cannot mount the overlay");
	r->fd = open("root", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return r->fd < 0 ? error_sys(err, "root") : 0;
}

static int mount_overlay(struct rootfs *r, const struct plan *plan, struct error *err)
{
	bool user_ns = plan->namespaces & PLAN_NS(USER);
	_cleanup_close_ int scratch = -1;
	int s = mount_scratch(r, plan, &scratch, err);

	if (s == 0 && (mkdirat(scratch, "upper", 0755) < 0 || mkdirat(scratch, "work", 0755) < 0))
		s = error_sys(err, "cannot prepare the tmpfs of the root");
	if (s == 0) /* detached mounts can be layers from Linux 6.15 on only */
		s = attach_layers(r, scratch, true, err);
	if (s < 0)
		return s;
	if (has_layers_by_fd())
		return mount_overlay_by_fd(r, scratch, user_ns, err);
	s = attach_layers(r, scratch, false, err);
	return s < 0 ? s : mount_overlay_by_names(r, scratch, user_ns, err);
}

/* What is mounted below comes along: it is part of the root (and locked to it in a user namespace). */
static int mount_dir(struct rootfs *r, const struct plan *plan, struct error *err)
{
	_cleanup_close_ int fd = mountfd_clone(r->dir, "", true);
	int s = fd < 0 ? fd : mountfd_set(fd, plan->no_cgroup ? MOUNT_ATTR_NODEV : 0, 0, true);

	if (s == 0)
		s = mountfd_move(fd, r->dir);
	if (s < 0)
		return error_set(err, -s, "root.path: cannot bind %s: %s", plan->root.path, strerror(-s));
	r->fd = steal_fd(&fd);
	r->seal = plan->root.read_only;
	return 0;
}

static int make_link(int root, const struct plan_pair *link, struct error *err)
{
	const char *slash = strrchr(link->key, '/');
	_cleanup_free_ char *folder = xstrndup(link->key, (size_t)(slash - link->key));
	_cleanup_close_ int fd = mounts_make_dir(root, *folder ? folder : "/", err);

	if (fd < 0)
		return fd;
	return symlinkat(link->value, fd, slash + 1) < 0 ? error_sys(err, "cannot make %s", link->key) : 0;
}

static int mount_empty(struct rootfs *r, const struct plan *plan, struct error *err)
{
	_cleanup_close_ int folder = -1, fd = -1;
	int s = mount_scratch(r, plan, &r->scratch, err);

	if (s < 0)
		return s;
	if (mkdirat(r->scratch, "root", 0755) < 0)
		return error_sys(err, "cannot prepare the tmpfs of the root");
	folder = openat(r->scratch, "root", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd = folder < 0 ? -errno : mountfd_clone(folder, "", false);
	s = fd < 0 ? fd : mountfd_move(fd, r->stage);
	if (s < 0)
		return error_set(err, -s, "root.empty: cannot bind it: %s", strerror(-s));
	r->fd = steal_fd(&fd);
	r->seal = plan->root.read_only;
	for (size_t i = 0; s == 0 && i < plan->root.n_links; i++)
		if (make_link(r->fd, &plan->root.links[i], err) < 0)
			s = error_prefix(err, "root.links[%zu]", i);
	return s;
}

int rootfs_mount(struct rootfs *r, const struct plan *plan, struct error *err)
{
	if (r->dir >= 0)
		return mount_dir(r, plan, err);
	if (plan->root.empty)
		return mount_empty(r, plan, err);
	if (plan->root.read_only && r->n == 1 && has_mount_points(r, plan))
		return mount_bind(r, plan, err);
	r->seal = plan->root.read_only;
	return mount_overlay(r, plan, err);
}

int rootfs_seal(const struct rootfs *r, struct error *err)
{
	int s = r->seal ? mountfd_set(r->fd, MOUNT_ATTR_RDONLY, 0, false) : 0;

	return s < 0 ? error_set(err, -s, "root: cannot make it read-only: %s", strerror(-s)) : 0;
}

/*
 * On an initramfs, which is the absolute root and cannot be pivoted away from: cover it. What is mounted on it would
 * stay within reach of a chroot breakout, so that goes first.
 */
static int cover_initramfs(struct error *err)
{
	static const char *const mounts[] = { "/dev", "/proc", "/sys", "/run", "/tmp" };

	/* Moved first, since it may be below one of them; until the chroot "/proc" is still the old one's. */
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return error_sys(err, "root: cannot cover the old one");
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++)
		(void)umount2(mounts[i], MNT_DETACH | UMOUNT_NOFOLLOW); /* not mounted: nothing to hide */
	return chroot(".") < 0 ? error_sys(err, "root: cannot cover the old one") : 0;
}

/* Private and slave it is by where it came from; pivot_root takes no shared one, so that has to wait until now. */
static int propagate(const struct rootfs *r, const struct plan *plan, struct error *err)
{
	unsigned long flag = plan->root.propagation ? mount_propagation(plan->root.propagation) : 0;
	int s = flag & (MS_SHARED | MS_UNBINDABLE) ? mountfd_propagate(r->fd, flag) : 0;

	return s < 0 ? error_set(err, -s, "root.propagation: %s: %s", plan->root.propagation, strerror(-s)) : 0;
}

int rootfs_enter(const struct rootfs *r, const struct plan *plan, struct error *err)
{
	if (fchdir(r->fd) < 0)
		return error_sys(err, "root");
	if (!plan->no_pivot && syscall(SYS_pivot_root, ".", ".") == 0) {
		/* The old root lies over the new one now, which "." is: unmounting takes the upper of the two. */
		if (umount2(".", MNT_DETACH) < 0)
			return error_sys(err, "root: cannot let go of the old one");
	} else if (!plan->no_pivot && errno != EINVAL) {
		return error_sys(err, "root: pivot_root");
	} else {
		int s = cover_initramfs(err);

		if (s < 0)
			return s;
	}
	return chdir("/") < 0 ? error_sys(err, "root") : propagate(r, plan, err);
}
