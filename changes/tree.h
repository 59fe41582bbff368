/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CHANGES_TREE_H
#define BIVALVE_CHANGES_TREE_H

#include "changes/changes.h"

/* Whether an entry can be applied at all: no FIFO, socket or device is. */
bool changes_is_applied(const struct change *e);
/* Applies the list to trees of files, one root for each overlay. *ret_done counts. Returns 0 or -errno. */
int changes_apply(const struct changes *c, const int *roots, size_t *ret_done, struct error *err);

#endif
