/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_MOUNTFD_H
#define BIVALVE_CONTAINER_MOUNTFD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/mount.h>

#include "runtime/base/error.h"

/*
 * Mounts as descriptors (Linux 5.12): the system calls, thin, CLOEXEC, returning -errno. Nothing here takes a path that
 * the workload's files could bend.
 */
int mountfd_clone(int dirfd, const char *path, bool recursive);    /* open_tree; path "": dirfd itself */
int mountfd_clone_at(int dirfd, const char *path, bool recursive, bool nofollow); /* nofollow: of a link, the link */
int mountfd_set(int fd, uint64_t set, uint64_t clear, bool recursive); /* MOUNT_ATTR_ bits, by mount_setattr */
int mountfd_idmap(int fd, int userns_fd, bool recursive);
int mountfd_propagate(int fd, unsigned long flag);                 /* MS_SHARED and so on; with MS_REC for the tree */
int mountfd_move(int fd, int target_fd);                           /* a detached mount onto an open place */
int mountfd_move_to(int fd, int dirfd, const char *name);          /* onto a name in it; a link is not followed */

int mountfd_fs_open(const char *type);                             /* fsopen */
/* fsconfig: value NULL sets a flag. */
int mountfd_fs_set(int fs, const char *key, const char *value);
/* Creates the file system and a detached mount of it: its fd. */
int mountfd_fs_mount(int fs, uint64_t attributes);
/* As error_set, with what the file system itself said about the failure, if anything. */
int mountfd_fs_error(int fs, int code, struct error *err, const char *what);

/* mount(2) of a file system onto an open folder, by fchdir and ".": no path is walked. Changes the working folder. */
int mountfd_mount_at(int target_fd, const char *type, unsigned long flags, const char *data);

#endif
