/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_BOOT_H
#define BIVALVE_VM_BOOT_H

#include <stdbool.h>

#include "runtime/base/strbuf.h"
#include "vm-backend/machine.h"

/*
 * Opens machine->config's kernel and initramfs and begins to put them into RAM, in a thread of its own that ends with
 * that: reading and clearing memory take as long as making a jail. After devices_init, which places devices.
 */
int boot_start(struct machine *machine, struct error *err);
/* Waits for that; then machine->entry is known. Without boot_start, and again, it does nothing. */
int boot_await(struct error *err);

/*
 * The kernel's command line: the architecture's words, the devices for a kernel without ACPI, then the caller's, which
 * so have the last word.
 */
void boot_command_line(const struct machine *machine, bool no_acpi, struct strbuf *line);
/* Whether the words of a command line contain word ("acpi=off"). */
bool boot_has_word(const char *words, const char *word);

#endif
