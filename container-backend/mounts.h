/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_MOUNTS_H
#define BIVALVE_CONTAINER_MOUNTS_H

#include "container-backend/places.h"
#include "runtime/model/plan.h"

/*
 * What is mounted beneath the container's root. Every place is opened beneath the root's descriptor with openat2, so a
 * symbolic link in the image leads nowhere but into the image.
 */
struct mount_step;
struct mounts {
	const struct plan *plan;
	bool by_root;             /* root makes the container: see mounts_is_given() */
	struct mount_step *steps; /* in the order of mounting */
	size_t n;
	/* Asked for when the first cgroup mount is due: joins the control group and says what cgroupfs_list() found.
	 * The parent may still be making the group until then. */
	int (*groups)(void *arg, const char **ret_list, struct error *err);
	void *groups_arg;
	int scratch;              /* where overlays keep what is written; borrowed */
	/* they are not the container's own, which has none: shown read-only, whatever is asked */
	bool foreign_groups;
};

/* mounts_check.c. Refuses unknown types and options, bad paths and missing sources, naming the field. */
int mounts_check(const struct plan *plan, struct error *err);
/*
 * Makes the mounts of this namespace private (or slaves, as the plan's propagation wants) and copies the sources of the
 * bind mounts, with the identity that may reach them, but those that the parent gives.
 */
int mounts_open(struct mounts *ret, const struct plan *plan, bool by_root, struct error *err);
/* How many sources the parent has to give, by mounts_adopt in the order of plan.mounts. */
size_t mounts_count_given(const struct plan *plan, bool by_root);
/*
 * Whether the parent has to give the source of this mount: one that is idmapped, which takes rights over its file
 * system; and, for root (by_root), every bind mount of a user namespace, since the child has no capability over the
 * host and cannot go through a folder that only its owner may enter. Not where the mount is to be the host's peer or
 * slave, which a copy of the child's own mount namespace is.
 */
bool mounts_is_given(const struct plan *plan, size_t i, bool by_root);
/* Takes the detached copy of the nth of those sources. */
int mounts_adopt(struct mounts *m, size_t nth, int fd, struct error *err);
/* Mounts everything: the base that every container has (unless mounts_exact), then the plan's in order, with the nodes
 * in /dev. Changes the working folder. */
int mounts_make(struct mounts *m, int root_fd, struct error *err);
/* Makes read-only what had to be written to until now (tmpfs, /dev). */
int mounts_finish(const struct mounts *m, int root_fd, struct error *err);
bool mounts_need_cgroup(const struct plan *plan);

/* protect.c: read-only and masked paths. */
int mounts_protect(const struct plan *plan, int root_fd, struct error *err);

#endif
