/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files made beneath a layer's folder. Theory of operation:
 *
 * An entry "a/b/c" is made with *at() calls on a descriptor of "a/b", which openat2(2) gives with RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS: a symbolic link anywhere in "a/b", planted by an earlier entry, ends the import. The last
 * component is never followed by any call used here (O_EXCL|O_NOFOLLOW, AT_SYMLINK_NOFOLLOW, symlinkat, mknodat, linkat
 * without AT_SYMLINK_FOLLOW). The descriptor is kept for the next entry, since archives list folders one after another.
 *
 * Folders are made 0700 and get their mode and time at the end: a read-only folder still has to be filled, and filling
 * changes its time. Owners and attributes are set at once.
 *
 * Not defended against: another process of the same user that changes the folder meanwhile. It is in tmp/, 0700.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "images/entry_path.h"
#include "images/layer_dir.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

#define FOLDER_NAMES_MAX (UINT64_C(256) << 20) /* memory for the names of folders that wait for their mode */

/* A folder's mode and time, to be set at the end. */
struct pending {
	char *path;
	uint64_t order;      /* the later one of the same path counts */
	mode_t mode;
	struct timespec mtime;
};

struct layer_dir {
	int fd;
	bool root;           /* we may change owners and make devices */
	bool bare;           /* new files get our very mode and group: no set-group-id folder, no default ACL above */
	char *const *lowers;
	struct pending *pending;
	size_t n_pending, size_pending;
	uint64_t pending_bytes;
	bool root_seen;      /* the archive had an entry for the root itself */
	int parent_fd;       /* of parent; -1: none. Never d->fd itself */
	char parent[ENTRY_PATH_MAX];
	struct layer_losses losses;
	uint64_t whiteouts;
};

struct layer_dir *layer_dir_new(int dirfd, char *const *lowers)
{
	struct layer_dir *d = xcalloc(1, sizeof *d);
	struct stat st;

	(void)umask(0); /* modes come from the archive */
	d->fd = dirfd;
	d->root = geteuid() == 0;
	d->bare = fstat(dirfd, &st) == 0 && !(st.st_mode & S_ISGID) && st.st_gid == getegid() &&
		  fgetxattr(dirfd, "system.posix_acl_default", NULL, 0) < 0;
	d->lowers = lowers;
	d->parent_fd = -1;
	return d;
}

void layer_dir_free(struct layer_dir *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_pending; i++)
		free(d->pending[i].path);
	free(d->pending);
	if (d->parent_fd >= 0)
		(void)close(d->parent_fd);
	(void)close(d->fd);
	free(d);
}

const struct layer_losses *layer_dir_losses(const struct layer_dir *d)
{
	return &d->losses;
}

void layer_dir_lose_xattrs(struct layer_dir *d, uint64_t n)
{
	d->losses.xattrs += n;
}

uint64_t layer_dir_whiteouts(const struct layer_dir *d)
{
	return d->whiteouts;
}

static int pending_add(struct layer_dir *d, const char *path, const struct layer_attrs *attrs, struct error *err)
{
	d->pending_bytes += strlen(path) + 1;
	if (d->pending_bytes > FOLDER_NAMES_MAX)
		return error_set(err, EFBIG, "the names of the folders take more than 256 MiB");
	if (d->n_pending == d->size_pending) {
		d->size_pending = d->size_pending ? 2 * d->size_pending : 256;
		d->pending = xreallocarray(d->pending, d->size_pending, sizeof *d->pending);
	}
	d->pending[d->n_pending] = (struct pending){
		.path = xstrdup(path), .order = d->n_pending, .mode = attrs->mode, .mtime = attrs->mtime,
	};
	d->n_pending++;
	if (!*path)
		d->root_seen = true;
	return 0;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* Marks a folder opaque, by root's attribute or the one that overlayfs honours with "userxattr". */
static int set_opaque(struct layer_dir *d, int fd, struct error *err)
{
	d->whiteouts++;
	if (d->root && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0)
		return 0;
	if (d->root && errno != EPERM)
		return error_sys(err, "cannot mark the folder opaque");
	if (fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) == 0)
		return 0;
	return error_sys(err, "cannot mark the folder opaque");
}

