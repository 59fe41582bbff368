/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_X86_KERNEL_IMAGE_H
#define BIVALVE_X86_KERNEL_IMAGE_H

#include <asm/bootparam.h>
#include <stdbool.h>

#include "vm-backend/memory.h"

/* A kernel in the guest's RAM, ready to be entered. */
struct kernel_image {
	gpa_t entry;
	bool pvh;                       /* entry is 32-bit, by PVH; else 64-bit with boot_params */
	gpa_t end;                      /* the kernel needs all RAM from HIGH_MEMORY_GPA to here */
	gpa_t initramfs_max;            /* the last byte an initramfs may have */
	struct setup_header header;     /* of a bzImage, else what stands for it */
};

/*
 * Each loads a file of its format. 1: loaded; 0: not this format; -errno: this format, but broken, too large or of
 * another machine; err names path. The file is untrusted: every offset and size in it is checked.
 */
int elf_load(int fd, const char *path, const struct vm_memory *memory, struct kernel_image *image, struct error *err);
int bzimage_load(int fd, const char *path, const struct vm_memory *memory, struct kernel_image *image,
		struct error *err);

/* Reads [offset, offset+bytes) of the file to gpa. 0 or -errno; err names path. */
int image_read(int fd, const char *path, uint64_t offset, uint64_t bytes, const struct vm_memory *memory, gpa_t gpa,
		struct error *err);

#endif
