/* SPDX-License-Identifier: Apache-2.0 */
/* Saving the machine of a VMM, from outside: the stream that it writes goes into files, checked on the way. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/engine.h"
#include "vm-backend/snapshot.h"

#define SAVE_NS UINT64_C(120000000000)

enum { MAX_BLOCK = SNAPSHOT_RAM_PIECE + 8, MAX_BLOCKS = 1 << 20, PAGE = 4096 };
_Static_assert((int)MAX_BLOCK > (int)ARCH_ITEM_MAX, "the largest block is RAM's");

struct receiver {
	const struct vm_config *config;
	int state_fd, ram_fd;
	uint64_t deadline_ns;
	uint8_t *buffer;         /* of MAX_BLOCK bytes */
};

/* All of it, from a process that may be anybody's, in time. */
static int take(struct receiver *r, void *to, size_t bytes, struct error *err)
{
	uint8_t *at = to;

	while (bytes) {
		uint64_t now = clock_now_ns();
		struct pollfd p = { r->config->control[0], POLLIN, 0 };
		ssize_t n;

		if (now >= r->deadline_ns)
			return error_set(err, ETIMEDOUT, "the machine was not saved in time");
		if (poll(&p, 1, (int)((r->deadline_ns - now) / 1000000 + 1)) <= 0)
			continue; /* EINTR, or the deadline: looked at again */
		n = recv(p.fd, at, bytes, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return error_set(err, EPIPE, "the machine ended while it was saved");
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int put_ram(struct receiver *r, size_t bytes, struct error *err)
{
	uint64_t at;

	memcpy(&at, r->buffer, sizeof at);
	bytes -= sizeof at;
	if (at % PAGE || at >= r->config->memory_bytes || bytes > r->config->memory_bytes - at)
		return error_set(err, EPROTO, "the machine saves RAM that it has not");
	if (pwrite(r->ram_fd, r->buffer + sizeof at, bytes, (off_t)at) != (ssize_t)bytes)
		return error_sys(err, "%s", r->config->ram_path);
	return 0;
}

static int put(struct receiver *r, const struct snapshot_block *block, struct error *err)
{
	int status;

	if (block->kind == SNAP_RAM && r->ram_fd >= 0)
		return put_ram(r, block->bytes, err);
	status = fd_write_full(r->state_fd, block, sizeof *block);
	if (status == 0 && block->bytes)
		status = fd_write_full(r->state_fd, r->buffer, block->bytes);
	return status < 0 ? error_set(err, -status, "cannot write the state: %s", strerror(-status)) : 0;
}

static int receive(struct receiver *r, struct error *err)
{
	struct snapshot_block block;
	int status = 0;

	for (unsigned n = 0; n < MAX_BLOCKS; n++) {
		status = take(r, &block, sizeof block, err);
		if (status == 0 && (block.bytes > MAX_BLOCK ||
				(block.kind == SNAP_RAM && block.bytes <= sizeof(uint64_t))))
			status = error_set(err, EPROTO, "the machine saves a block of %u bytes", block.bytes);
		if (status == 0)
			status = take(r, r->buffer, block.bytes, err);
		if (status == 0 && block.kind == SNAP_FAILED)
			status = error_set(err, block.index < 4096 && block.index ? (int)block.index : EIO, "%.*s",
					(int)(block.bytes < 300 ? block.bytes : 300), (const char *)r->buffer);
		if (status == 0)
			status = put(r, &block, err);
		if (status < 0 || block.kind == SNAP_END)
			return status;
	}
	return error_set(err, EPROTO, "the machine's state has no end");
}

int snapshot_save(const struct vm_config *config, int state_fd, struct error *err)
{
	_cleanup_close_ int ram = config->ram_path ? open(config->ram_path, O_WRONLY | O_CLOEXEC) : -1;
	_cleanup_free_ uint8_t *buffer = xcalloc(1, MAX_BLOCK);
	struct receiver r = { config, state_fd, ram, clock_now_ns() + SAVE_NS, buffer };

	if (config->ram_path && ram < 0)
		return error_sys(err, "%s", config->ram_path);
	if (send(config->control[0], &(char){ SNAPSHOT_SAVE }, 1, MSG_NOSIGNAL) != 1)
		return error_sys(err, "the machine takes no command");
	return receive(&r, err);
}

int snapshot_resume(const struct vm_config *config, struct error *err)
{
	if (send(config->control[0], &(char){ SNAPSHOT_RESUME }, 1, MSG_NOSIGNAL) != 1)
		return error_sys(err, "the machine takes no command");
	return 0;
}
