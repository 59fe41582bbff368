/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_IDMAP_H
#define BIVALVE_CONTAINER_IDMAP_H

#include <sys/types.h>

#include "runtime/model/plan.h"

enum { IDMAP_MAX = 340 }; /* the kernel's own limit of lines in a map */

/* Refuses maps that cannot be written, naming the entry. */
int idmap_check(const struct plan *plan, struct error *err);
/* Parent: writes the maps of a child in its new user namespace. */
int idmap_write(const struct plan *plan, pid_t pid, struct error *err);
/* Parent: a detached copy of a lower directory whose owners are seen through the child's maps. Its fd; -ENOTSUP when
 * this kernel, file system or user cannot: the files then belong to the overflow ids. */
int idmap_lower(const char *lower, int userns_fd);
/* Parent: a detached, private copy of a bind mount's source; if it is to be idmapped, its owners seen through the
 * mount's maps, or through those of the child's user namespace if it has none. Its fd, or -errno with err. */
int idmap_mount(const struct plan *plan, const struct plan_mount *m, pid_t pid, struct error *err);
/* Child: becomes 0:0 of its user namespace, once the maps are there. */
int idmap_become_root(struct error *err);
/* Whether an id exists in the namespace. No maps: all do. */
bool idmap_has(const struct plan_id_map *maps, size_t n, uint64_t inside);

#endif
