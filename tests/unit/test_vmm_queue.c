/* SPDX-License-Identifier: Apache-2.0 */
/* Virtqueues with honest and hostile rings. */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/tap.h"
#include "tests/unit/vmm_guest.h"

static struct vm_memory memory;
static struct virtq_chain chain;

enum { SIZE = 8 };

static struct guest_queue fresh(struct virtq *q, bool event_idx)
{
	struct guest_queue g = guest_queue(&memory, 0, SIZE);

	*q = (struct virtq){ .max = 16, .size = SIZE, .desc_gpa = RING_GPA, .avail_gpa = RING_GPA + AVAIL_OFFSET,
		.used_gpa = RING_GPA + USED_OFFSET };
	ok(virtq_activate(q, &memory, event_idx) == 0, "a queue is activated");
	return g;
}

static int activate(uint16_t size, gpa_t desc, gpa_t avail, gpa_t used)
{
	struct virtq q = { .max = 16, .size = size, .desc_gpa = desc, .avail_gpa = avail, .used_gpa = used };

	return virtq_activate(&q, &memory, false);
}

static void test_activate(void)
{
	ok(activate(0, 0, 0x1000, 0x2000) == -EINVAL, "size 0 is refused");
	ok(activate(6, 0, 0x1000, 0x2000) == -EINVAL, "a size that is no power of two is refused");
	ok(activate(32, 0, 0x1000, 0x2000) == -EINVAL, "a size over the maximum is refused");
	ok(activate(8, 8, 0x1000, 0x2000) == -EINVAL, "descriptors at 8 are refused");
	ok(activate(8, 0, 0x1001, 0x2000) == -EINVAL, "an odd avail ring is refused");
	ok(activate(8, 0, 0x1000, 0x2002) == -EINVAL, "a used ring off by two is refused");
	ok(activate(8, GUEST_BYTES - 16, 0x1000, 0x2000) == -EINVAL, "descriptors over the end of RAM are refused");
	ok(activate(8, 0, GUEST_BYTES - 2, 0x2000) == -EINVAL, "an avail ring over the end of RAM is refused");
	ok(activate(8, 0, 0x1000, UINT64_MAX - 3) == -EINVAL, "a used ring that wraps is refused");
	ok(activate(8, 0xd0000000, 0x1000, 0x2000) == -EINVAL, "descriptors in the device hole are refused");
}

