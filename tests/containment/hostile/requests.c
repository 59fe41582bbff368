/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on each device's own code: requests that are right but for what they ask. */
#include "tests/containment/hostile/hostile.h"

/* One request in three parts that is right but for what it asks. */
void attack_block(struct cpu *c)
{
	struct device *d = some_device_of(c, ID_BLOCK);
	struct queue *q;
	u64 at = MIB + (u64)below(c, 20) * MIB;
	u32 *header = (u32 *)at;
	static const u32 types[] = { 0, 1, 4, 8, 11, 13 };

	if (!d)
		return;
	q = &d->queues[0];
	need_up(c, d);
	if (q->size < 4)
		activate(c, d);
	if (q->size < 4)
		return;
	for (u32 i = 1 + below(c, 6); i > 0; i--) {
		u16 write = one_in(c, 2) ? F_WRITE : 0;
		u32 data = one_in(c, 8) ? length(c) : 512 * (1 + below(c, 8));

		header[0] = one_in(c, 8) ? (u32)wild(c) : types[below(c, 6)];
		header[1] = (u32)wild(c);
		*(u64 *)&header[2] = one_in(c, 2) ? wild(c) : below(c, 4096);
		if (header[0] == 1)
			write = 0;
		if (header[0] == 11 || header[0] == 13) { /* discard, write zeroes: a range in the data */
			*(u64 *)(at + 4096) = one_in(c, 2) ? wild(c) : below(c, 4096);
			*(u64 *)(at + 4104) = one_in(c, 2) ? wild(c) : below(c, 64);
			data = one_in(c, 4) ? data : 16;
			write = 0;
		}
		q->desc[0] = (struct desc){ at, one_in(c, 16) ? below(c, 32) : 16, F_NEXT, 1 };
		q->desc[1] = (struct desc){ at + 4096, data, F_NEXT | write, 2 };
		q->desc[2] = (struct desc){ at + 64, one_in(c, 16) ? 0 : 1, one_in(c, 32) ? 0 : F_WRITE, 0 };
		offer(q, 0);
		reg_write(d, NOTIFY, 0);
		if (!one_in(c, 4))
			await_answer(c, d, q);
	}
}

void attack_console(struct cpu *c)
{
	struct device *d = some_device_of(c, ID_CONSOLE);

	if (!d)
		return;
	need_up(c, d);
	for (u32 n = 0; n < 6; n++) { /* room for what it may say */
		struct queue *q = &d->queues[n];

		for (u16 i = 0; n % 2 == 0 && i < 4 && i < q->size; i++) {
			q->desc[i] = (struct desc){ inside(c, 16), one_in(c, 8) ? length(c) : 4096, F_WRITE, 0 };
			offer(q, i);
		}
		reg_write(d, NOTIFY, n);
	}
	for (u32 i = 0; i < 8; i++) {
		u32 n = one_in(c, 3) ? 1 + 2 * below(c, 3) : CONTROL_OUT;
		struct queue *q = &d->queues[n];
		u32 *message = (u32 *)(MIB + (u64)below(c, 20) * MIB);

		if (!q->size)
			continue;
		message[0] = one_in(c, 4) ? (u32)wild(c) : below(c, 3);
		message[1] = one_in(c, 4) ? (u32)wild(c) : below(c, 9) | below(c, 3) << 16;
		if (one_in(c, 3)) { /* the agent's port opens */
			message[0] = 1;
			message[1] = 6 | 1 << 16;
		}
		q->desc[0] = (struct desc){ (u64)message, one_in(c, 3) ? below(c, 300) : 8, 0, 0 };
		offer(q, 0);
		reg_write(d, NOTIFY, n);
		await_answer(c, d, q);
	}
}

