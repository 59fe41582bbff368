/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_QEMU_STATE_H
#define BIVALVE_VM_QEMU_STATE_H

#include "vm-backend/engine.h"

/* Saving QEMU's machines and going on from what was saved: vm_engine's operations of the same names (engine.h). */

enum { QEMU_STATE_FD = 7 }; /* the saved state's number in the program */

/* After the program was started with -incoming defer: gives it the state. The machine runs then. */
int qemu_state_restore(const struct vm_config *config, struct error *err);
int qemu_state_save(const struct vm_config *config, int state_fd, struct error *err);
int qemu_state_resume(const struct vm_config *config, struct error *err);
char *qemu_state_identity(struct error *err);

/* The program's path (owned by the caller), looked up in PATH and where distributions put it; NULL: not there. */
char *qemu_find_program(void);
/* Whether KVM runs its machines here, rather than TCG. */
bool qemu_accelerated(void);

/*
 * The kernel's command line as the engine gives it for config->kernel_path and command_line, owned by the caller; and
 * what goes
 * with it: whether KVM runs the machine (else TCG), and whether the machine needs ACPI. For benchmarks beside it.
 */
char *qemu_kernel_words(const struct vm_config *config, bool *ret_accelerated, bool *ret_acpi);

#endif