static void test_honest(void)
{
	struct queue_counters counters = { 0 };
	struct virtq q;
	struct guest_queue g = fresh(&q, false);

	q.counters = &counters;
	ok(virtq_pop(&q, &memory, &chain) == 0, "an empty queue has no request");
	guest_desc(&g, 3, DATA_GPA, 16, VRING_DESC_F_NEXT, 5);
	guest_desc(&g, 5, DATA_GPA + 4096, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	guest_desc(&g, 1, DATA_GPA + 8192, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&g, 3);
	ok(virtq_pop(&q, &memory, &chain) == 1 && chain.head == 3 && chain.n_out == 1 && chain.n_in == 2 &&
			chain.out_bytes == 16 && chain.in_bytes == 513, "a chain of three is taken");
	ok(chain.iov[1].iov_base == vm_memory_at(&memory, DATA_GPA + 4096, 1), "its memory is the guest's own");
	ok(virtq_pop(&q, &memory, &chain) == 0, "it is taken once");
	virtq_push(&q, 3, 513);
	ok(g.used[1] == 1 && g.used[2] == 3 && g.used[4] == 513, "and answered");
	ok(virtq_wants_interrupt(&q) && !virtq_wants_interrupt(&q), "with one interrupt");
	virtq_unpop(&q);
	ok(virtq_pop(&q, &memory, &chain) == 1 && chain.head == 3, "a request put back is taken again");
	ok(counters.requests == 1 && counters.descriptors == 3 && counters.read_bytes == 16 &&
			counters.written_bytes == 513, "and counted once");
}

static void test_indirect(void)
{
	struct virtq q;
	struct guest_queue g = fresh(&q, false);
	struct vring_desc *table = vm_memory_at(&memory, DATA_GPA, 4096);

	table[0] = (struct vring_desc){ DATA_GPA + 4096, 16, VRING_DESC_F_NEXT, 1 };
	table[1] = (struct vring_desc){ DATA_GPA + 8192, 512, VRING_DESC_F_WRITE, 0 };
	guest_desc(&g, 0, DATA_GPA, 32, VRING_DESC_F_INDIRECT, 0);
	guest_offer(&g, 0);
	ok(virtq_pop(&q, &memory, &chain) == 1 && chain.n_out == 1 && chain.n_in == 1, "an indirect chain is taken");

	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, inner;
		const char *what;
	} bad[] = {
		{ DATA_GPA, 16 * (SIZE + 1), VRING_DESC_F_INDIRECT, 0, "longer than the queue" },
		{ DATA_GPA, 24, VRING_DESC_F_INDIRECT, 0, "of one and a half descriptors" },
		{ DATA_GPA, 0, VRING_DESC_F_INDIRECT, 0, "of none" },
		{ DATA_GPA + 4, 32, VRING_DESC_F_INDIRECT, 0, "not aligned" },
		{ GUEST_BYTES - 16, 32, VRING_DESC_F_INDIRECT, 0, "over the end of RAM" },
		{ DATA_GPA, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 0, "with more after it" },
		{ DATA_GPA, 32, VRING_DESC_F_INDIRECT, VRING_DESC_F_INDIRECT, "in an indirect table" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		g = fresh(&q, false);
		table[0].flags = VRING_DESC_F_NEXT | bad[i].inner;
		guest_desc(&g, 0, bad[i].addr, bad[i].len, bad[i].flags, 1);
		guest_offer(&g, 0);
		ok(virtq_pop(&q, &memory, &chain) == -EPROTO, "an indirect table %s is refused", bad[i].what);
	}
}

static void test_hostile(void)
{
	static const struct {
		struct vring_desc desc[2];
		const char *what;
	} bad[] = {
		{ { { DATA_GPA, 16, VRING_DESC_F_NEXT, 0 } }, "that is its own next" },
		{ { { DATA_GPA, 16, VRING_DESC_F_NEXT, 1 }, { DATA_GPA, 16, VRING_DESC_F_NEXT, 0 } },
			"with a loop of two" },
		{ { { DATA_GPA, 16, VRING_DESC_F_NEXT, SIZE } }, "that leaves the table" },
		{ { { DATA_GPA, 16, VRING_DESC_F_NEXT, 0xffff } }, "that leaves the table by far" },
		{ { { GUEST_BYTES, 1, 0, 0 } }, "just beyond RAM" },
		{ { { GUEST_BYTES - 1, 2, 0, 0 } }, "over the end of RAM" },
		{ { { UINT64_MAX, 2, 0, 0 } }, "whose end wraps" },
		{ { { UINT64_MAX - 0xfffffffe, UINT32_MAX, 0, 0 } }, "whose end wraps to 0" },
		{ { { DATA_GPA, UINT32_MAX, 0, 0 } }, "larger than RAM" },
		{ { { 0xd0000000, 4, 0, 0 } }, "in a device's registers" },
		{ { { DATA_GPA, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1 }, { DATA_GPA, 4, 0, 0 } },
			"with a readable part after a writable one" },
	};
	struct virtq q;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct guest_queue g = fresh(&q, false);

		memcpy(g.desc, bad[i].desc, sizeof bad[i].desc);
		guest_offer(&g, 0);
		ok(virtq_pop(&q, &memory, &chain) == -EPROTO, "a chain %s is refused", bad[i].what);
	}
	struct guest_queue g = fresh(&q, false);

	guest_offer(&g, SIZE);
	ok(virtq_pop(&q, &memory, &chain) == -EPROTO, "a head outside the table is refused");
	g = fresh(&q, false);
	g.avail[1] = SIZE + 1;
	ok(virtq_pop(&q, &memory, &chain) == -EPROTO, "an index that is too far ahead is refused");
	g = fresh(&q, false);
	for (uint16_t i = 0; i < SIZE; i++)
		guest_desc(&g, i, DATA_GPA, 1, i < SIZE - 1 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	guest_offer(&g, 0);
	ok(virtq_pop(&q, &memory, &chain) == 1 && chain.n_out == SIZE, "a chain as long as the queue is taken");
}

static void test_event_idx(void)
{
	struct virtq q;
	struct guest_queue g = fresh(&q, true);

	guest_desc(&g, 0, DATA_GPA, 1, 0, 0);
	ok(!virtq_resume_notify(&q), "nothing came meanwhile");
	guest_offer(&g, 0);
	ok(virtq_resume_notify(&q), "a request that came meanwhile is seen");
	ok(virtq_pop(&q, &memory, &chain) == 1, "and taken");
	ok(!virtq_resume_notify(&q) && g.used[2 + 4 * SIZE] == 1, "the next is to be told");
	g.avail[2 + SIZE] = 1; /* used_event: only after the second */
	virtq_push(&q, 0, 0);
	ok(!virtq_wants_interrupt(&q), "no interrupt before used_event");
	virtq_push(&q, 0, 0);
	ok(virtq_wants_interrupt(&q), "one at used_event");
}

static void test_iov(void)
{
	char a[4] = "abc", b[8] = "defghi", out[16] = "";
	struct iovec iov[] = { { a, 3 }, { b, 6 } }, cut[2];

	ok(iov_read(iov, 2, 2, out, 3) == 3 && !memcmp(out, "cde", 3), "reading over a border");
	ok(iov_read(iov, 2, 8, out, 5) == 1, "reading stops at the end");
	ok(iov_read(iov, 2, 9, out, 5) == 0, "nothing after the end");
	ok(iov_write(iov, 2, 1, "XYZ", 3) == 3 && a[1] == 'X' && b[0] == 'Z', "writing over a border");
	ok(iov_slice(cut, iov, 2, 1, 4) == 2 && cut[0].iov_len == 2 && cut[1].iov_len == 2, "a slice over a border");
	ok(iov_slice(cut, iov, 2, 3, UINT64_MAX) == 1 && cut[0].iov_base == b, "a slice to the end");
	ok(iov_slice(cut, iov, 2, 9, 1) == 0, "an empty slice");
}

int main(void)
{
	if (vm_memory_map(&memory, GUEST_BYTES, NULL) < 0)
		return 1;
	test_activate();
	test_honest();
	test_indirect();
	test_hostile();
	test_event_idx();
	test_iov();
	vm_memory_release(&memory);
	return tap_done();
}
