/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_MEMORY_H
#define BIVALVE_VM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef uint64_t gpa_t; /* a guest physical address */

/* RAM of the guest: one mapping of ours, seen by the guest as one range or, around the device hole, as two. */
struct vm_memory_region {
	gpa_t base;
	uint64_t bytes;
	uint8_t *host;
};
struct vm_memory {
	struct vm_memory_region regions[2];
	unsigned n_regions;
	void *map;        /* aligned to 2 MiB */
	uint64_t bytes;
};

#define VM_MEMORY_MIN (UINT64_C(32) << 20)
/* A memory limit of 64 GiB, and beside it what the guest's own kernel takes. */
#define VM_MEMORY_MAX (UINT64_C(69) << 30)
#define VM_HUGE_PAGE  (UINT64_C(2) << 20)

/*
 * Maps bytes of private anonymous memory, with huge pages where the host gives them; nothing is touched yet.
 * -EINVAL unless bytes is a multiple of 2 MiB between VM_MEMORY_MIN and VM_MEMORY_MAX.
 */
int vm_memory_map(struct vm_memory *memory, uint64_t bytes, struct error *err);
/*
 * The same from a file of a saved machine's RAM, of that many bytes: read when it is touched, and what is written stays
 * here. fd may be closed then.
 */
int vm_memory_map_file(struct vm_memory *memory, uint64_t bytes, int fd, struct error *err);
void vm_memory_release(struct vm_memory *memory);

/* Makes it the guest's RAM. */
int vm_memory_plug(const struct vm_memory *memory, int vm_fd, struct error *err);

/*
 * Where [gpa, gpa+bytes) lies in our address space, or NULL if not wholly inside one region. bytes 0 is NULL too.
 * The pointer stays valid for the life of the machine; what it points to changes under our hands.
 */
void *vm_memory_at(const struct vm_memory *memory, gpa_t gpa, uint64_t bytes);

#endif
