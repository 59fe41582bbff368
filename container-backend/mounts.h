/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_MOUNTS_H
#define BIVALVE_CONTAINER_MOUNTS_H

#include "runtime/model/plan.h"

/*
 * What is mounted beneath the container's root. Every place is opened beneath the root's descriptor with openat2, so a
 * symbolic link in the image leads nowhere but into the image.
 */
struct mounts {
	int *sources;    /* detached copies of the bind mounts' sources, -1 for other types */
	size_t n;
};

/* Refuses unknown types and options, relative paths and missing sources, naming the field. */
int mounts_check(const struct plan *plan, struct error *err);
/* Copies the sources of the bind mounts, with the identity that may reach them. */
int mounts_open(struct mounts *ret, const struct plan *plan, struct error *err);
/* /proc, /dev with its nodes and /sys, or what the plan has in their places. */
int mounts_base(const struct mounts *m, const struct plan *plan, int root_fd, struct error *err);
/* The plan's other mounts (all of them, with mounts_exact), in order. Those of type cgroup show what cgroupfs_list() found. */
int mounts_plan(const struct mounts *m, const struct plan *plan, int root_fd, const char *groups, struct error *err);
bool mounts_need_cgroup(const struct plan *plan);
/* Read-only and masked paths. */
int mounts_protect(const struct plan *plan, int root_fd, struct error *err);

/* Opens the folder path beneath the root (O_PATH), making what is missing. The caller prefixes the error. */
int mounts_make_dir(int root_fd, const char *path, struct error *err);
/* Opens the file path beneath the root (O_PATH), making it (empty) and its folders when missing. */
int mounts_make_file(int root_fd, const char *path, struct error *err);

#endif
