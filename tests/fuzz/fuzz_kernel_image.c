/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any file as a kernel: loaded within the guest's RAM, or refused with one line. The first bytes choose a bzImage or
 * ELF frame that is nearly right around the rest, for few random inputs are a kernel's beginning.
 */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm-backend/arch/x86_64/kernel_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES = 16384, SEGMENTS = 3 };

static uint64_t draw(const uint8_t **data, size_t *size)
{
	static const uint64_t values[] = { 0, 1, 16, 64, 0x1000, 0x100000, 0x1000000, 0x2000000, UINT32_MAX, INT64_MAX,
		UINT64_MAX };
	uint8_t pick;

	if (*size == 0)
		return 0;
	pick = *(*data)++;
	(*size)--;
	return values[pick % (sizeof values / sizeof *values)] + (pick >> 6) - (pick >> 4 & 3);
}

static void frame_elf(uint8_t *file, const uint8_t **data, size_t *size)
{
	Elf64_Ehdr elf = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64 }, .e_machine = EM_X86_64,
		.e_phoff = sizeof elf, .e_phnum = SEGMENTS, .e_phentsize = sizeof(Elf64_Phdr) };

	elf.e_entry = draw(data, size);
	memcpy(file, &elf, sizeof elf);
	for (size_t i = 0; i < SEGMENTS; i++) {
		Elf64_Phdr segment = { .p_type = i ? PT_LOAD : PT_NOTE };

		segment.p_offset = draw(data, size);
		segment.p_paddr = draw(data, size);
		segment.p_filesz = draw(data, size);
		segment.p_memsz = draw(data, size);
		memcpy(file + sizeof elf + i * sizeof segment, &segment, sizeof segment);
	}
}

static void frame_bzimage(uint8_t *file, const uint8_t **data, size_t *size)
{
	struct setup_header header = { .boot_flag = 0xaa55, .header = 0x53726448, .version = 0x20f,
		.xloadflags = XLF_KERNEL_64 };

	header.setup_sects = (uint8_t)draw(data, size);
	header.pref_address = draw(data, size);
	header.init_size = (uint32_t)draw(data, size);
	header.relocatable_kernel = (uint8_t)(draw(data, size) & 1);
	memcpy(file + 0x1f1, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_memory memory;
	static uint8_t file[FILE_BYTES];
	struct kernel_image image = { 0 };
	struct error err = { 0 };
	int fd, r;

	if (!memory.map && vm_memory_map(&memory, VM_MEMORY_MIN, NULL) < 0)
		abort();
	if (size < 1)
		return 0;
	memset(file, 0, sizeof file);
	memcpy(file + 1024, data, size < sizeof file - 1024 ? size : sizeof file - 1024);
	if (data[0] & 1)
		frame_elf(file, &data, &size);
	else
		frame_bzimage(file, &data, &size);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, file, sizeof file) != sizeof file)
		abort();
	r = bzimage_load(fd, "fuzz", &memory, &image, &err);
	if (r == 0)
		r = elf_load(fd, "fuzz", &memory, &image, &err);
	if ((r < 0) != (err.code != 0) || (r > 0 && (image.entry < 0x100000 || image.end > VM_MEMORY_MIN)))
		abort();
	close(fd);
	return 0;
}
