/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on what all devices have in common: registers, rings, descriptors. */
#include "tests/containment/hostile/hostile.h"

void attack_registers(struct cpu *c)
{
	static const u16 offsets[] = { MAGIC, DEVICE_ID, FEATURES, FEATURES_SEL, DRIVER_FEATURES, DRIVER_FEATURES_SEL,
		QUEUE_SEL, NUM_MAX, NUM, READY, NOTIFY, INTERRUPT_STATUS, INTERRUPT_ACK, STATUS, DESC, DESC + 4, AVAIL,
		AVAIL + 4, USED, USED + 4, 0xac, 0xb0, 0xb4, 0xb8, 0xbc, 0xc0, 0xfc, CONFIG };

	for (u32 i = 0; i < 24; i++) {
		u64 at = WINDOWS + below(c, n_devices + 1) * WINDOW;
		u32 width = width_of(c);

		switch (below(c, 4)) {
		case 0:
			at += below(c, WINDOW);
			break;
		case 1:
			at += WINDOW - 1 - below(c, 10); /* over the end */
			break;
		case 2:
			at += CONFIG + below(c, 80);
			break;
		default:
			at += offsets[below(c, sizeof offsets / sizeof *offsets)] + (one_in(c, 4) ? below(c, 4) : 0);
			width = one_in(c, 4) ? width : 4;
		}
		if (one_in(c, 3))
			(void)read_as(at, width);
		else
			write_as(at, width == 8 ? wild(c) : wild_low(c), width);
	}
}

/* Instructions that read and write at once, or many times. */
void attack_instructions(struct cpu *c)
{
	u64 at = WINDOWS + below(c, n_devices) * WINDOW + below(c, one_in(c, 2) ? WINDOW : 0x100);
	u64 to = inside(c, 1), from = at, n = 1 + below(c, 12), value = wild(c), other = wild(c);

	switch (below(c, 6)) {
	case 0:
		__asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("lock cmpxchgq %2, (%1)" : "+a"(value) : "r"(at), "r"(other) : "memory");
		break;
	case 2:
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 3:
		__asm__ volatile("rep movsl" : "+D"(at), "+S"(to), "+c"(n) : : "memory");
		break;
	case 4:
		to = WINDOWS + below(c, n_devices) * WINDOW + below(c, WINDOW);
		__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	default:
		__asm__ volatile("lock orl %k1, (%0)" : : "r"(at), "r"(value) : "memory", "cc");
	}
}

void attack_queue_setup(struct cpu *c)
{
	struct device *d = some_device(c);
	u64 same = inside(c, 16);

	reg_write(d, STATUS, 0);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, DRIVER_FEATURES_SEL, 1);
	reg_write(d, DRIVER_FEATURES, 1);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (u32 i = 0; i < 4; i++) {
		static const u32 sizes[] = { 0, 3, 100, 127, 128, 256, 257, 512, 32768, 65535, 65536, 0x10010, 1 };

		reg_write(d, QUEUE_SEL, one_in(c, 6) ? (u32)wild(c) : below(c, 6));
		reg_write(d, NUM, sizes[below(c, sizeof sizes / sizeof *sizes)]);
		for (u32 reg = DESC; reg <= USED; reg += 16) {
			u64 at = same;

			if (!one_in(c, 3)) /* else all in one place */
				at = one_in(c, 2) ? outside(c) : inside(c, one_in(c, 2) ? 1 : 4096);
			set_address(d, reg, at);
		}
		reg_write(d, READY, one_in(c, 4) ? (u32)wild(c) : 1);
		reg_write(d, NUM, sizes[below(c, sizeof sizes / sizeof *sizes)]);
		if (one_in(c, 2))
			reg_write(d, DESC, wild_low(c));
	}
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	d->queues[0].size = 0; /* is_up does not tell where our rings are */
	for (u32 n = 0; n < 6; n++) {
		reg_write(d, QUEUE_SEL, n);
		reg_write(d, NUM, (u32)wild(c)); /* after activation */
		reg_write(d, AVAIL, (u32)inside(c, 2));
		reg_write(d, READY, 0);
		reg_write(d, NOTIFY, n);
	}
}

void attack_status(struct cpu *c)
{
	struct device *d = some_device(c);

	for (u32 i = 0; i < 12; i++) {
		reg_write(d, STATUS, one_in(c, 4) ? (u32)wild(c) : below(c, 256));
		if (one_in(c, 4))
			reg_write(d, NOTIFY, below(c, 8));
		if (one_in(c, 4))
			reg_write(d, READY, below(c, 2));
	}
}

void attack_doorbells(struct cpu *c)
{
	struct device *d = some_device(c);

	need_up(c, d);
	for (u32 i = 0; i < 16; i++)
		reg_write(d, NOTIFY, one_in(c, 2) ? (u32)wild(c) : below(c, MAX_QUEUES));
	write_as(d->base + NOTIFY, wild(c), 2);
	write_as(d->base + NOTIFY, wild(c), 8);
}

/* Chains that are right in form, in memory that may hold anything. */
static void fill_chains(struct cpu *c, struct desc *table, u32 n)
{
	u16 write = 0;

	for (u32 i = 0; i < n; i++) {
		u16 next = i + 1 < n && !one_in(c, 4) ? F_NEXT : 0;

		if (one_in(c, 2))
			write = F_WRITE;
		table[i] = (struct desc){ inside(c, 1), one_in(c, 2) ? 1 + below(c, 64) : 512 * below(c, 9),
			next | write, (u16)(i + 1) };
		if (!next)
			write = 0;
	}
}

