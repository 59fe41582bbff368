/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_SHARES_H
#define BIVALVE_VM_SHARES_H

#include "runtime/model/plan.h"
#include "vm-backend/engine.h"

/*
 * Host directories and files in a guest: the root of a bundle (plan.root.path) first, then the bind mounts in order.
 * They are the entries "0", "1", … of one tree, the share tree, that one virtio-fs device shows under one tag.
 */
#define SHARES_TAG    "bivalve"
#define SHARES_FOLDER "/run/shares" /* in the guest */

/* Words of the kernel's command line behind "--", which it hands to PID 1 as arguments. */
#define SHARES_WORD   "shares"  /* there is a share tree: mount it */
#define NO_IMAGE_WORD "noimage" /* there is no disk with an image */

/* Whether the plan has any. */
bool shares_wanted(const struct plan *plan);
/* The shares of a plan: an array that the caller frees, with strings of the plan's. */
size_t shares_of_plan(const struct plan *plan, struct vm_share **ret);
/* Refuses, naming the field, what cannot be shared: sockets, devices, FIFOs, id-mapped mounts. Only reads. */
int shares_check(const struct plan *plan, struct error *err);

/*
 * What the guest gets to see: root.path and the sources of bind mounts become paths below SHARES_FOLDER. Takes a
 * shallow copy of a plan, and gives it mounts of its own whose other strings are still borrowed. shares_rewrite_undo
 * frees these.
 */
void shares_rewrite(struct plan *copy);
void shares_rewrite_undo(struct plan *copy);

/* Whether the source of a mount is a folder or file of the host: a bind's, and an overlay's, which is only read. */
bool share_of_mount(const struct plan *plan, const struct plan_mount *m);
/* A copy of the share's mount, not yet anywhere: a descriptor, or -errno. Read-only where asked, without devices and
 * set-uid. */
int share_open(const struct vm_share *share, struct error *err);
/* An empty folder that stays so, likewise; -1 and errno on failure. */
int share_open_empty(void);

/* Copies of the shares' mounts, not yet anywhere; read-only where asked, without devices and set-uid. */
struct share_tree {
	const struct vm_share *shares; /* borrowed */
	int *mounts;
	size_t n;
};

/* A share tree's first step: opens the shares by path. The caller is in a mount namespace of its own. */
int share_tree_open(struct share_tree *tree, const struct vm_share *shares, size_t n, struct error *err);
/*
 * The second: a read-only tmpfs with the shares in it, mounted on the folder target of this mount namespace.
 * Returns a descriptor of the tree's root, or -errno.
 */
int share_tree_mount(struct share_tree *tree, const char *target, struct error *err);
void share_tree_release(struct share_tree *tree);

#endif
