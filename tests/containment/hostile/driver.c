/* SPDX-License-Identifier: Apache-2.0 */
/* A driver that knows how, to get as far as the devices' own code. */
#include "tests/containment/hostile/hostile.h"

struct device *some_device(struct cpu *c)
{
	return &devices[below(c, n_devices)];
}

struct device *some_device_of(struct cpu *c, u32 id)
{
	u32 first = below(c, n_devices);

	for (u32 i = 0; i < n_devices; i++)
		if (devices[(first + i) % n_devices].id == id)
			return &devices[(first + i) % n_devices];
	return 0;
}

static u64 ring_address(struct cpu *c, u32 align)
{
	return inside(c, align);
}

void set_address(struct device *d, u32 reg, u64 at)
{
	reg_write(d, reg, (u32)at);
	reg_write(d, reg + 4, (u32)(at >> 32));
}

static int set_up_queue(struct cpu *c, struct device *d, u32 n)
{
	struct queue *q = &d->queues[n];
	u32 max, size;

	reg_write(d, QUEUE_SEL, n);
	max = reg_read(d, NUM_MAX);
	if (max == 0)
		return 0;
	size = max >> (one_in(c, 3) ? below(c, 8) : 0);
	if (size == 0)
		size = 1;
	if (size > MAX_SIZE)
		size = MAX_SIZE;
	*q = (struct queue){ (struct desc *)ring_address(c, 4096), (u16 *)ring_address(c, 4096),
		(u16 *)ring_address(c, 4096), (u16)size, 0 };
	if ((u64)q->avail < 24 * MIB)
		memset(q->avail, 0, 4096);
	reg_write(d, NUM, size);
	set_address(d, DESC, (u64)q->desc);
	set_address(d, AVAIL, (u64)q->avail);
	set_address(d, USED, (u64)q->used);
	q->avail[1] = q->idx = 0;
	reg_write(d, READY, 1);
	return 1;
}

void activate(struct cpu *c, struct device *d)
{
	u32 low, high;

	reg_write(d, STATUS, 0);
	reg_write(d, STATUS, ACKNOWLEDGE);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, FEATURES_SEL, 0);
	low = reg_read(d, FEATURES);
	reg_write(d, FEATURES_SEL, 1);
	high = reg_read(d, FEATURES);
	reg_write(d, DRIVER_FEATURES_SEL, 0);
	reg_write(d, DRIVER_FEATURES, one_in(c, 4) ? low & (u32)any(c) : low);
	reg_write(d, DRIVER_FEATURES_SEL, 1);
	reg_write(d, DRIVER_FEATURES, high);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (u32 n = 0; n < MAX_QUEUES; n++)
		if (!set_up_queue(c, d, n))
			break;
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static int is_up(const struct device *d)
{
	return (reg_read(d, STATUS) & (DRIVER_OK | NEEDS_RESET | FAILED)) == DRIVER_OK;
}

void need_up(struct cpu *c, struct device *d)
{
	if (is_up(d) && d->queues[0].size)
		return;
	if (reg_read(d, STATUS) & NEEDS_RESET)
		c->broken++;
	activate(c, d);
}

u32 some_queue(struct cpu *c, const struct device *d)
{
	u32 n = 0;

	while (n < MAX_QUEUES && d->queues[n].size)
		n++;
	return n ? below(c, n) : 0;
}

void offer(struct queue *q, u16 head)
{
	q->avail[2 + (q->idx & (q->size - 1))] = head;
	__asm__ volatile("" : : : "memory");
	*(volatile u16 *)&q->avail[1] = ++q->idx;
}

/* Gives the device's thread time for an answer, and counts it. */
void await_answer(struct cpu *c, struct device *d, const struct queue *q)
{
	u16 before = *(volatile u16 *)&q->used[1];

	for (u32 i = 0; i < 200; i++) {
		if (*(volatile u16 *)&q->used[1] == q->idx)
			break;
		if (i % 16 == 15 && reg_read(d, STATUS) & NEEDS_RESET)
			break;
		for (u32 j = 0; j < 100; j++)
			__asm__ volatile("pause");
	}
	before = (u16)(*(volatile u16 *)&q->used[1] - before);
	c->answers += before <= q->size ? before : 0; /* else something was written over it */
}
