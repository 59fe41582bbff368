/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on open files. Data moves between the file and the guest's own pages. A file is opened for what the guest's
 * kernel wants of it and nothing more: no O_DIRECT (its pages need not be aligned as the host wants), and O_APPEND per
 * write, since a program may change its mind.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/fs/fs_private.h"

enum { OPEN_FLAGS = O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC };

static void reply_open(fuse_req_t req, int fd, struct fuse_file_info *fi)
{
	int r = fd < 0 ? -fd : fs_handle_add(fs_of(req), fd, false, &fi->fh);

	fi->keep_cache = 1; /* what changed on the host is seen by its times (FUSE_AUTO_INVAL_DATA) */
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_open(req, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_node *node = fs_node(fs_of(req), ino);

	reply_open(req, node ? fs_reopen(fs_of(req), node, fi->flags & OPEN_FLAGS) : -ESTALE, fi);
}

/*
 * Makes the file, or opens the one that is there: that goes the way of open, which looks at what it is first.
 * Returns a descriptor or -errno.
 */
static int create(fuse_req_t req, struct fs_node *folder, const char *name, mode_t mode, int flags)
{
	struct fs_server *server = fs_of(req);
	struct fuse_entry_param entry;
	int r = fs_become(req), fd;

	if (r)
		return -r;
	fd = openat(folder->fd, name, (flags & OPEN_FLAGS) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
	r = fd < 0 ? errno : 0;
	fs_become_self(server);
	if (r != EEXIST || flags & O_EXCL)
		return r ? -r : fd;
	r = fs_node_lookup(server, folder, name, &entry);
	if (r)
		return -r;
	fd = fs_reopen(server, fs_node(server, entry.ino), flags & OPEN_FLAGS);
	fs_node_forget(server, entry.ino, 1);
	return fd;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fs_server *server = fs_of(req);
	struct fs_node *folder = fs_node(server, parent);
	struct fuse_entry_param entry;
	int fd = folder ? create(req, folder, name, mode, fi->flags) : -ESTALE;
	int r = fd < 0 ? -fd : fs_node_lookup(server, fs_node(server, parent), name, &entry);

	if (!r) {
		r = fs_handle_add(server, fd, false, &fi->fh);
		fi->keep_cache = 1;
	} else if (fd >= 0) {
		(void)close(fd); /* nothing was written */
	}
	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_create(req, &entry, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs_server *server = fs_of(req);
	struct fs_handle *h = fs_handle(server, fi->fh, false);
	size_t header = sizeof(struct fuse_out_header), done = 0;
	ssize_t n = 0;

	if (!h || off < 0) {
		fuse_reply_err(req, h ? EINVAL : EBADF);
		return;
	}
	if (size > server->in_bytes - header)
		size = server->in_bytes - header;
	while (done < size) { /* a short read would be taken for the end of the file */
		unsigned parts = iov_slice(server->slice, server->in, server->n_in, header + done, size - done);

		n = preadv(h->fd, server->slice, (int)parts, off + (off_t)done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (n < 0 && done == 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, FS_IN_PLACE, done);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *in_guest, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	struct fs_server *server = fs_of(req);
	struct fs_handle *h = fs_handle(server, fi->fh, false);
	size_t header = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in);
	unsigned parts = iov_slice(server->slice, server->out, server->n_out, header, size);
	ssize_t n;

	if (!h || off < 0) {
		fuse_reply_err(req, h ? EINVAL : EBADF);
		return;
	}
	n = pwritev2(h->fd, server->slice, (int)parts, off, fi->flags & O_APPEND ? RWF_APPEND : 0);
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, fs_handle(fs_of(req), fi->fh, false) ? 0 : EBADF);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fs_handle_drop(fs_of(req), fi->fh, false);
	fuse_reply_err(req, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct fs_handle *h = fs_handle(fs_of(req), fi->fh, false);

	fuse_reply_err(req, !h ? EBADF : (data_only ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? errno : 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, struct fuse_file_info *fi)
{
	struct fs_handle *h = fs_handle(fs_of(req), fi->fh, false);

	fuse_reply_err(req, !h ? EBADF : fallocate(h->fd, mode, off, length) < 0 ? errno : 0);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct fs_handle *h = fs_handle(fs_of(req), fi->fh, false);
	off_t at = h && (whence == SEEK_DATA || whence == SEEK_HOLE) ? lseek(h->fd, off, whence) : -1;

	if (at < 0)
		fuse_reply_err(req, !h ? EBADF : whence == SEEK_DATA || whence == SEEK_HOLE ? errno : EINVAL);
	else
		fuse_reply_lseek(req, at);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
		fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct fs_handle *from = fs_handle(fs_of(req), fi_in->fh, false);
	struct fs_handle *to = fs_handle(fs_of(req), fi_out->fh, false);
	ssize_t n = from && to ? copy_file_range(from->fd, &off_in, to->fd, &off_out, len, (unsigned)flags) : -1;

	if (n < 0)
		fuse_reply_err(req, from && to ? errno : EBADF);
	else
		fuse_reply_write(req, (size_t)n);
}

void fs_file_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->read = op_read;
	ops->write = op_write;
	ops->flush = op_flush;
	ops->release = op_release;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
