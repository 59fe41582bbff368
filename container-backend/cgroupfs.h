/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_CGROUPFS_H
#define BIVALVE_CONTAINER_CGROUPFS_H

#include <stdbool.h>

#include "runtime/base/error.h"

/*
 * The hierarchies in which the caller is in group (NULL: all, it has none of its own): one a line, "controllers path"
 * ("unified" for v2). For
 * cgroupfs_mount. To be asked before the cgroup namespace is made: afterwards every group looks like the root. The
 * caller frees it.
 */
int cgroupfs_list(const char *group, char **ret_list, struct error *err);
/*
 * Shows the caller's control group on an open folder; on v1 and hybrid hosts as a tmpfs with a folder for each
 * hierarchy of the list (the others would show the host's groups). flags: MS_RDONLY and so on. own_namespace: the
 * caller is in a cgroup namespace of its own; else its groups are bound from /sys/fs/cgroup. Changes the working
 * folder.
 */
int cgroupfs_mount(int target_fd, const char *list, unsigned long flags, bool own_namespace, struct error *err);

#endif