/* Reports of free pages: over the rings that tell of them, all of the memory that may be lost, what is no memory. */
void attack_balloon(struct cpu *c)
{
	struct device *d = some_device_of(c, ID_BALLOON);
	u32 n = one_in(c, 4) ? below(c, 3) : 2;
	struct queue *q;

	if (!d)
		return;
	need_up(c, d);
	q = &d->queues[n];
	if (!q->size)
		return;
	for (u32 i = 0; i < q->size && i < 4; i++) {
		u64 at = one_in(c, 3) ? inside(c, 4096) : one_in(c, 2) ? address(c) : MIB;
		u32 len = at == MIB ? 20 * MIB : one_in(c, 4) ? length(c) : 4096 * (1 + below(c, 64));

		if (one_in(c, 4)) {
			at = one_in(c, 2) ? (u64)q->used : (u64)q->desc;
			len = 4096;
		}
		q->desc[i] = (struct desc){ at, len, F_NEXT | (one_in(c, 8) ? 0 : F_WRITE), (u16)(i + 1) };
	}
	q->desc[below(c, q->size < 4 ? q->size : 4)].flags &= (u16)~F_NEXT;
	offer(q, 0);
	reg_write(d, NOTIFY, n);
	await_answer(c, d, q);
}

/* Buffers too small, or for frames in many parts; frames of any length, their headers asking for what there is not. */
void attack_network(struct cpu *c)
{
	struct device *d = some_device_of(c, ID_NETWORK);

	if (!d)
		return;
	need_up(c, d);
	for (u32 n = 0; n < 2; n++) {
		struct queue *q = &d->queues[n];
		u32 entries = q->size < 16 ? q->size : 16;

		for (u32 i = 0; i < entries; i++) {
			u64 at = inside(c, one_in(c, 2) ? 1 : 16);
			u32 len = one_in(c, 4) ? below(c, 16) : one_in(c, 4) ? length(c) : 12 + below(c, 2000);

			if (n == 1)
				for (u32 j = 0; j < 12; j++)
					((volatile u8 *)at)[j] = one_in(c, 2) ? 0 : (u8)any(c);
			q->desc[i] = (struct desc){ at, len, (u16)((n ? 0 : F_WRITE) | (one_in(c, 3) ? F_NEXT : 0)),
				(u16)(i + 1 < entries ? i + 1 : 0) };
			if (i + 1 == entries && !one_in(c, 8))
				q->desc[i].flags &= (u16)~F_NEXT;
			offer(q, (u16)i);
		}
		reg_write(d, NOTIFY, n);
		if (q->size)
			await_answer(c, d, q);
	}
}

/* Requests of FUSE: a right header or a wrong one, garbage behind it, no room for the answer, or room over it. */
void attack_shares(struct cpu *c)
{
	enum { INIT = 26, OPCODES = 56 };
	struct device *d = some_device_of(c, ID_SHARES);
	u64 at = MIB + (u64)below(c, 20) * MIB;
	u32 *header = (u32 *)at;
	u32 n = below(c, 2), bytes = 40 + (one_in(c, 4) ? below(c, 8000) : 8 * below(c, 16));
	struct queue *q;

	if (!d)
		return;
	need_up(c, d);
	q = &d->queues[n];
	if (q->size < 4)
		return;
	memset((void *)at, 0, 8192);
	for (u32 i = 10; i < bytes / 4; i++)
		header[i] = one_in(c, 2) ? below(c, 8) : (u32)wild(c);
	header[0] = one_in(c, 6) ? (u32)wild(c) : bytes;
	header[1] = one_in(c, 4) ? INIT : one_in(c, 8) ? (u32)wild(c) : below(c, OPCODES);
	*(u64 *)&header[2] = any(c);
	*(u64 *)&header[4] = one_in(c, 2) ? 1 : wild(c); /* the node */
	if (header[1] == INIT && !one_in(c, 4)) {
		header[10] = 7;
		header[11] = 31;
	}
	q->desc[0] = (struct desc){ at, one_in(c, 8) ? below(c, 40) : bytes, F_NEXT, 1 };
	q->desc[1] = (struct desc){ one_in(c, 4) ? at : address(c), one_in(c, 4) ? length(c) : 4096, F_WRITE, 0 };
	offer(q, 0);
	reg_write(d, NOTIFY, n);
	await_answer(c, d, q);
}
