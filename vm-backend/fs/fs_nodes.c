/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest knows: files by number (nodes, one O_PATH descriptor each) and open files (handles). A number is an
 * index and a generation, so that a number from before is recognized as such. Nodes are found by mount, device and
 * inode: the same file seen through a read-only and a writable share is two nodes.
 *
 * O_PATH descriptors are opened again by their name in /proc/self/fd, which is the one way that no rename and no
 * symbolic link can lead astray.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/fs/fs_private.h"
#include "vm-backend/fs/fs_server.h"

enum { ROOT_INDEX = 0, FIRST_NODES = 256, FIRST_HANDLES = 64, NUMBER_BITS = 48, MAX_ENTRIES = 1 << 24 };

int fs_open_proc(struct error *err)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd < 0 ? error_sys(err, "/proc/self/fd") : fd;
}

static uint64_t make_id(uint32_t index, uint32_t generation)
{
	return (uint64_t)generation << 32 | (index + 1);
}

struct fs_node *fs_node(struct fs_server *server, uint64_t id)
{
	uint32_t index = (uint32_t)id - 1;

	if (index >= server->n_nodes || server->nodes[index].fd < 0 || server->nodes[index].generation != id >> 32)
		return NULL;
	return &server->nodes[index];
}

struct fs_handle *fs_handle(struct fs_server *server, uint64_t fh, bool folder)
{
	uint32_t index = (uint32_t)fh - 1;
	struct fs_handle *h = index < server->n_handles ? &server->handles[index] : NULL;

	return h && h->fd >= 0 && h->generation == fh >> 32 && h->folder == folder ? h : NULL;
}

int fs_handle_add(struct fs_server *server, int fd, bool folder, uint64_t *ret_fh)
{
	uint32_t at = 0, n = server->n_handles;

	while (at < n && server->handles[at].fd >= 0)
		at++;
	if (at == n) {
		server->n_handles = n ? 2 * n : FIRST_HANDLES; /* bounded by the descriptors that can be open */
		server->handles = xreallocarray(server->handles, server->n_handles, sizeof *server->handles);
		for (uint32_t i = n; i < server->n_handles; i++)
			server->handles[i] = (struct fs_handle){ .fd = -1 };
	}
	server->handles[at] = (struct fs_handle){ fd, folder, server->handles[at].generation + 1 };
	*ret_fh = make_id(at, server->handles[at].generation);
	return 0;
}

void fs_handle_drop(struct fs_server *server, uint64_t fh, bool folder)
{
	struct fs_handle *h = fs_handle(server, fh, folder);

	if (!h)
		return;
	(void)close(h->fd); /* an error of a write was told by the write */
	h->fd = -1;
}

uint64_t fs_number(struct fs_server *server, uint64_t dev, uint64_t ino)
{
	uint64_t at = 0;

	while (at < server->n_devices && server->devices[at] != dev)
		at++;
	if (at == server->n_devices && at < FS_DEVICES)
		server->devices[server->n_devices++] = dev;
	/* Beyond the table and the bits two files may have one number: tar and find would take them for links. */
	return ino ^ at << NUMBER_BITS;
}

