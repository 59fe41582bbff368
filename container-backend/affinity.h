/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_AFFINITY_H
#define BIVALVE_CONTAINER_AFFINITY_H

#include "runtime/base/error.h"

/* Processors that a process may use, in the kernel's notation: "0-3,7". Other text is refused, naming field. */
int affinity_check(const char *cpus, const char *field, struct error *err);
/* Binds the caller, and what it makes from then on, to them. NULL: as it is. */
int affinity_set(const char *cpus, const char *field, struct error *err);

#endif
