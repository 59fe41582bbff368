/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_QEMU_JAIL_H
#define BIVALVE_VM_QEMU_JAIL_H

#include "vm-backend/engine.h"

/*
 * In the child that is about to become QEMU: takes from it what a machine does not need. Afterwards it can read the
 * system's programs and libraries, the machine's kernel, initramfs and disks, write those disks that it may write, and
 * execute nothing but programs of the system (which QEMU's own filter then forbids); it has no TCP, no signals and no
 * abstract sockets outside itself, and no capability but that of reading. What this kernel's Landlock does not know
 * (before Linux 5.13, 6.7, 6.12) is left out. Returns 0, or -1 with errno.
 */
int qemu_jail_enter(const struct vm_config *config);

#endif
