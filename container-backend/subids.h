/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_SUBIDS_H
#define BIVALVE_CONTAINER_SUBIDS_H

#include <sys/types.h>

#include "runtime/model/plan.h"

enum subids_kind { SUBIDS_UID, SUBIDS_GID };

/* Whether this user needs another's help to write the map: it holds more than own, the id the caller has. */
bool subids_needed(const struct plan_id_map *maps, size_t n, uint64_t own);
/* Whether there is somebody to ask: newuidmap or newgidmap (shadow's; Debian: uidmap) in PATH. -ENOENT with err. */
int subids_check(enum subids_kind kind, struct error *err);
/* Has that program write the map of a process of ours. It refuses what /etc/subuid or /etc/subgid does not give the
 * user; err then quotes it. */
int subids_write(enum subids_kind kind, pid_t pid, const struct plan_id_map *maps, size_t n, struct error *err);

#endif
