/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_TEMPLATE_MAKE_H
#define BIVALVE_VM_TEMPLATE_MAKE_H

#include "runtime/model/plan.h"
#include "vm-backend/template.h"

/*
 * Makes the template that fits the plan's machine: boots it, saves it when its guest is ready, ends it. work: an empty
 * folder on the file system of plan->vm.templates, which becomes the template. One that is there already and whole is
 * left as it is. Returns 1 when it was made, 0 when it was there; *ret is the caller's to release.
 */
int template_make(const struct plan *plan, const struct vm_engine *engine, const char *work, struct template *ret,
		struct error *err);

#endif
