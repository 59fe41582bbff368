/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_CHILDREN_H
#define BIVALVE_VM_CHILDREN_H

/*
 * Children of a VM's monitor that outlive it (virtiofsd does by a moment) become the caller's, who can wait for them.
 * Idempotent, for the process's life.
 */
void vm_children_adopt(void);

/*
 * Reaps children until none is left, for at most two seconds. Those of a VM end with their machine or their parent by
 * themselves: who waits here is gone after them, so that a run leaves nothing behind, not even for a moment.
 */
void vm_children_await(void);

#endif
