/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_FS_PRIVATE_H
#define BIVALVE_VM_FS_PRIVATE_H

#define FUSE_USE_VERSION 35
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vm-backend/virtio/queue.h"

/* What the files of the server share. Everything the guest names is a number that is looked up in a table here. */
enum {
	FS_REQUEST_MAX = 96 << 10,      /* all but the data of a write; an extended attribute has up to 64 KiB */
	FS_ANSWER_MAX = 64 << 10,       /* folders, extended attributes and links */
	FS_WRITE_MAX = 1 << 20,
	FS_BUCKETS = 4096,
	FS_DEVICES = 64,
	FS_NAME_MAX = 255,
};

/* An open file or folder of the guest's. */
struct fs_handle {
	int fd;                 /* -1: the entry is free */
	bool folder;
	uint32_t generation;
};

/* A file that the guest knows. */
struct fs_node {
	int fd;                 /* O_PATH; -1: the entry is free */
	uint32_t type;          /* S_IFMT */
	uint32_t generation;
	uint64_t refs;          /* what the guest owes us by FORGET */
	uint64_t mount_id, dev, ino;
	uint32_t next;          /* in its bucket, or of the free ones; an index + 1, 0 ends */
};

struct fs_server {
	int root_fd, proc_fd;
	uid_t uid;
	gid_t gid;
	struct fuse_session *session;
	struct fs_node *nodes;
	uint32_t n_nodes, free_node;    /* free_node: index + 1 */
	uint32_t buckets[FS_BUCKETS];   /* index + 1 */
	struct fs_handle *handles;
	uint32_t n_handles;
	uint64_t devices[FS_DEVICES];   /* st_dev in the order in which they were met */
	unsigned n_devices;
	/* Of the request that is served. */
	const struct iovec *out, *in;
	unsigned n_out, n_in;
	uint64_t out_bytes, in_bytes;
	int64_t answered;               /* bytes; -1: not yet */
	struct iovec slice[VIRTQ_MAX_SIZE];
	char scratch[4096 + 1];         /* the target of a link, a name */
	_Alignas(8) uint8_t request[FS_REQUEST_MAX];
	_Alignas(8) uint8_t answer[FS_ANSWER_MAX];
	_Alignas(8) uint8_t listing[FS_ANSWER_MAX];
};

/* Stands for data that is in the guest's memory already: it is never read. */
#define FS_IN_PLACE ((const char *)1)

static inline struct fs_server *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* fs_nodes.c: NULL for a number that is none (any more). */
struct fs_node *fs_node(struct fs_server *server, uint64_t id);
struct fs_handle *fs_handle(struct fs_server *server, uint64_t fh, bool folder);
/* Takes fd in any case. Returns 0 and the number, or an errno value. */
int fs_handle_add(struct fs_server *server, int fd, bool folder, uint64_t *ret_fh);
void fs_handle_drop(struct fs_server *server, uint64_t fh, bool folder);
/* The file name in parent: counted as known once more, and described. Returns 0 or an errno value. */
int fs_node_lookup(struct fs_server *server, struct fs_node *parent, const char *name, struct fuse_entry_param *ret);
void fs_node_forget(struct fs_server *server, uint64_t id, uint64_t count);
void fs_nodes_init(struct fs_server *server);
void fs_nodes_clear(struct fs_server *server);
/* A number that is unlike that of any other file on any other mount, as far as 16 bits for the device reach. */
uint64_t fs_number(struct fs_server *server, uint64_t dev, uint64_t ino);
int fs_stat(struct fs_server *server, int fd, struct stat *ret);
/* Opens a regular file anew, by its node. Returns a descriptor or -errno. */
int fs_reopen(struct fs_server *server, const struct fs_node *node, int flags);
/* "123", the name of a node in proc_fd. */
struct fs_proc_name {
	char text[16];
};
struct fs_proc_name fs_proc_name(const struct fs_node *node);

/* How long the guest believes what it was told, in seconds: as long as a change on the host may stay unseen. */
#define FS_VALID_S 1.0

/* Becomes the owner of what is made, and root again. Returns 0 or an errno value. */
int fs_become(fuse_req_t req);
void fs_become_self(const struct fs_server *server);

/* Each fills its part of the operations. */
void fs_tree_ops(struct fuse_lowlevel_ops *ops);
void fs_file_ops(struct fuse_lowlevel_ops *ops);
void fs_attr_ops(struct fuse_lowlevel_ops *ops);

#endif
