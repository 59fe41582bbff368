/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bzImage by the 64-bit protocol (Documentation/arch/x86/boot.rst): the part after the real-mode setup goes to where
 * the kernel prefers to lie, and is entered 0x200 bytes in. It unpacks itself from there.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm-backend/arch/x86_64/kernel_image.h"
#include "vm-backend/arch/x86_64/layout.h"

enum {
	HEADER_OFFSET = 0x1f1,
	HEADER_MAGIC = 0x53726448,      /* "HdrS" */
	BOOT_FLAG = 0xaa55,
	VERSION_MIN = 0x20c,            /* xloadflags: Linux 3.8 */
	ENTRY_64 = 0x200,
	SECTOR = 512,
};

int bzimage_load(int fd, const char *path, const struct vm_memory *memory, struct kernel_image *image,
		struct error *err)
{
	struct setup_header header = { 0 };
	uint64_t setup, load, end;
	struct stat st;
	int r;

	if (pread(fd, &header, sizeof header, HEADER_OFFSET) <
			(ssize_t)offsetof(struct setup_header, handover_offset) ||
			header.boot_flag != BOOT_FLAG || header.header != HEADER_MAGIC)
		return 0;
	if (header.version < VERSION_MIN || !(header.xloadflags & XLF_KERNEL_64))
		return error_set(err, EINVAL, "not a kernel: %s: a bzImage without 64-bit entry", path);
	if (fstat(fd, &st) < 0)
		return error_sys(err, "%s", path);
	setup = ((uint64_t)(header.setup_sects ? header.setup_sects : 4) + 1) * SECTOR;
	if ((uint64_t)st.st_size <= setup + ENTRY_64)
		return error_set(err, EINVAL, "%s: ends too early", path);

	load = header.pref_address;
	if (load < HIGH_MEMORY_GPA || __builtin_add_overflow(load, header.init_size, &end) ||
			!vm_memory_at(memory, load, header.init_size)) {
		load = HIGH_MEMORY_GPA;
		end = load + header.init_size;
		if (!header.relocatable_kernel || !vm_memory_at(memory, load, header.init_size))
			return error_set(err, ENOSPC, "%s: needs %u MiB at %#llx, more than the memory of %llu MiB has",
					path, header.init_size >> 20, (unsigned long long)header.pref_address,
					(unsigned long long)memory->bytes >> 20);
	}
	r = image_read(fd, path, setup, (uint64_t)st.st_size - setup, memory, load, err);
	if (r < 0)
		return r;
	*image = (struct kernel_image){
		.entry = load + ENTRY_64,
		.end = end,
		.initramfs_max = header.initrd_addr_max,
		.header = header,
	};
	return 1;
}
