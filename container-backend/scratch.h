/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_SCRATCH_H
#define BIVALVE_CONTAINER_SCRATCH_H

#include <stddef.h>
#include <sys/types.h>

#include "runtime/model/plan.h"

/* Whether this process can mount scratch disks here: NULL, or why not in one clause (static). */
const char *scratch_refusal(void);
/*
 * Mounts plan->root.scratch, which is an empty disk of the store (its copy is mounted by a loop device) or, in a guest,
 * a block device with one. Its top folder belongs to the workload's root. Returns the detached mount, which is all that
 * keeps the disk; *ret_device, which may be NULL, its device. Or -errno. To be called before the child exists, with
 * rights over the host that it will not have.
 */
int scratch_mount(const struct plan *plan, dev_t *ret_device, struct error *err);

#endif
