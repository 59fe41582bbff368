/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on names in folders. A name has been checked by fs_server.c: one component, not "." or "..". It is used
 * relative to the folder's descriptor and never followed if it is a symbolic link, so the guest's kernel resolves all
 * links, in its own tree.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/fs/fs_private.h"

enum { LISTING_MIN = 512 }; /* one entry with the longest name */

static void reply_entry(fuse_req_t req, struct fs_node *parent, const char *name)
{
	struct fuse_entry_param entry;
	int r = fs_node_lookup(fs_of(req), parent, name, &entry);

	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_entry(req, &entry);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs_node *folder = fs_node(fs_of(req), parent);

	if (folder)
		reply_entry(req, folder, name);
	else
		fuse_reply_err(req, ESTALE);
}

/* What the four ways of making something have in common. */
struct make {
	mode_t mode;
	dev_t device;
	const char *target;     /* of a symbolic link */
};

static int make(int folder, const char *name, const struct make *m)
{
	if (m->target)
		return symlinkat(m->target, folder, name);
	if (S_ISDIR(m->mode))
		return mkdirat(folder, name, m->mode & ~(mode_t)S_IFMT);
	return mknodat(folder, name, m->mode, m->device);
}

static void make_entry(fuse_req_t req, fuse_ino_t parent, const char *name, const struct make *m)
{
	struct fs_node *folder = fs_node(fs_of(req), parent);
	int r = folder ? fs_become(req) : ESTALE;

	if (!r) {
		r = make(folder->fd, name, m) < 0 ? errno : 0;
		fs_become_self(fs_of(req));
	}
	if (r)
		fuse_reply_err(req, r);
	else
		reply_entry(req, folder, name);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	if (S_ISDIR(mode) || S_ISLNK(mode))
		fuse_reply_err(req, EINVAL);
	else
		make_entry(req, parent, name, &(struct make){ .mode = mode, .device = rdev });
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make_entry(req, parent, name, &(struct make){ .mode = (mode & 07777) | S_IFDIR });
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make_entry(req, parent, name, &(struct make){ .target = target });
}

static void remove_entry(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	struct fs_node *folder = fs_node(fs_of(req), parent);

	fuse_reply_err(req, !folder ? ESTALE : unlinkat(folder->fd, name, flags) < 0 ? errno : 0);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_entry(req, parent, name, 0);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_entry(req, parent, name, AT_REMOVEDIR);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		unsigned flags)
{
	struct fs_node *from = fs_node(fs_of(req), parent), *to = fs_node(fs_of(req), new_parent);

	if (!from || !to)
		fuse_reply_err(req, ESTALE);
	else
		fuse_reply_err(req, renameat2(from->fd, name, to->fd, new_name, flags) < 0 ? errno : 0);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fs_server *server = fs_of(req);
	struct fs_node *node = fs_node(server, ino), *folder = fs_node(server, parent);

	if (!node || !folder)
		fuse_reply_err(req, ESTALE);
	else if (node->type == S_IFDIR)
		fuse_reply_err(req, EPERM);
	else if (linkat(server->proc_fd, fs_proc_name(node).text, folder->fd, name, AT_SYMLINK_FOLLOW) < 0)
		fuse_reply_err(req, errno);
	else
		reply_entry(req, folder, name);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fs_server *server = fs_of(req);
	struct fs_node *node = fs_node(server, ino);
	ssize_t n = node ? readlinkat(node->fd, "", server->scratch, sizeof server->scratch) : -1;

	if (n < 0 || n == (ssize_t)sizeof server->scratch) {
		fuse_reply_err(req, !node ? ESTALE : n < 0 ? errno : ENAMETOOLONG);
		return;
	}
	server->scratch[n] = '\0';
	fuse_reply_readlink(req, server->scratch);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_server *server = fs_of(req);
	struct fs_node *node = fs_node(server, ino);
	int fd = node ? openat(node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = !node ? ESTALE : fd < 0 ? errno : fs_handle_add(server, fd, true, &fi->fh);

	if (r)
		fuse_reply_err(req, r);
	else
		fuse_reply_open(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fs_handle_drop(fs_of(req), fi->fh, true);
	fuse_reply_err(req, 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct fs_handle *h = fs_handle(fs_of(req), fi->fh, true);

	fuse_reply_err(req, !h ? EBADF : (data_only ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? errno : 0);
}

/* What getdents64(2) fills. */
struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* One entry into answer; 0: it does not fit. Whoever gets it with plus knows the file once more. */
static size_t put_entry(fuse_req_t req, struct fs_node *folder, const struct dirent64_raw *d, size_t at, size_t size,
		bool plus)
{
	struct fs_server *server = fs_of(req);
	char *to = (char *)server->answer + at;
	bool dots = !strcmp(d->name, ".") || !strcmp(d->name, "..");
	struct fuse_entry_param entry = { .attr = { .st_ino = fs_number(server, folder->dev, d->ino),
		.st_mode = (mode_t)d->type << 12 } };
	size_t need = plus ? fuse_add_direntry_plus(req, NULL, 0, d->name, &entry, d->off)
			: fuse_add_direntry(req, NULL, 0, d->name, &entry.attr, d->off);

	if (need > size - at)
		return 0;
	if (!plus)
		return fuse_add_direntry(req, to, size - at, d->name, &entry.attr, d->off);
	if (!dots) {
		struct fuse_entry_param found;

		if (fs_node_lookup(server, folder, d->name, &found) == 0)
			entry = found; /* else it is gone again, or there is no room: the name alone */
	}
	return fuse_add_direntry_plus(req, to, size - at, d->name, &entry, d->off);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, const struct fuse_file_info *fi, bool plus)
{
	struct fs_server *server = fs_of(req);
	struct fs_handle *h = fs_handle(server, fi->fh, true);
	struct fs_node *folder = fs_node(server, ino);
	size_t at = 0, room = sizeof server->answer, ask;
	long n;

	if (!h || !folder) {
		fuse_reply_err(req, EBADF);
		return;
	}
	if (size < room)
		room = size;
	ask = room < LISTING_MIN ? LISTING_MIN : room; /* an entry takes less there than in the answer */
	if (lseek(h->fd, off, SEEK_SET) < 0 || (n = syscall(SYS_getdents64, h->fd, server->listing, ask)) < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	for (long from = 0; from < n;) {
		const struct dirent64_raw *d = (const struct dirent64_raw *)(server->listing + from);
		size_t put;

		folder = fs_node(server, ino); /* the table may have grown and moved */
		put = folder ? put_entry(req, folder, d, at, room, plus) : 0;
		if (put == 0)
			break;
		at += put;
		from += d->length;
	}
	fuse_reply_buf(req, (char *)server->answer, at);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}

void fs_tree_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
	ops->link = op_link;
	ops->readlink = op_readlink;
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->fsyncdir = op_fsyncdir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
}
