/* SPDX-License-Identifier: Apache-2.0 */
/* Values, addresses and lengths, by the seed. */
#include "tests/containment/hostile/hostile.h"

u64 any(struct cpu *c)
{
	c->random ^= c->random >> 12;
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return c->random * 0x2545f4914f6cdd1dUL;
}

u32 below(struct cpu *c, u32 n)
{
	return (u32)((any(c) >> 32) * n >> 32);
}

int one_in(struct cpu *c, u32 n)
{
	return below(c, n) == 0;
}

u32 width_of(struct cpu *c)
{
	return 1U << below(c, 4);
}

/* Values that programs stumble over. */
u64 wild(struct cpu *c)
{
	switch (below(c, 8)) {
	case 0:
		return 0;
	case 1:
		return ~0UL;
	case 2:
		return 1UL << below(c, 64);
	case 3:
		return (1UL << below(c, 64)) - 1;
	case 4:
		return below(c, 300);
	case 5:
		return 0UL - below(c, 5000);
	default:
		return any(c);
	}
}

/* Where a device may write: see the drawing on top. */
u64 inside(struct cpu *c, u32 align)
{
	u64 at = one_in(c, 16) ? 60 * MIB + below(c, 4 * MIB) : MIB + below(c, 20 * MIB);

	return at & ~(u64)(align - 1);
}

u64 outside(struct cpu *c)
{
	switch (below(c, 8)) {
	case 0:
		return RAM;
	case 1:
		return RAM - 1 - below(c, 64);
	case 2:
		return 0UL - 16 * (1 + below(c, 64));
	case 3:
		return 0xc0000000UL + below(c, 0x3fffffff);
	case 4:
		return WINDOWS + below(c, 8 * WINDOW);
	case 5:
		return (1UL << 32) + below(c, MIB);
	case 6:
		return LAPIC;
	default:
		return 1UL << 63 | any(c);
	}
}

u64 address(struct cpu *c)
{
	return one_in(c, 12) ? outside(c) : inside(c, one_in(c, 4) ? 1 : 16);
}

/* Small ones mostly: the point is not to fill the log. */
u32 length(struct cpu *c)
{
	switch (below(c, 64)) {
	case 0:
		return ~0U;
	case 1:
		return 0x80000000U;
	case 2:
		return RAM + below(c, 1 << 30);
	case 3:
		return below(c, 20 * MIB);
	case 4: case 5: case 6: case 7:
		return 0;
	case 8: case 9: case 10: case 11: case 12: case 13: case 14: case 15:
		return 1 + below(c, 64);
	case 16: case 17: case 18: case 19:
		return below(c, 65536);
	default:
		return 512 * below(c, 9);
	}
}

/* For registers: no ring may come to lie over this program. */
u32 wild_low(struct cpu *c)
{
	u32 value = (u32)wild(c);

	return value >= 40 * MIB && value < 60 * MIB ? value + RAM : value;
}
