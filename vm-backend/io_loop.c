/* SPDX-License-Identifier: Apache-2.0 */
/* epoll, edge-triggered, for the threads that serve devices. */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/io_loop.h"

enum { EVENTS_PER_TURN = 16 };

int io_loop_init(struct io_loop *loop, struct error *err)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return error_sys(err, "epoll_create1");
	return 0;
}

void io_loop_release(struct io_loop *loop)
{
	close_cleanup(&loop->epoll_fd);
	loop->epoll_fd = -1;
}

int io_loop_add(struct io_loop *loop, struct io_source *source, uint32_t events, struct error *err)
{
	struct epoll_event event = { .events = events | EPOLLET, .data.ptr = source };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
		return error_sys(err, "epoll_ctl on descriptor %d", source->fd);
	return 0;
}

void io_loop_turn(struct io_loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct io_source *source = events[i].data.ptr;

		source->ready(source, events[i].events);
	}
}

int io_source_event(struct io_source *source, struct io_loop *loop, uint32_t flags, struct error *err)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return error_sys(err, "eventfd");
	source->fd = fd;
	r = io_loop_add(loop, source, EPOLLIN | flags, err);
	if (r < 0) {
		source->fd = -1;
		return r;
	}
	(void)steal_fd(&fd); /* now in source->fd */
	return 0;
}

void io_source_kick(const struct io_source *source)
{
	const uint64_t one = 1;

	if (source->fd >= 0 && write(source->fd, &one, sizeof one) < 0)
		return; /* the counter is full: it is ready as it is */
}
