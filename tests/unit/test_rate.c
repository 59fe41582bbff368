/* SPDX-License-Identifier: Apache-2.0 */
/* Rates: what is used is paid for by waiting, and no amount wraps. */
#include "tests/unit/tap.h"
#include "vm-backend/rate.h"

#define SECOND UINT64_C(1000000000)

static void test_rate(void)
{
	struct rate none = { 0 }, r = { .per_second = 1000 };
	uint64_t now = 100 * SECOND, waited = 0;

	rate_use(&none, UINT64_MAX, now);
	ok(rate_wait_ns(&none, now) == 0, "without a rate nobody waits");
	rate_use(&r, 100, now);
	ok(rate_wait_ns(&r, now) == 0, "after a rest a tenth of a second's worth is free");
	rate_use(&r, 500, now);
	ok(rate_wait_ns(&r, now) == SECOND / 2, "what is used beyond is waited for");
	ok(rate_wait_ns(&r, now + SECOND / 2) == 0, "and then paid");
	r = (struct rate){ .per_second = 1000 };
	for (int i = 0; i < 1000; i++) {
		rate_use(&r, 10, now);
		waited += rate_wait_ns(&r, now);
		now += rate_wait_ns(&r, now);
	}
	ok(waited == 10 * SECOND - SECOND / 10, "10000 at 1000 a second take 9.9 s");
	rate_use(&r, UINT64_MAX, now);
	ok(rate_wait_ns(&r, now) <= 3600 * SECOND, "an absurd amount: an hour at most");
	r = (struct rate){ .per_second = UINT64_MAX };
	rate_use(&r, UINT64_MAX - 1, now);
	ok(rate_wait_ns(&r, now) <= SECOND, "an absurd rate: no wrap");
	rate_use(&r, 1, 0);
	ok(r.free_at_ns > 0, "before the clock's first tenth of a second");
}

int main(void)
{
	test_rate();
	return tap_done();
}
