/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_SYSCTLS_H
#define BIVALVE_CONTAINER_SYSCTLS_H

#include "runtime/model/plan.h"

/* Refuses, by name, what would change the host: keys that are not of a namespace which the container has for itself. */
int sysctls_check(const struct plan *plan, struct error *err);
/* Child, in all of its namespaces, before it leaves the host's view: writes them. */
int sysctls_write(const struct plan *plan, struct error *err);

#endif
