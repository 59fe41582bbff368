/* SPDX-License-Identifier: Apache-2.0 */
/* Rates, as a clock that runs ahead by what was used: no tokens to refill, nothing to do while nobody uses it. */
#include "vm-backend/rate.h"

#define SECOND_NS UINT64_C(1000000000)
#define BURST_NS  (SECOND_NS / 10)

/* No use takes longer than this to pay: what a guest makes up of its sizes wraps nothing. */
#define MOST_NS   (3600 * SECOND_NS)

void rate_use(struct rate *rate, uint64_t amount, uint64_t now_ns)
{
	uint64_t rested = now_ns > BURST_NS ? now_ns - BURST_NS : 0, cost;

	if (!rate->per_second)
		return;
	cost = amount / rate->per_second >= MOST_NS / SECOND_NS ? MOST_NS :
		amount / rate->per_second * SECOND_NS +
			(uint64_t)((double)(amount % rate->per_second) * 1e9 / (double)rate->per_second);
	if (rate->free_at_ns < rested)
		rate->free_at_ns = rested;
	rate->free_at_ns += cost;
}

uint64_t rate_wait_ns(const struct rate *rate, uint64_t now_ns)
{
	return rate->per_second && rate->free_at_ns > now_ns ? rate->free_at_ns - now_ns : 0;
}
