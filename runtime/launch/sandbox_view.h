/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_SANDBOX_VIEW_H
#define BIVALVE_LAUNCH_SANDBOX_VIEW_H

#include "runtime/launch/prepare.h"

/*
 * What a sandboxed program sees of the host: the plan's root, its mounts and links, and argv[0] where the word that was
 * typed would not lead to the program in there. After the policy was applied. Only reads. Returns 0 or -errno.
 */
int sandbox_view_fill(const struct launch_options *o, struct plan *plan, struct error *err);

#endif
