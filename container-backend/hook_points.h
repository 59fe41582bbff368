/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_HOOK_POINTS_H
#define BIVALVE_CONTAINER_HOOK_POINTS_H

#include <sys/types.h>

#include "container-backend/spawn.h"

/*
 * Where hooks run while a container is made (runtime-spec, config.md, "POSIX-platform Hooks"):
 *
 *      child                                              parent
 *      namespaces, mounts, devices ─── HOOK_POINT ──────► prestart, createRuntime, in the runtime's namespaces
 *      createContainer, before pivot_root ◄── states ────
 *      startContainer, in the container's root, just before the workload
 */
#define HOOK_POINT "hooks" /* the text of the child's MILESTONE */

/* Whether any of these stages has a hook. */
bool hook_points_needed(const struct plan *plan);
/* Parent: runs its stages, then sends the child what it needs for its own. */
int hook_points_serve(const struct spawn_request *request, pid_t pid, int sock, struct error *err);
/*
 * Child: asks for the parent's stages and runs createContainer. *ret_state, the caller's, is what startContainer gets.
 */
int hook_points_pass(const struct plan *plan, int sock, char **ret_state, struct error *err);

#endif