int fs_stat(struct fs_server *server, int fd, struct stat *ret)
{
	if (fstatat(fd, "", ret, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	ret->st_ino = fs_number(server, ret->st_dev, ret->st_ino);
	return 0;
}

struct fs_proc_name fs_proc_name(const struct fs_node *node)
{
	struct fs_proc_name name;

	(void)snprintf(name.text, sizeof name.text, "%d", node->fd); /* fits */
	return name;
}

/* Only regular files: to open a device or a FIFO of the host is the host's business. */
int fs_reopen(struct fs_server *server, const struct fs_node *node, int flags)
{
	int fd;

	if (node->type == S_IFDIR)
		return -EISDIR;
	if (node->type != S_IFREG)
		return node->type == S_IFLNK ? -ELOOP : -ENXIO;
	fd = openat(server->proc_fd, fs_proc_name(node).text, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static uint32_t bucket_of(uint64_t mount_id, uint64_t dev, uint64_t ino)
{
	uint64_t mixed = (ino ^ dev << 20 ^ mount_id << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(mixed >> 32) % FS_BUCKETS;
}

static struct fs_node *find(struct fs_server *server, const struct fs_node *like)
{
	uint32_t at = server->buckets[bucket_of(like->mount_id, like->dev, like->ino)];

	for (; at; at = server->nodes[at - 1].next) {
		struct fs_node *n = &server->nodes[at - 1];

		if (n->ino == like->ino && n->dev == like->dev && n->mount_id == like->mount_id)
			return n;
	}
	return NULL;
}

/* An entry of the table: a free one, or one of a larger table. */
static uint32_t take_entry(struct fs_server *server)
{
	uint32_t n = server->n_nodes, at;

	if (!server->free_node) {
		if (n >= MAX_ENTRIES)
			return UINT32_MAX;
		server->n_nodes = n ? 2 * n : FIRST_NODES;
		server->nodes = xreallocarray(server->nodes, server->n_nodes, sizeof *server->nodes);
		for (uint32_t i = server->n_nodes; i-- > n;) {
			server->nodes[i] = (struct fs_node){ .fd = -1, .next = server->free_node };
			server->free_node = i + 1;
		}
	}
	at = server->free_node - 1;
	server->free_node = server->nodes[at].next;
	return at;
}

/* Takes like->fd, unless it fails. */
static struct fs_node *add(struct fs_server *server, const struct fs_node *like)
{
	uint32_t at = take_entry(server), generation;
	uint32_t *bucket = &server->buckets[bucket_of(like->mount_id, like->dev, like->ino)];

	if (at == UINT32_MAX)
		return NULL;
	generation = server->nodes[at].generation;
	server->nodes[at] = *like;
	server->nodes[at].generation = generation;
	server->nodes[at].next = *bucket;
	*bucket = at + 1;
	return &server->nodes[at];
}

static void drop(struct fs_server *server, struct fs_node *node)
{
	uint32_t index = (uint32_t)(node - server->nodes);
	uint32_t *link = &server->buckets[bucket_of(node->mount_id, node->dev, node->ino)];

	while (*link && *link != index + 1)
		link = &server->nodes[*link - 1].next;
	if (*link)
		*link = node->next;
	(void)close(node->fd); /* O_PATH: nothing to lose */
	*node = (struct fs_node){ .fd = -1, .generation = node->generation + 1, .next = server->free_node };
	server->free_node = index + 1;
}

static uint64_t id_of(const struct fs_server *server, const struct fs_node *node)
{
	return make_id((uint32_t)(node - server->nodes), node->generation);
}

/* Fills what finds a node again, and its description. */
static int describe(struct fs_server *server, struct fs_node *like, struct stat *st)
{
	struct statx x;

	if (statx(like->fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_MNT_ID, &x) < 0 ||
			fstatat(like->fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	like->mount_id = x.stx_mask & STATX_MNT_ID ? x.stx_mnt_id : 0;
	like->dev = st->st_dev;
	like->ino = st->st_ino;
	like->type = st->st_mode & S_IFMT;
	st->st_ino = fs_number(server, st->st_dev, st->st_ino);
	return 0;
}

int fs_node_lookup(struct fs_server *server, struct fs_node *parent, const char *name, struct fuse_entry_param *ret)
{
	struct fs_node like = { .refs = 1 }, *node;
	int r;

	*ret = (struct fuse_entry_param){ .attr_timeout = FS_VALID_S, .entry_timeout = FS_VALID_S };
	like.fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (like.fd < 0)
		return errno;
	r = describe(server, &like, &ret->attr);
	node = r ? NULL : find(server, &like);
	if (node && node->refs < UINT64_MAX)
		node->refs++;
	if (r || node) {
		(void)close(like.fd); /* O_PATH */
	} else {
		node = add(server, &like);
		if (!node) {
			(void)close(like.fd); /* as above */
			r = ENFILE;
		}
	}
	if (!r)
		ret->ino = id_of(server, node);
	return r;
}

void fs_node_forget(struct fs_server *server, uint64_t id, uint64_t count)
{
	struct fs_node *node = fs_node(server, id);

	if (!node || node == &server->nodes[ROOT_INDEX])
		return;
	node->refs -= count < node->refs ? count : node->refs;
	if (node->refs == 0)
		drop(server, node);
}

void fs_nodes_init(struct fs_server *server)
{
	struct fs_node root = { .fd = server->root_fd, .refs = 1 };
	struct stat st;

	if (describe(server, &root, &st) == 0)
		(void)add(server, &root); /* the first entry: its number is FUSE_ROOT_ID */
}

void fs_nodes_clear(struct fs_server *server)
{
	for (uint32_t i = 0; i < server->n_handles; i++)
		close_cleanup(&server->handles[i].fd);
	for (uint32_t i = 1; i < server->n_nodes; i++)
		close_cleanup(&server->nodes[i].fd);
	free(steal_ptr(server->handles));
	free(steal_ptr(server->nodes));
	memset(server->buckets, 0, sizeof server->buckets);
	server->n_nodes = server->n_handles = server->free_node = 0;
	server->n_devices = 0;
}
