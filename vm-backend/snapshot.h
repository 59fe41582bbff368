/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_SNAPSHOT_H
#define BIVALVE_VM_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "vm-backend/memory.h"

struct machine;
struct vm_config;

/*
 * A saved machine of our own VMM: the engine's part of a state file, version 1. Little-endian; blocks in this order:
 *
 *      MACHINE   what the machine must be
 *      VM        per item of arch_state_items(false)
 *      VCPU      per processor, per item of arch_state_items(true): index is processor << 16 | item
 *      DEVICE    per virtio window
 *      RAM       any number: an offset in RAM, then that many bytes of it; what is not there is zero
 *      END
 *
 * The VMM writes this stream to its control socket, since its jail has no files; its launcher puts it in the file, or
 * RAM in a file of its own. All of it is hostile to whoever reads it: to the launcher, because a VMM may have been
 * broken into, and to the VMM that goes on, because a file is a file.
 */
enum { SNAPSHOT_VERSION = 1, SNAPSHOT_RAM_PIECE = 256 * 1024 };
enum snapshot_kind { SNAP_MACHINE = 1, SNAP_VM, SNAP_VCPU, SNAP_DEVICE, SNAP_RAM, SNAP_END, SNAP_FAILED };

struct snapshot_block {
	uint32_t kind, index, bytes, zero;
};

struct snapshot_machine {
	uint32_t version, vcpus, windows, zero;
	uint64_t memory_bytes;
};

/* What is asked of a VMM by its control socket, a byte each. */
#define SNAPSHOT_SAVE   's'     /* answered by the stream, or FAILED with an errno value as index and its line */
#define SNAPSHOT_RESUME 'r'     /* not answered */

/* ---- in the VMM ---- */

/* Serves the control socket, from machine->loop. */
int snapshot_attach(struct machine *machine, int control_fd, struct error *err);

/* A state that was read and checked: everything but RAM. */
struct snapshot {
	struct snapshot_machine machine;
	uint8_t *data;
	size_t bytes, size;
	uint32_t n_blocks;
	struct snapshot_part {
		struct snapshot_block block;
		size_t offset;           /* in data */
	} *parts;
};
/*
 * Reads bytes of a stream that fd stands at. ram: RAM goes there; NULL: it must have none (it is in a file of its own).
 * -EINVAL: it is not what it should be, or for another machine than of these vcpus, windows and memory.
 */
int snapshot_read(int fd, uint64_t bytes, const struct snapshot_machine *wanted, const struct vm_memory *ram,
		struct snapshot *ret, struct error *err);
void snapshot_release(struct snapshot *s);
/* Writes it to a machine that is made and has not run. */
int snapshot_restore(struct machine *machine, const struct snapshot *s, struct error *err);

/* ---- outside ---- */

/* vm_engine.save and resume of the engine kvm. */
int snapshot_save(const struct vm_config *config, int state_fd, struct error *err);
int snapshot_resume(const struct vm_config *config, struct error *err);

#endif
