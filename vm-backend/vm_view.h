/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_VIEW_H
#define BIVALVE_VM_VIEW_H

#include "runtime/base/error.h"
#include "runtime/model/plan.h"

/*
 * What clients see that enter the mount namespace of instance.pid, as `podman cp` does: the root of a bundle and its
 * bind mounts, as the workload sees them. Moves the calling process, which must have one thread, into such a namespace.
 * The mount points are there once the guest has set up the workload. Afterwards no path of the host is valid.
 *
 * Returns 0 also where there is nothing to do: no root.path, or no right to make mount namespaces. Nobody of
 * this user can enter the namespace then either; the host's root can, and sees the host there
 * (docs/security.md). A user namespace would give the right, but in it the monitor could not tell root among
 * its peers. On failure the process may be between the two and should end.
 */
int vm_view_enter(const struct plan *plan, struct error *err);

#endif
