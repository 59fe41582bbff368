/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_CONFIG_H
#define BIVALVE_VM_CONFIG_H

#include "runtime/model/plan.h"
#include "vm-backend/engine.h"

/* The machine that a plan asks for, and what its description owns. */
struct vm_machine {
	struct vm_config config;
	struct vm_share *shares;
	char *words;             /* the kernel's command line */
};

/*
 * Fills *ret from the plan, which must outlive it: all but the descriptors, which are -1. verbose: the guest's kernel
 * says all it has to say. Released by vm_machine_release.
 */
void vm_machine_describe(const struct plan *plan, bool verbose, struct vm_machine *ret);
/* Gives the machine the disks that are its own. What is copied is gone with the last process that has it open. */
int vm_machine_copy_disks(struct vm_machine *machine, struct error *err);
void vm_machine_release(struct vm_machine *machine);

/* The disk for its writes; NULL: it has none. */
const struct vm_disk *vm_scratch_disk(const struct vm_config *config);

/* What the guest calls the disk for its writes, /dev/vda or /dev/vdb. Static. */
const char *vm_scratch_device(const struct plan *plan);

/* Whether BIVALVE_VM_LOG=1 asks for the guest kernel's log on our standard error. */
bool vm_log_wanted(void);

#endif
