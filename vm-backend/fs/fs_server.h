/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_FS_SERVER_H
#define BIVALVE_VM_FS_SERVER_H

#include <stdint.h>
#include <sys/uio.h>

#include "runtime/base/error.h"

/*
 * The FUSE server behind virtio-fs: answers the guest kernel's requests on files below one folder. Used by one thread;
 * its working directory must be proc_fd's, and it sets that in fs_server_new.
 */
struct fs_server;

/*
 * root_fd: the folder, an O_PATH or other descriptor. proc_fd: this process's /proc/self/fd, as a mount of its own,
 * so that ".." leads nowhere. Both are borrowed. Changes the process's umask and working directory.
 */
int fs_server_new(int root_fd, int proc_fd, struct fs_server **ret, struct error *err);
void fs_server_free(struct fs_server *server);

/*
 * One request. out is what the guest wrote, in where the answer goes: both are the guest's memory, and may change at
 * any time. Returns the bytes of the answer (0 for a request that has none), or -EPROTO: not even a header came.
 */
int64_t fs_server_request(struct fs_server *server, const struct iovec *out, unsigned n_out, uint64_t out_bytes,
		const struct iovec *in, unsigned n_in, uint64_t in_bytes);

/* As if nothing had ever been asked: the driver is gone, or comes anew. */
void fs_server_reset(struct fs_server *server);

/* A detached mount of this process's /proc/self/fd, for proc_fd; needs the right to mount. Or -errno. */
int fs_open_proc(struct error *err);

#endif
