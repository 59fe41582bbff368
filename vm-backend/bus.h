/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_BUS_H
#define BIVALVE_VM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who answers at an address. There is one bus for memory-mapped registers and, where the processor has them, one for
 * ports. It is filled before the first vCPU runs and constant from then on, so it needs no lock; the handlers run on
 * the vCPU's thread, several at a time.
 */
struct bus_range {
	uint64_t base;
	uint64_t bytes;
	/* offset is inside the range, as is offset + len. Reads fill data, which arrives as all-ones. */
	void (*access)(void *owner, uint64_t offset, void *data, unsigned len, bool write);
	void *owner;
};

enum { BUS_MAX_RANGES = 32 };
struct bus {
	struct bus_range ranges[BUS_MAX_RANGES];
	size_t n_ranges;
};

/* Adds a range; aborts on one too many: their number is fixed by the code. */
void bus_add(struct bus *bus, const struct bus_range *range);
/* One access of the guest. Where nobody is, reads give all-ones and writes vanish. */
void bus_access(const struct bus *bus, uint64_t address, void *data, unsigned len, bool write);

#endif
