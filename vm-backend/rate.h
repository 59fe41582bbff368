/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_RATE_H
#define BIVALVE_VM_RATE_H

#include <stdint.h>

/*
 * A rate: so much a second, with a tenth of a second's worth at once after a rest. What was used beyond it is paid by
 * waiting before the next use, however large one use is.
 */
struct rate {
	uint64_t per_second;     /* 0: not limited */
	uint64_t free_at_ns;     /* until then nothing more may be used */
};

/* Notes that amount is used now. */
void rate_use(struct rate *rate, uint64_t amount, uint64_t now_ns);
/* How long from now nothing may be used; 0: it may. */
uint64_t rate_wait_ns(const struct rate *rate, uint64_t now_ns);

#endif
