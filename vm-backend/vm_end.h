/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_END_H
#define BIVALVE_VM_END_H

#include "runtime/model/backend.h"

/* Operations of struct backend (backend.h). */
void vm_account(const struct instance *in, struct report *report);
/* Ends monitor and machine if they live, and removes the control group. Idempotent. */
int vm_delete(const struct instance *in, struct error *err);

#endif
