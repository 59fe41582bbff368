/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_MOUNT_KINDS_H
#define BIVALVE_CONTAINER_MOUNT_KINDS_H

#include "container-backend/mount_options.h"
#include "runtime/model/plan.h"

/* What kind a mount of the plan is, as mounts_check.c found it good and mounts.c makes it. */

/* By its type's name alone; one without a type is none. */
bool mount_is_type(const struct plan_mount *m, const char *type);
/* The container's own control groups, whatever the host's layout is. */
bool mount_is_cgroup(const struct plan_mount *m);
/* A bundle's mount is a bind by its options, whatever its type says. */
bool mount_is_bind(const struct plan_mount *m, const struct mount_options *o);
/* MS_ flags that hold unless a word takes them away: none in a bundle, whose words are all there is. */
unsigned long mount_default_flags(const struct plan *plan, const struct plan_mount *m);

#endif
