/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_PROCESSES_H
#define BIVALVE_VM_PROCESSES_H

#include "runtime/model/backend.h"

/* A list of the guest's processes, as it goes over the agent channel. */
struct vm_processes {
	struct backend_process *list;
	size_t n;
};
extern const struct record_type vm_processes_type;

#endif
