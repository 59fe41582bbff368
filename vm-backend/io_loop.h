/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_IO_LOOP_H
#define BIVALVE_VM_IO_LOOP_H

#include <stdint.h>

#include "runtime/base/error.h"

/*
 * One thread's sources of work. All sources are edge-triggered: ready() is called once for each change (an eventfd
 * written, bytes arrived, room made), and must do all there is to do or remember that it did not. eventfds are
 * therefore never read: their counters only grow.
 */
struct io_source {
	int fd;
	void (*ready)(struct io_source *source, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, … */
	void *owner;
	unsigned index;     /* the owner's */
};

struct io_loop {
	int epoll_fd;
};

int io_loop_init(struct io_loop *loop, struct error *err);
void io_loop_release(struct io_loop *loop);
/* source must outlive the loop. events: EPOLLIN and EPOLLOUT. */
int io_loop_add(struct io_loop *loop, struct io_source *source, uint32_t events, struct error *err);
/* Waits up to timeout_ms (-1: for ever) and serves what is ready once. */
void io_loop_turn(struct io_loop *loop, int timeout_ms);

/* An eventfd as a source of loop. flags: 0, or EPOLLEXCLUSIVE if several loops listen and one is to be woken. */
int io_source_event(struct io_source *source, struct io_loop *loop, uint32_t flags, struct error *err);
/* Makes such a source ready. From any thread. */
void io_source_kick(const struct io_source *source);

#endif
