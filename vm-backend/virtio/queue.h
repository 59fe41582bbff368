/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VIRTIO_QUEUE_H
#define BIVALVE_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vm-backend/counters.h"
#include "vm-backend/memory.h"

/*
 * The device's side of a split virtqueue (virtio 1.2, section 2.7). The guest owns the memory it lies in and may
 * change it at any time, see queue.c.
 */
enum { VIRTQ_MAX_SIZE = 256 };

struct vring_desc;
struct virtq {
	/* What the guest set; frozen while ready. */
	uint16_t max, size;
	bool ready;
	gpa_t desc_gpa, avail_gpa, used_gpa;
	/* Found once, by virtq_activate. */
	const struct vring_desc *desc;
	uint16_t *avail, *used;     /* arrays of 16-bit little-endian words */
	bool event_idx;
	/* Ours alone. */
	uint16_t next_avail;        /* the next entry to take, counted without wrapping at size */
	uint16_t next_used;
	uint16_t signalled;         /* next_used at the last interrupt */
	uint16_t counted;           /* next_avail up to which requests are counted: one put back counts once */
	struct queue_counters *counters; /* NULL: nobody counts; kept over a reset */
};

/* A request: first what the device reads (out), then what it writes (in). */
struct virtq_chain {
	uint16_t head;
	unsigned n_out, n_in;       /* iov[0..n_out) and iov[n_out..n_out+n_in) */
	uint64_t out_bytes, in_bytes;
	struct iovec iov[VIRTQ_MAX_SIZE];
};

/* Forgets everything but max and counters. */
void virtq_reset(struct virtq *q);

/*
 * Checks size and ring addresses and freezes them: a power of two, at most max; aligned to 16, 2 and 4; in RAM.
 * Returns 0 or -EINVAL, and then the queue stays as it was.
 */
int virtq_activate(struct virtq *q, const struct vm_memory *memory, bool event_idx);

/*
 * Takes the next request. Returns 1 with *chain filled, 0 if there is none, or -EPROTO if the ring is broken in a way
 * no honest driver does: the caller must stop using it.
 */
int virtq_pop(struct virtq *q, const struct vm_memory *memory, struct virtq_chain *chain);
/* Puts the last popped request back, unanswered. */
void virtq_unpop(struct virtq *q);
/* Answers a request: written bytes of its in part were filled. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);

/* Whether the guest wants an interrupt for what was pushed since this last returned true. */
bool virtq_wants_interrupt(struct virtq *q);
/* Asks for no notifications while the queue is being served. */
void virtq_pause_notify(struct virtq *q);
/* Asks for them again; true if requests came meanwhile, so that one must serve on. */
bool virtq_resume_notify(struct virtq *q);

/* Copies len bytes at offset of the scattered memory to buf / from buf. Returns the bytes copied, fewer at its end. */
size_t iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf, size_t len);
/* Cuts iov to the part from offset on, at most len bytes, into ret (room for n). Returns its entries. */
unsigned iov_slice(struct iovec *ret, const struct iovec *iov, unsigned n, uint64_t offset, uint64_t len);

#endif
