/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues, from the device's side.
 *
 *      desc[size]     16 bytes each: address, length, flags, next        the guest writes
 *      avail          flags, idx, ring[size], used_event                 the guest writes
 *      used           flags, idx, ring[size]{id, len}, avail_event       we write
 *
 * Theory of operation
 *
 * The guest is hostile and runs on other processors while we look. So:
 *  - the rings' places are checked once, when the driver activates the queue, and kept as host pointers; nothing the
 *    guest does to its registers afterwards changes size or place (virtq.ready freezes them);
 *  - every word the guest can write is loaded exactly once, into a local, and only that local is checked and used;
 *  - a descriptor's range is translated by vm_memory_at, which has no sum that wraps; a pointer into guest RAM is
 *    never followed further, so what the guest changes later is only its own data;
 *  - a chain has at most `size` descriptors, an indirect table included, so loops end;
 *  - what an honest driver never does (an index too far ahead, a head out of range, a readable part after a writable
 *    one, nested indirection) is -EPROTO: the device stops, with DEVICE_NEEDS_RESET. The guest only loses its device.
 *
 * Not defended against: a guest that changes a request's *data* while it is served. Devices copy what they decide on.
 *
 * Orders: avail.idx is loaded with acquire before the ring entry and the descriptors; used.idx is stored with release
 * after the entry. Between "say what we want to be told" and "look again" both sides need a full fence.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vm-backend/virtio/queue.h"

/* 16-bit words in the avail ring: flags, idx, ring[size], used_event. The used ring: flags, idx, then 4 words each. */
enum { RING_FLAGS = 0, RING_IDX = 1, RING_ENTRIES = 2 };

static uint16_t load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void store16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

void virtq_reset(struct virtq *q)
{
	*q = (struct virtq){ .max = q->max, .counters = q->counters };
}

int virtq_activate(struct virtq *q, const struct vm_memory *memory, bool event_idx)
{
	uint64_t size = q->size;
	const void *desc;
	void *avail, *used;

	if (size == 0 || size > q->max || (size & (size - 1)))
		return -EINVAL;
	if (q->desc_gpa % 16 || q->avail_gpa % 2 || q->used_gpa % 4)
		return -EINVAL;
	desc = vm_memory_at(memory, q->desc_gpa, size * sizeof(struct vring_desc));
	avail = vm_memory_at(memory, q->avail_gpa, 2 * (RING_ENTRIES + size + 1));
	used = vm_memory_at(memory, q->used_gpa, 2 * (RING_ENTRIES + 4 * size + 1));
	if (!desc || !avail || !used)
		return -EINVAL;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->event_idx = event_idx;
	q->next_avail = q->next_used = q->signalled = q->counted = 0;
	q->ready = true;
	return 0;
}

/* The one read of a descriptor. Two 64-bit loads, so that no word of it is looked at twice. */
static struct vring_desc desc_load(const struct vring_desc *at)
{
	const uint64_t *words = (const uint64_t *)at;
	uint64_t copy[2] = {
		__atomic_load_n(&words[0], __ATOMIC_RELAXED),
		__atomic_load_n(&words[1], __ATOMIC_RELAXED),
	};
	struct vring_desc desc;

	memcpy(&desc, copy, sizeof desc);
	return desc;
}

/* Adds the memory of one descriptor. */
static int chain_add(struct virtq_chain *chain, const struct vm_memory *memory, const struct vring_desc *desc)
{
	bool in = desc->flags & VRING_DESC_F_WRITE;
	unsigned n = chain->n_out + chain->n_in;
	void *host;

	if (n >= VIRTQ_MAX_SIZE || (!in && chain->n_in))
		return -EPROTO;
	if (desc->len == 0)
		return 0; /* pointless, but nothing forbids it */
	host = vm_memory_at(memory, desc->addr, desc->len);
	if (!host)
		return -EPROTO;
	chain->iov[n] = (struct iovec){ host, desc->len };
	*(in ? &chain->n_in : &chain->n_out) += 1;
	*(in ? &chain->in_bytes : &chain->out_bytes) += desc->len; /* at most 256 * 4 GiB */
	return 0;
}

/*
 * Walks the descriptors of table from index at. left: how many more the chain may have. An indirect descriptor leads
 * to a table of its own, once.
 */
