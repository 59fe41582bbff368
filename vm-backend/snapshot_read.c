/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a saved machine's stream. Blocks come in one order only, and each size is known before it is read, so a
 * reader never asks for memory or a place that the stream alone has chosen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/engine.h"
#include "vm-backend/snapshot.h"
#include "vm-backend/virtio/state.h"

enum { PAGE = 4096 };

struct reader {
	int fd;
	uint64_t left;
};

static int take(struct reader *r, void *to, size_t bytes, struct error *err)
{
	ssize_t n;

	if (bytes > r->left)
		return error_set(err, EINVAL, "saved state: cut off");
	r->left -= bytes;
	n = fd_read_full(r->fd, to, bytes);
	return n == (ssize_t)bytes ? 0 : error_set(err, EINVAL, "saved state: cannot be read");
}

/* Which block comes n-th, RAM and END aside. False: all have come. */
static bool expected(const struct snapshot_machine *m, uint32_t n, struct snapshot_block *ret)
{
	uint32_t vm = arch_state_items(false), vcpu = arch_state_items(true);

	*ret = (struct snapshot_block){ SNAP_MACHINE, 0, sizeof *m, 0 };
	if (n-- == 0)
		return true;
	*ret = (struct snapshot_block){ SNAP_DEVICE, n, sizeof(struct virtio_state), 0 };
	if (n < m->windows)
		return true;
	n -= m->windows;
	*ret = (struct snapshot_block){ SNAP_VM, n, 0, 0 };
	if (n < vm)
		return true;
	n -= vm;
	*ret = (struct snapshot_block){ SNAP_VCPU, n / vcpu << 16 | n % vcpu, 0, 0 };
	return n < m->vcpus * vcpu;
}

static int check_block(const struct snapshot_block *got, const struct snapshot_block *want, struct error *err)
{
	bool sized = want->bytes ? got->bytes == want->bytes
			: arch_state_size_ok(want->kind == SNAP_VCPU, want->index & 0xffff, got->bytes);

	if (got->kind != want->kind || got->index != want->index || got->zero || !sized)
		return error_set(err, EINVAL, "saved state: block %u.%#x of %u bytes, where %u.%#x should be",
				got->kind, got->index, got->bytes, want->kind, want->index);
	return 0;
}

static int check_machine(const struct snapshot_machine *m, const struct snapshot_machine *wanted, struct error *err)
{
	if (m->version != SNAPSHOT_VERSION || m->zero)
		return error_set(err, EINVAL, "saved state: version %u, and this bivalve reads version %d", m->version,
				SNAPSHOT_VERSION);
	if (m->vcpus != wanted->vcpus || m->windows != wanted->windows || m->memory_bytes != wanted->memory_bytes)
		return error_set(err, EINVAL, "saved state: of a machine with %u processors, %u devices and %llu MiB",
				m->vcpus, m->windows, (unsigned long long)m->memory_bytes >> 20);
	return 0;
}

static int add_part(struct snapshot *s, struct reader *r, const struct snapshot_block *block, struct error *err)
{
	if (s->bytes + block->bytes > s->size) {
		s->size = 2 * (s->bytes + block->bytes);
		s->data = xreallocarray(s->data, s->size, 1);
	}
	s->parts = xreallocarray(s->parts, s->n_blocks + 1, sizeof *s->parts);
	s->parts[s->n_blocks++] = (struct snapshot_part){ *block, s->bytes };
	s->bytes += block->bytes;
	return take(r, s->data + s->bytes - block->bytes, block->bytes, err);
}

/* Where a RAM block's bytes go: whole pages, inside RAM. */
static int ram_place(struct reader *r, const struct snapshot_block *block, uint64_t memory_bytes, uint64_t *ret_at,
		uint64_t *ret_bytes, struct error *err)
{
	uint64_t at, bytes = block->bytes - sizeof at;

	if (block->bytes < sizeof at + PAGE || bytes > SNAPSHOT_RAM_PIECE || block->index || block->zero)
		return error_set(err, EINVAL, "saved state: RAM in a piece of %u bytes", block->bytes);
	if (take(r, &at, sizeof at, err) < 0)
		return -err->code;
	if (at % PAGE || bytes % PAGE || at >= memory_bytes || bytes > memory_bytes - at)
		return error_set(err, EINVAL, "saved state: RAM that is not there");
	*ret_at = at;
	*ret_bytes = bytes;
	return 0;
}

static int read_rest(struct reader *r, const struct snapshot_machine *wanted, const struct vm_memory *ram,
		struct error *err)
{
	struct snapshot_block block;
	uint64_t at = 0, bytes = 0;

	for (;;) {
		if (take(r, &block, sizeof block, err) < 0)
			return -err->code;
		if (block.kind == SNAP_END)
			return block.bytes || block.index || block.zero || r->left
					? error_set(err, EINVAL, "saved state: it does not end where it says") : 0;
		if (block.kind != SNAP_RAM || !ram)
			return error_set(err, EINVAL, "saved state: block %u where RAM or the end should be",
					block.kind);
		if (ram_place(r, &block, wanted->memory_bytes, &at, &bytes, err) < 0 ||
				take(r, (uint8_t *)ram->map + at, bytes, err) < 0)
			return -err->code;
	}
}

int snapshot_read(int fd, uint64_t bytes, const struct snapshot_machine *wanted, const struct vm_memory *ram,
		struct snapshot *ret, struct error *err)
{
	struct reader r = { fd, bytes };
	struct snapshot_block want, block;
	int status = 0;

	*ret = (struct snapshot){ 0 };
	for (uint32_t n = 0; status == 0 && expected(wanted, n, &want); n++) {
		status = take(&r, &block, sizeof block, err);
		if (status == 0)
			status = check_block(&block, &want, err);
		if (status == 0)
			status = add_part(ret, &r, &block, err);
		if (status == 0 && n == 0) {
			memcpy(&ret->machine, ret->data, sizeof ret->machine);
			status = check_machine(&ret->machine, wanted, err);
		}
	}
	if (status == 0)
		status = read_rest(&r, wanted, ram, err);
	if (status < 0)
		snapshot_release(ret);
	return status;
}

void snapshot_release(struct snapshot *s)
{
	free(s->data);
	free(s->parts);
	*s = (struct snapshot){ 0 };
}
