/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_OVERLAY_H
#define BIVALVE_CONTAINER_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/error.h"

/*
 * A folder of the host that the workload may write to without its being written: an overlay whose upper is in the
 * scratch file system. The nth of a plan has its upper at PLAN_OVERLAY_UPPER there.
 */

/*
 * Mounts the nth overlay over lower, a detached or attached mount that is put into the scratch file system, and moves
 * it onto target. user_ns: we are in a user namespace, whose attributes overlayfs has to use. Changes the working
 * folder.
 */
int overlay_place(int scratch, size_t nth, int lower, int target, bool user_ns, struct error *err);

#endif