/* Owner and extended attributes; both are allowed before the mode is final. */
static int set_owner_xattrs(struct layer_dir *d, int fd, const struct layer_attrs *attrs, struct error *err)
{
	bool ours = d->bare && attrs->uid == geteuid() && attrs->gid == getegid();

	if (d->root && !ours && fchown(fd, attrs->uid, attrs->gid) < 0)
		return error_sys(err, "cannot set the owner %u:%u", attrs->uid, attrs->gid);
	return xattrs_apply(&attrs->xattrs, fd, NULL, &d->losses.xattrs, err);
}

/* Attributes for a folder that the archive implies: those it has in the nearest layer below. */
static void implied_attrs(const struct layer_dir *d, const char *path, struct layer_attrs *ret)
{
	*ret = (struct layer_attrs){ .mode = 0755, .uid = d->root ? 0 : geteuid(), .gid = d->root ? 0 : getegid() };
	for (size_t i = strv_len(d->lowers); i-- > 0;) {
		_cleanup_close_ int lower = open(d->lowers[i], O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
		char name[64];
		struct stat st;

		if (lower >= 0)
			fd = path_open_beneath(lower, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0 || fstat(fd, &st) < 0)
			continue;
		ret->mode = st.st_mode & 07777;
		ret->uid = st.st_uid;
		ret->gid = st.st_gid;
		ret->mtime = st.st_mtim;
		(void)snprintf(name, sizeof name, "/proc/self/fd/%d/.", fd);
		(void)xattrs_read(name, &ret->xattrs, NULL); /* without them it is still a better guess than none */
		return;
	}
}

/* Removes whatever has this name. */
static int clear_name(struct layer_dir *d, int parent, const char *base, struct error *err)
{
	if (unlinkat(parent, base, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return error_sys(err, "cannot replace it");
	/* The folder whose descriptor we keep may be in there, unless it is the parent itself. */
	if (d->parent_fd >= 0 && d->parent_fd != parent) {
		(void)close(d->parent_fd);
		d->parent_fd = -1;
	}
	return path_remove_tree(parent, base, err);
}

/*
 * Makes the folder base in parent, or takes the one that is there. One that takes the place of a whiteout hides what
 * the whiteout hid. Returns an fd or -errno.
 */
static int make_folder(struct layer_dir *d, int parent, const char *base, struct error *err)
{
	_cleanup_close_ int fd = -1;
	bool opaque = false;

	if (mkdirat(parent, base, 0700) < 0) {
		struct stat st;

		if (errno != EEXIST || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_sys(err, "cannot make the folder");
		opaque = is_whiteout(&st);
		if (!S_ISDIR(st.st_mode) && (unlinkat(parent, base, 0) < 0 || mkdirat(parent, base, 0700) < 0))
			return error_sys(err, "cannot make the folder");
	}
	fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, "cannot open the folder");
	if (opaque) {
		int r = set_opaque(d, fd, err);

		if (r < 0)
			return r;
		d->whiteouts--; /* it was counted as a whiteout already */
	}
	return steal_fd(&fd);
}

static int make_implied(struct layer_dir *d, int parent, const char *path, const char *base, struct error *err)
{
	_cleanup_close_ int fd = make_folder(d, parent, base, err);
	struct layer_attrs attrs;
	int r;

	if (fd < 0)
		return fd;
	implied_attrs(d, path, &attrs);
	r = set_owner_xattrs(d, fd, &attrs, err);
	if (r == 0)
		r = pending_add(d, path, &attrs, err);
	xattrs_release(&attrs.xattrs);
	return r < 0 ? r : steal_fd(&fd);
}

/* Opens or makes each component of path in turn: an archive need not list a folder before what is in it. */
static int walk_folders(struct layer_dir *d, const char *path, struct error *err)
{
	_cleanup_close_ int at = -1;
	char part[ENTRY_PATH_MAX];
	size_t start = 0;

	while (path[start]) {
		size_t end = start + strcspn(path + start, "/");
		int up = at >= 0 ? at : d->fd, next;
		const char *base = part + start;
		struct stat st;

		memcpy(part, path, end);
		part[end] = '\0';
		if (fstatat(up, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				return error_sys(err, "cannot look up its folder");
			next = make_implied(d, up, part, base, err);
		} else if (is_whiteout(&st)) {
			next = make_implied(d, up, part, base, err);
		} else if (S_ISLNK(st.st_mode)) {
			return error_set(err, ELOOP, "passes through a symbolic link");
		} else if (!S_ISDIR(st.st_mode)) {
			return error_set(err, ENOTDIR, "passes through something that is not a folder");
		} else {
			next = openat(up, base, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next < 0)
				return error_sys(err, "cannot open its folder");
		}
		if (next < 0)
			return next;
		if (at >= 0)
			(void)close(at);
		at = next;
		start = path[end] ? end + 1 : end;
	}
	return steal_fd(&at);
}

/* The folder that path stands in, made if missing; *ret_base is the last component. Borrowed fd, or -errno. */
static int open_parent(struct layer_dir *d, const char *path, const char **ret_base, struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	char parent[ENTRY_PATH_MAX];
	int fd;

	*ret_base = slash ? slash + 1 : path;
	if (len == 0)
		return d->fd;
	if (d->parent_fd >= 0 && strncmp(d->parent, path, len) == 0 && d->parent[len] == '\0')
		return d->parent_fd;
	memcpy(parent, path, len);
	parent[len] = '\0';
	fd = path_open_beneath(d->fd, parent, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		fd = walk_folders(d, parent, err);
	if (fd < 0)
		return fd;
	if (d->parent_fd >= 0)
		(void)close(d->parent_fd);
	d->parent_fd = fd;
	memcpy(d->parent, parent, len + 1);
	return fd;
}

int layer_dir_folder(struct layer_dir *d, const char *path, const struct layer_attrs *attrs, struct error *err)
{
	_cleanup_close_ int fd = -1;
	const char *base;
	int parent, r;

	if (!*path) {
		fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	} else {
		parent = open_parent(d, path, &base, err);
		if (parent < 0)
			return parent;
		fd = make_folder(d, parent, base, err);
		if (fd < 0)
			return fd;
	}
	r = set_owner_xattrs(d, fd, attrs, err);
	return r < 0 ? r : pending_add(d, path, attrs, err);
}

int layer_dir_file(struct layer_dir *d, const char *path, const struct layer_attrs *attrs, struct error *err)
{
	/* The final mode at once, where nothing needs it later: one system call less for nearly every file. */
	mode_t mode = d->root && !attrs->xattrs.n ? attrs->mode & 0777 : 0600;
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	const char *base;
	int parent = open_parent(d, path, &base, err), fd, r;

	if (parent < 0)
		return parent;
	fd = openat(parent, base, flags, mode);
	if (fd < 0 && errno == EEXIST) {
		r = clear_name(d, parent, base, err);
		if (r < 0)
			return r;
		fd = openat(parent, base, flags, mode);
	}
	return fd < 0 ? error_sys(err, "cannot make the file") : fd;
}

int layer_dir_file_done(struct layer_dir *d, int fd, const struct layer_attrs *attrs, struct error *err)
{
	const struct timespec times[2] = { attrs->mtime, attrs->mtime };
	bool mode_set = d->root && d->bare && !attrs->xattrs.n && !(attrs->mode & 07000);
	int r = set_owner_xattrs(d, fd, attrs, err);

	if (r < 0)
		return r;
	if (!mode_set && fchmod(fd, attrs->mode) < 0)
		return error_sys(err, "cannot set the mode");
	if (futimens(fd, times) < 0)
		return error_sys(err, "cannot set the time");
	return 0;
}

/* Attributes of what cannot be opened. base is in parent and was made by us a moment ago. */
static int set_attrs_at(struct layer_dir *d, int parent, const char *base, bool is_link,
		const struct layer_attrs *attrs, struct error *err)
{
	const struct timespec times[2] = { attrs->mtime, attrs->mtime };
	int r;

	if (d->root && fchownat(parent, base, attrs->uid, attrs->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, "cannot set the owner %u:%u", attrs->uid, attrs->gid);
	if (attrs->xattrs.n) {
		_cleanup_free_ char *name = xasprintf("/proc/self/fd/%d/%s", parent, base);

		r = xattrs_apply(&attrs->xattrs, -1, name, &d->losses.xattrs, err);
		if (r < 0)
			return r;
	}
	if (!is_link && fchmodat(parent, base, attrs->mode, 0) < 0) /* not a link: it is ours, just made */
		return error_sys(err, "cannot set the mode");
	if (utimensat(parent, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, "cannot set the time");
	return 0;
}

int layer_dir_symlink(struct layer_dir *d, const char *path, const char *target, const struct layer_attrs *attrs,
		struct error *err)
{
	const char *base;
	int parent = open_parent(d, path, &base, err), r;

	if (parent < 0)
		return parent;
	r = symlinkat(target, parent, base);
	if (r < 0 && errno == EEXIST) {
		r = clear_name(d, parent, base, err);
		if (r < 0)
			return r;
		r = symlinkat(target, parent, base);
	}
	if (r < 0)
		return error_sys(err, "cannot make the symbolic link");
	return set_attrs_at(d, parent, base, true, attrs, err);
}

/* Opens the folder of an existing file of this layer; makes nothing. */
static int open_existing_parent(struct layer_dir *d, const char *path, const char **ret_base)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");

	*ret_base = slash ? slash + 1 : path;
	return path_open_beneath(d->fd, parent, O_PATH | O_DIRECTORY, 0);
}

int layer_dir_hardlink(struct layer_dir *d, const char *path, const char *target, struct error *err)
{
	_cleanup_close_ int from = -1;
	const char *base, *from_base;
	struct stat st;
	int parent, r;

	if (strcmp(path, target) == 0)
		return 0;
	parent = open_parent(d, path, &base, err);
	if (parent < 0)
		return parent;
	from = open_existing_parent(d, target, &from_base);
	if (from == -ELOOP)
		return error_set(err, ELOOP, "the hard link's target \"%.200s\" passes through a symbolic link",
			target);
	if (from < 0 || fstatat(from, from_base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ENOENT, "the hard link's target \"%.200s\" is not in this layer", target);
	if (S_ISDIR(st.st_mode))
		return error_set(err, EPERM, "the hard link's target \"%.200s\" is a folder", target);
	r = linkat(from, from_base, parent, base, 0);
	if (r < 0 && errno == EEXIST) {
		r = clear_name(d, parent, base, err);
		if (r < 0)
			return r;
		r = linkat(from, from_base, parent, base, 0);
	}
	return r < 0 ? error_sys(err, "cannot make the hard link to \"%.200s\"", target) : 0;
}

int layer_dir_node(struct layer_dir *d, const char *path, mode_t type, dev_t rdev, const struct layer_attrs *attrs,
		struct error *err)
{
	const char *base;
	int parent = open_parent(d, path, &base, err), r;

	if (parent < 0)
		return parent;
	r = clear_name(d, parent, base, err);
	if (r < 0)
		return r;
	if (mknodat(parent, base, type | 0600, rdev) < 0) {
		if (errno != EPERM || type == S_IFIFO)
			return error_sys(err, "cannot make the device");
		d->losses.devices++;
		return 0;
	}
	return set_attrs_at(d, parent, base, false, attrs, err);
}

/* For file systems that take no 0:0 devices: an empty file with an attribute, Linux 6.7. */
static int whiteout_by_xattr(int parent, const char *base, struct error *err)
{
	_cleanup_close_ int fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	_cleanup_close_ int folder = -1;

	if (fd < 0 || fsetxattr(fd, "user.overlay.whiteout", "y", 1, 0) < 0)
		return error_sys(err, "cannot make the whiteout");
	folder = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* "x": look for such files here. It must not undo a "y". */
	if (folder < 0 || (fsetxattr(folder, "user.overlay.opaque", "x", 1, XATTR_CREATE) < 0 && errno != EEXIST))
		return error_sys(err, "cannot make the whiteout");
	return 0;
}

int layer_dir_whiteout(struct layer_dir *d, const char *path, struct error *err)
{
	const char *base;
	int parent = open_parent(d, path, &base, err);
	struct stat st;

	if (parent < 0)
		return parent;
	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		_cleanup_close_ int fd = -1;

		/* A file of this layer hides what is below by itself; a folder must be told to. */
		if (!S_ISDIR(st.st_mode))
			return 0;
		fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? error_sys(err, "cannot open the folder") : set_opaque(d, fd, err);
	}
	d->whiteouts++;
	if (mknodat(parent, base, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	return errno == EPERM ? whiteout_by_xattr(parent, base, err) : error_sys(err, "cannot make the whiteout");
}

int layer_dir_opaque(struct layer_dir *d, const char *path, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (!*path)
		return set_opaque(d, d->fd, err);
	fd = path_open_beneath(d->fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		_cleanup_close_ int made = walk_folders(d, path, err);

		if (made < 0)
			return made;
		fd = path_open_beneath(d->fd, path, O_RDONLY | O_DIRECTORY, 0);
	}
	if (fd < 0)
		return error_set(err, -fd, "cannot open its folder: %s", strerror(-fd));
	return set_opaque(d, fd, err);
}

static int by_path(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ? r : (x->order > y->order) - (x->order < y->order);
}

static int settle(struct layer_dir *d, const struct pending *p, struct error *err)
{
	const struct timespec times[2] = { p->mtime, p->mtime };
	_cleanup_close_ int fd = -1;
	mode_t mode = p->mode;

	if (!*p->path)
		fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	else
		fd = path_open_beneath(d->fd, p->path, O_RDONLY | O_DIRECTORY, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0; /* replaced by a later entry */
	if (fd < 0)
		return error_set(err, -fd, "folder \"%.200s\": %s", p->path, strerror(-fd));
	if (!d->root && !*p->path)
		mode |= 0700; /* else its owner could neither move nor remove the layer */
	if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
		return error_sys(err, "folder \"%.200s\": cannot set its mode and time", p->path);
	return 0;
}

int layer_dir_finish(struct layer_dir *d, struct error *err)
{
	struct layer_attrs attrs;
	int r = 0;

	if (!d->root_seen) {
		implied_attrs(d, "", &attrs);
		r = set_owner_xattrs(d, d->fd, &attrs, err);
		if (r == 0)
			r = pending_add(d, "", &attrs, err);
		xattrs_release(&attrs.xattrs);
	}
	if (d->n_pending)
		qsort(d->pending, d->n_pending, sizeof *d->pending, by_path);
	/* Backwards: a folder comes after all that is in it, and may shut us out from then on. */
	for (size_t i = d->n_pending; r == 0 && i-- > 0;) {
		if (i + 1 < d->n_pending && strcmp(d->pending[i].path, d->pending[i + 1].path) == 0)
			continue;
		r = settle(d, &d->pending[i], err);
	}
	return r;
}
