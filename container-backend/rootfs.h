/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_ROOTFS_H
#define BIVALVE_CONTAINER_ROOTFS_H

#include "runtime/model/plan.h"

/* The container's root, from its lower directories to pivot_root. All in the child, in its own mount namespace. */
struct rootfs {
	int fd;               /* the root's mount, -1 before rootfs_mount */
	int *lowers;          /* a descriptor of each, the lowest first; some detached idmapped mounts */
	bool *idmapped;
	size_t n;
	int dir;              /* plan.root.path, -1: the root is made of lowers */
	int stage;            /* the topmost lower: what we mount is put over it, out of nobody's way */
	int disk;             /* the mount of the disk that takes the writes; -1: a tmpfs does */
	int scratch;          /* what takes the writes, as long as somebody needs it; -1: none, or not yet */
	bool seal;            /* read-only once everything is mounted */
};

/* Opens the lowers or the root's directory, with the identity that may reach them. */
int rootfs_open(struct rootfs *ret, const struct plan *plan, struct error *err);
/* Replaces lower i by an idmapped copy of it; takes the fd. */
void rootfs_adopt(struct rootfs *r, size_t i, int fd);
/* Mounts the root (overlay, a read-only bind, or root.path itself): r->fd. */
int rootfs_mount(struct rootfs *r, const struct plan *plan, struct error *err);
/* Read-only from now on, if the plan says so. */
int rootfs_seal(const struct rootfs *r, struct error *err);
/* Makes it "/" and lets go of everything outside; its propagation. */
int rootfs_enter(const struct rootfs *r, const struct plan *plan, struct error *err);

#endif
