/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_SWEEP_H
#define BIVALVE_LAUNCH_SWEEP_H

#include <stdbool.h>

#include "runtime/base/error.h"
#include "runtime/model/instance.h"

/*
 * A launcher holds a flock(2) on its instance's folder as long as it lives: a folder that can be locked belongs to
 * nobody, however its launcher died, and no pid has to be trusted for that.
 */

/*
 * Makes <run_dir>/<id>/ and locks it; the lock ends with the returned fd. A dead instance of that name is removed
 * first. -EEXIST: it is in use.
 */
int instance_claim(const char *run_dir, const char *id, int *ret_lock_fd, struct error *err);
/* Is somebody holding it? */
bool instance_is_held(const char *run_dir, const char *id);
/* Ends and removes one instance with all that state.json names. force: also one that is held. Idempotent. */
int instance_remove(const char *run_dir, const char *id, bool force, struct error *err);
/* Removes every instance that nobody holds. Failures are left for the next time. Returns how many were removed. */
int instance_sweep(const char *run_dir);

#endif