/* A table of garbage, of the size of a queue or not. */
static void fill_table(struct cpu *c, struct desc *table, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u16 flags = (u16)below(c, 4);

		if (one_in(c, 12))
			flags |= F_INDIRECT;
		if (one_in(c, 40))
			flags = (u16)any(c);
		table[i] = (struct desc){ address(c), length(c), flags,
			(u16)(one_in(c, 12) ? any(c) : one_in(c, 2) ? i + 1 : below(c, n + 1)) };
		if (flags & F_INDIRECT && !one_in(c, 4)) {
			struct desc *inner = (struct desc *)inside(c, 16);
			u32 entries = below(c, 20);

			table[i].addr = (u64)inner;
			table[i].len = 16 * entries + (one_in(c, 6) ? below(c, 16) : 0);
			for (u32 j = 0; j < entries; j++)
				inner[j] = (struct desc){ address(c), length(c),
					(u16)(below(c, 4) | (one_in(c, 20) ? F_INDIRECT : 0)), (u16)(j + 1) };
		}
	}
}

void attack_descriptors(struct cpu *c)
{
	struct device *d = some_device(c);
	struct queue *q;
	u32 n;

	need_up(c, d);
	n = some_queue(c, d);
	q = &d->queues[n];
	if (!q->size)
		return;
	(one_in(c, 2) ? fill_table : fill_chains)(c, q->desc, q->size);
	for (u32 i = below(c, 8); i > 0; i--)
		offer(q, one_in(c, 16) ? (u16)wild(c) : (u16)below(c, q->size));
	if (one_in(c, 8))
		q->avail[1] = (u16)(q->idx += below(c, 65536)); /* a jump */
	if (one_in(c, 8))
		q->avail[0] = (u16)any(c);
	reg_write(d, NOTIFY, n);
	if (!one_in(c, 3))
		await_answer(c, d, q);
	if (one_in(c, 4))
		reg_write(d, STATUS, 0); /* in the midst of it */
}

/* Loops of one, two and all; a table that leads to itself. */
void attack_loops(struct cpu *c)
{
	struct device *d = some_device(c);
	struct queue *q;
	u32 n, kind = below(c, 4);

	need_up(c, d);
	n = some_queue(c, d);
	q = &d->queues[n];
	if (!q->size)
		return;
	for (u32 i = 0; i < q->size; i++)
		q->desc[i] = (struct desc){ inside(c, 16), kind == 3 ? 0 : 8, F_NEXT | (i ? F_WRITE : 0),
			(u16)(kind == 0 ? 0 : kind == 1 ? i ^ 1 : (i + 1) & (q->size - 1)) };
	if (kind == 2)
		q->desc[0] = (struct desc){ (u64)q->desc, q->size * 16U, F_INDIRECT, 0 };
	offer(q, 0);
	reg_write(d, NOTIFY, n);
	await_answer(c, d, q);
}

/*
 * Rings in each other, and buffers in rings: what the device answers is written over what tells it where, and over what
 * it is still to read.
 */
void attack_overlaps(struct cpu *c)
{
	struct device *d = some_device(c);
	u64 at = inside(c, 4096), near = 16 * below(c, 64);
	struct queue *q = &d->queues[0];

	reg_write(d, STATUS, 0);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, DRIVER_FEATURES_SEL, 1);
	reg_write(d, DRIVER_FEATURES, 1);
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (u32 n = 0; n < MAX_QUEUES; n++) { /* all queues of the device in one place */
		reg_write(d, QUEUE_SEL, n);
		if (reg_read(d, NUM_MAX) == 0)
			break;
		d->queues[n] = (struct queue){ (struct desc *)at, (u16 *)(at + near), (u16 *)(at + 2 * near), 8, 0 };
		reg_write(d, NUM, 8);
		set_address(d, DESC, at);
		set_address(d, AVAIL, at + near);
		set_address(d, USED, at + 2 * near);
		reg_write(d, READY, 1);
	}
	reg_write(d, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	for (u32 i = 0; i < 8; i++) {
		u32 n = some_queue(c, d);

		for (u32 j = 0; j < 4; j++)
			q->desc[j] = (struct desc){ at + below(c, 1024), 1 + below(c, 2048),
				(u16)((j ? F_WRITE : 0) | (j < 3 ? F_NEXT : 0)), (u16)(j + 1) };
		offer(&d->queues[n], (u16)below(c, 4));
		reg_write(d, NOTIFY, n);
		await_answer(c, d, &d->queues[n]);
	}
	for (u32 n = 0; n < MAX_QUEUES; n++)
		d->queues[n].size = 0; /* the next to use it sets it up anew */
}

/* The other processor: writes into the rings what the devices are just reading, and takes their state away. */
void attack_race(struct cpu *c)
{
	struct device *d = some_device(c);
	struct queue q = d->queues[below(c, MAX_QUEUES)];

	if (!q.size || !q.desc || !q.avail || !q.used)
		return;
	for (u32 i = 0; i < 200; i++) {
		volatile struct desc *desc = &q.desc[below(c, q.size < 8 ? q.size : 8)];

		switch (below(c, 6)) {
		case 0:
			desc->addr = address(c);
			break;
		case 1:
			desc->len = length(c);
			break;
		case 2:
			desc->flags = (u16)below(c, 8);
			break;
		case 3:
			desc->next = (u16)below(c, q.size + 1U);
			break;
		case 4:
			*(volatile u16 *)&q.avail[1] = (u16)(q.avail[1] + 1);
			break;
		default:
			q.avail[2 + below(c, q.size)] = (u16)below(c, q.size);
		}
	}
	if (one_in(c, 2))
		reg_write(d, NOTIFY, below(c, MAX_QUEUES));
	if (one_in(c, 16))
		reg_write(d, STATUS, one_in(c, 2) ? 0 : (u32)wild(c));
}
