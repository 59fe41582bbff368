/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_X86_TABLES_H
#define BIVALVE_X86_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm-backend/memory.h"

/* What firmware would tell the kernel about the machine: its processors, interrupts and devices. */
struct hardware {
	unsigned vcpus;
	struct {
		gpa_t base;
		uint32_t bytes;
		unsigned gsi;
	} windows[32];
	size_t n_windows;
	bool serial;            /* COM1 exists */
};

/* ACPI tables at ACPI_GPA; 0 or -ENOSPC. *ret_rsdp: where the RSDP lies. */
int acpi_write(const struct vm_memory *memory, const struct hardware *hardware, gpa_t *ret_rsdp);

/* The MultiProcessor Specification's table at MP_TABLE_GPA, for kernels without ACPI. */
int mptable_write(const struct vm_memory *memory, const struct hardware *hardware);

/* Adds what makes the bytes' sum 0 into *at. */
void table_checksum(uint8_t *at, const void *table, size_t bytes);

#endif
