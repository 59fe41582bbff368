/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on a file's attributes, extended ones too, and on its file system. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/fs/fs_private.h"

static void reply_attr(fuse_req_t req, int fd)
{
	struct stat st;
	int r = fs_stat(fs_of(req), fd, &st);

	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_attr(req, &st, FS_VALID_S);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_node *node = fs_node(fs_of(req), ino);

	if (node)
		reply_attr(req, node->fd);
	else
		fuse_reply_err(req, ESTALE);
}

static int set_mode(struct fs_server *server, const struct fs_node *node, mode_t mode)
{
	if (node->type == S_IFLNK)
		return EOPNOTSUPP;
	return fchmodat(server->proc_fd, fs_proc_name(node).text, mode & 07777, 0) < 0 ? errno : 0;
}

static int set_owner(const struct fs_node *node, const struct stat *attr, int what)
{
	uid_t uid = what & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = what & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

static int set_size(struct fs_server *server, const struct fs_node *node, off_t size, const struct fuse_file_info *fi)
{
	struct fs_handle *h = fi ? fs_handle(server, fi->fh, false) : NULL;
	int fd = h ? h->fd : fs_reopen(server, node, O_WRONLY), r;

	if (fd < 0)
		return -fd;
	r = ftruncate(fd, size) < 0 ? errno : 0;
	if (!h)
		(void)close(fd); /* nothing was written by it */
	return r;
}

static struct timespec one_time(int what, int set, int now, struct timespec value)
{
	if (what & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return what & set ? value : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_times(struct fs_server *server, const struct fs_node *node, const struct stat *attr, int what)
{
	struct timespec times[2] = {
		one_time(what, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
		one_time(what, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
	};

	return utimensat(server->proc_fd, fs_proc_name(node).text, times, 0) < 0 ? errno : 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what, struct fuse_file_info *fi)
{
	enum { TIMES = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW };
	struct fs_server *server = fs_of(req);
	struct fs_node *node = fs_node(server, ino);
	int r = node ? 0 : ESTALE;

	/* The owner first: a change of owner takes set-uid bits away, which the new mode may give. */
	if (!r && what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		r = set_owner(node, attr, what);
	if (!r && what & FUSE_SET_ATTR_MODE)
		r = set_mode(server, node, attr->st_mode);
	if (!r && what & FUSE_SET_ATTR_SIZE)
		r = set_size(server, node, attr->st_size, fi);
	if (!r && what & TIMES)
		r = set_times(server, node, attr, what);
	if (r)
		fuse_reply_err(req, r);
	else
		reply_attr(req, node->fd);
}

/*
 * Extended attributes go by the name in /proc/self/fd, which is the working directory: there is no call that takes an
 * O_PATH descriptor.
 */
static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs_server *server = fs_of(req);
	struct fs_node *node = fs_node(server, ino);
	size_t room = size < sizeof server->answer ? size : sizeof server->answer;
	ssize_t n = node ? getxattr(fs_proc_name(node).text, name, size ? server->answer : NULL, room) : -1;

	if (n < 0)
		fuse_reply_err(req, node ? errno : ESTALE);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, (char *)server->answer, (size_t)n);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fs_server *server = fs_of(req);
	struct fs_node *node = fs_node(server, ino);
	size_t room = size < sizeof server->answer ? size : sizeof server->answer;
	ssize_t n = node ? listxattr(fs_proc_name(node).text, size ? (char *)server->answer : NULL, room) : -1;

	if (n < 0)
		fuse_reply_err(req, node ? errno : ESTALE);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, (char *)server->answer, (size_t)n);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct fs_node *node = fs_node(fs_of(req), ino);

	fuse_reply_err(req, !node ? ESTALE
			: setxattr(fs_proc_name(node).text, name, value, size, flags) < 0 ? errno : 0);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fs_node *node = fs_node(fs_of(req), ino);

	fuse_reply_err(req, !node ? ESTALE : removexattr(fs_proc_name(node).text, name) < 0 ? errno : 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs_node *node = fs_node(fs_of(req), ino);
	struct statfs fs;

	if (!node || fstatfs(node->fd, &fs) < 0) {
		fuse_reply_err(req, node ? errno : ESTALE);
		return;
	}
	fuse_reply_statfs(req, &(struct statvfs){
		.f_bsize = (unsigned long)fs.f_bsize,
		.f_frsize = (unsigned long)fs.f_frsize,
		.f_blocks = fs.f_blocks,
		.f_bfree = fs.f_bfree,
		.f_bavail = fs.f_bavail,
		.f_files = fs.f_files,
		.f_ffree = fs.f_ffree,
		.f_namemax = (unsigned long)fs.f_namelen,
	});
}

void fs_attr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
	ops->statfs = op_statfs;
}
