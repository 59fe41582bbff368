/* SPDX-License-Identifier: Apache-2.0 */
/* Address decoding for accesses that leave the guest. A dozen ranges: a linear search is the fastest. */
#include <stdlib.h>
#include <string.h>

#include "vm-backend/bus.h"

void bus_add(struct bus *bus, const struct bus_range *range)
{
	if (bus->n_ranges == BUS_MAX_RANGES)
		abort();
	bus->ranges[bus->n_ranges++] = *range;
}

void bus_access(const struct bus *bus, uint64_t address, void *data, unsigned len, bool write)
{
	if (!write)
		memset(data, 0xff, len);
	for (size_t i = 0; i < bus->n_ranges; i++) {
		const struct bus_range *r = &bus->ranges[i];

		if (address < r->base || address - r->base >= r->bytes)
			continue;
		if (len <= r->bytes - (address - r->base)) /* one that runs over the end belongs to nobody */
			r->access(r->owner, address - r->base, data, len, write);
		return;
	}
}