static int chain_walk(struct virtq_chain *chain, const struct vm_memory *memory, const struct vring_desc *table,
		uint32_t entries, uint32_t at, unsigned left, bool indirect)
{
	for (; left > 0; left--) {
		struct vring_desc desc;
		int r;

		if (at >= entries)
			return -EPROTO;
		desc = desc_load(&table[at]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			const struct vring_desc *inner;

			/* its WRITE flag means nothing (2.7.5.3.2) */
			if (indirect || desc.flags & VRING_DESC_F_NEXT || desc.addr % 8 ||
					desc.len % sizeof desc || desc.len / sizeof desc > left)
				return -EPROTO;
			inner = vm_memory_at(memory, desc.addr, desc.len);
			if (!inner)
				return -EPROTO;
			return chain_walk(chain, memory, inner, desc.len / sizeof desc, 0, left, true);
		}
		r = chain_add(chain, memory, &desc);
		if (r < 0)
			return r;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		at = desc.next;
	}
	return -EPROTO; /* a loop, or too long */
}

/* After next_avail has passed it. */
static void count_chain(struct virtq *q, const struct virtq_chain *chain)
{
	if (!q->counters || (int16_t)(q->next_avail - q->counted) <= 0)
		return;
	q->counted = q->next_avail;
	counter_add(&q->counters->requests, 1);
	counter_add(&q->counters->descriptors, chain->n_out + chain->n_in);
	counter_add(&q->counters->read_bytes, chain->out_bytes);
}

int virtq_pop(struct virtq *q, const struct vm_memory *memory, struct virtq_chain *chain)
{
	uint16_t idx, head;
	int r;

	if (!q->ready)
		return 0;
	idx = __atomic_load_n(&q->avail[RING_IDX], __ATOMIC_ACQUIRE);
	if (idx == q->next_avail)
		return 0;
	if ((uint16_t)(idx - q->next_avail) > q->size)
		return -EPROTO;
	head = load16(&q->avail[RING_ENTRIES + (q->next_avail & (q->size - 1))]);
	chain->head = head;
	chain->n_out = chain->n_in = 0;
	chain->out_bytes = chain->in_bytes = 0;
	r = chain_walk(chain, memory, q->desc, q->size, head, q->size, false);
	if (r < 0)
		return r;
	q->next_avail++;
	count_chain(q, chain);
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	q->next_avail--;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	uint32_t *entry = (uint32_t *)&q->used[RING_ENTRIES + 4 * (q->next_used & (q->size - 1))];

	__atomic_store_n(&entry[0], head, __ATOMIC_RELAXED);
	__atomic_store_n(&entry[1], written, __ATOMIC_RELAXED);
	q->next_used++;
	__atomic_store_n(&q->used[RING_IDX], q->next_used, __ATOMIC_RELEASE);
	if (q->counters)
		counter_add(&q->counters->written_bytes, written);
}

bool virtq_wants_interrupt(struct virtq *q)
{
	uint16_t old = q->signalled;
	bool wants;

	if (!q->ready || q->next_used == old)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* used.idx before what the guest says it wants */
	if (q->event_idx)
		wants = vring_need_event(load16(&q->avail[RING_ENTRIES + q->size]), q->next_used, old);
	else
		wants = !(load16(&q->avail[RING_FLAGS]) & VRING_AVAIL_F_NO_INTERRUPT);
	q->signalled = q->next_used;
	return wants;
}

void virtq_pause_notify(struct virtq *q)
{
	/* With event_idx there is nothing to do: avail_event stays where it is, behind. */
	if (q->ready && !q->event_idx)
		store16(&q->used[RING_FLAGS], VRING_USED_F_NO_NOTIFY);
}

bool virtq_resume_notify(struct virtq *q)
{
	if (!q->ready)
		return false;
	if (q->event_idx)
		store16(&q->used[RING_ENTRIES + 4 * q->size], q->next_avail);
	else
		store16(&q->used[RING_FLAGS], 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(&q->avail[RING_IDX]) != q->next_avail;
}

unsigned iov_slice(struct iovec *ret, const struct iovec *iov, unsigned n, uint64_t offset, uint64_t len)
{
	unsigned out = 0;

	for (unsigned i = 0; i < n && len > 0; i++) {
		size_t part = iov[i].iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		if (part > len)
			part = len;
		ret[out++] = (struct iovec){ (uint8_t *)iov[i].iov_base + offset, part };
		len -= part;
		offset = 0;
	}
	return out;
}

static size_t iov_copy(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len, bool to_guest)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t part = iov[i].iov_len;
		uint8_t *at = iov[i].iov_base;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		at += offset;
		part -= offset;
		offset = 0;
		if (part > len - done)
			part = len - done;
		if (to_guest)
			memcpy(at, (uint8_t *)buf + done, part);
		else
			memcpy((uint8_t *)buf + done, at, part);
		done += part;
	}
	return done;
}

size_t iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len)
{
	return iov_copy(iov, n, offset, buf, len, false);
}

size_t iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf, size_t len)
{
	return iov_copy(iov, n, offset, (void *)(uintptr_t)buf, len, true); /* only read from in this direction */
}
