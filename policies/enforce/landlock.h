/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_LANDLOCK_H
#define BIVALVE_ENFORCE_LANDLOCK_H

#include "runtime/model/plan.h"

/*
 * Landlock (landlock(7)): a second wall around paths and TCP ports, which holds whatever mounts and rights say. The
 * process gives the rights up itself, for good, with all its children.
 */

/* The kernel's version of it; 0: none. */
int landlock_version(void);
/*
 * Whether this kernel can do all that is asked. -EOPNOTSUPP, naming what it lacks, unless that is accepted
 * (best_effort).
 */
int landlock_check(const struct plan_landlock *l, struct error *err);
/*
 * Makes the rules, of paths as the caller sees them now; what does not exist is left out, which denies. *ret_fd: for
 * landlock_enforce(), -1: there is nothing to enforce. *ret_missing: what the kernel lacks, static; NULL: nothing.
 */
int landlock_prepare(const struct plan_landlock *l, int *ret_fd, const char **ret_missing, struct error *err);
/* The calling thread is bound from now on. Needs no_new_privs or CAP_SYS_ADMIN. 0 or -errno. */
int landlock_enforce(int fd);

#endif
