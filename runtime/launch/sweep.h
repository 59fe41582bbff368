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
/*
 * Loads an instance for a verb. change: of a detached one the folder is locked (*ret_lock, the caller's to close), so
 * that
 * verbs that change it come one after the other; a supervised one has its launcher's lock, and changes of it are single
 * writes. -ENOENT: `container "ID" does not exist`. On failure ret is empty.
 */
int instance_open(const char *run_dir, const char *id, bool change, struct instance *ret, int *ret_lock,
		struct error *err);
/* Is somebody holding it? */
bool instance_is_held(const char *run_dir, const char *id);
/*
 * Removes one instance with all that state.json names, and runs its hooks poststop. force: also one that is not
 * stopped,
 * which it ends. -ENOENT: there is none.
 */
int instance_remove(const char *run_dir, const char *id, bool force, struct error *err);
/* Removes every instance that nobody holds and that is not detached. Failures are left for the next time. Returns
 * how many were removed. */
int instance_sweep(const char *run_dir);

#endif
