/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uncompressed kernel, ELF vmlinux: its segments go to their physical addresses. Linux, which a note tells, is
 * entered at the ELF entry in 64-bit mode: by PVH it would first look for Xen, 256 exits for CPUID, and map itself once
 * more. Any other kernel is entered by PVH if it has that note (Xen's PHYS32_ENTRY, xen/include/public/elfnote.h).
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/arch/x86_64/kernel_image.h"
#include "vm-backend/arch/x86_64/layout.h"

enum { MAX_SEGMENTS = 64, MAX_NOTES = 64 << 10, XEN_PHYS32_ENTRY = 18, NOTE_ALIGN = 4 };

int image_read(int fd, const char *path, uint64_t offset, uint64_t bytes, const struct vm_memory *memory, gpa_t gpa,
		struct error *err)
{
	uint8_t *at = vm_memory_at(memory, gpa, bytes);

	if (bytes == 0)
		return 0;
	if (!at)
		return error_set(err, ENOSPC, "%s: does not fit in %llu MiB of memory", path,
				(unsigned long long)memory->bytes >> 20);
	while (bytes > 0) {
		ssize_t n = offset > INT64_MAX ? 0 : pread(fd, at, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, "%s", path);
		if (n == 0)
			return error_set(err, EINVAL, "%s: ends too early", path);
		at += n;
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* What the notes of a kernel tell. */
struct notes {
	uint32_t pvh;   /* its entry by PVH; 0: none */
	bool is_linux;  /* one is named so: each of its builds has such a note */
};

static void read_notes(const uint8_t *notes, size_t len, struct notes *told)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		size_t name, desc;

		memcpy(&note, notes, sizeof note);
		notes += sizeof note;
		len -= sizeof note;
		name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		if (name > len || desc > len - name)
			return;
		if (note.n_namesz == sizeof "Linux" && !memcmp(notes, "Linux", sizeof "Linux"))
			told->is_linux = true;
		if (note.n_type == XEN_PHYS32_ENTRY && note.n_namesz == 4 && !memcmp(notes, "Xen", 4) &&
				note.n_descsz >= sizeof(uint32_t) && !told->pvh)
			memcpy(&told->pvh, notes + name, sizeof told->pvh);
		notes += name + desc;
		len -= name + desc;
	}
}

static void segment_notes(int fd, const Elf64_Phdr *segment, struct notes *told)
{
	_cleanup_free_ uint8_t *notes = NULL;
	ssize_t n;

	if (segment->p_type != PT_NOTE || segment->p_filesz > MAX_NOTES || segment->p_offset > INT64_MAX)
		return;
	notes = xcalloc(1, segment->p_filesz + 1);
	n = pread(fd, notes, segment->p_filesz, (off_t)segment->p_offset);
	if (n > 0)
		read_notes(notes, (size_t)n, told);
}

static int load_segment(int fd, const char *path, const struct vm_memory *memory, const Elf64_Phdr *segment,
		struct kernel_image *image, struct error *err)
{
	gpa_t end;

	if (segment->p_filesz > segment->p_memsz || segment->p_paddr < HIGH_MEMORY_GPA ||
			__builtin_add_overflow(segment->p_paddr, segment->p_memsz, &end))
		return error_set(err, EINVAL, "%s: broken: a segment for address %#llx", path,
				(unsigned long long)segment->p_paddr);
	if (!vm_memory_at(memory, segment->p_paddr, segment->p_memsz))
		return error_set(err, ENOSPC, "%s: does not fit in %llu MiB of memory", path,
				(unsigned long long)memory->bytes >> 20);
	if (end > image->end)
		image->end = end;
	return image_read(fd, path, segment->p_offset, segment->p_filesz, memory, segment->p_paddr, err);
}

/* Reads the headers, at most MAX_SEGMENTS. 1: read; 0: no ELF file; -EINVAL: one, but unusable. */
static int read_headers(int fd, const char *path, Elf64_Ehdr *elf, Elf64_Phdr segments[MAX_SEGMENTS], struct error *err)
{
	ssize_t bytes;

	if (pread(fd, elf, sizeof *elf, 0) != sizeof *elf || memcmp(elf->e_ident, ELFMAG, SELFMAG))
		return 0;
	if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64)
		return error_set(err, EINVAL, "not a kernel: %s: ELF, but not for x86-64", path);
	bytes = (ssize_t)(elf->e_phnum * sizeof *segments);
	if (elf->e_phnum == 0 || elf->e_phnum > MAX_SEGMENTS || elf->e_phentsize != sizeof *segments ||
			elf->e_phoff > INT64_MAX || pread(fd, segments, (size_t)bytes, (off_t)elf->e_phoff) != bytes)
		return error_set(err, EINVAL, "not a kernel: %s: ELF without usable program headers", path);
	return 1;
}

bool arch_kernel_pvh(int fd)
{
	Elf64_Ehdr elf;
	Elf64_Phdr segments[MAX_SEGMENTS];
	struct notes told = { 0 };

	if (read_headers(fd, "", &elf, segments, NULL) != 1)
		return false;
	for (unsigned i = 0; i < elf.e_phnum; i++)
		if (segments[i].p_align == NOTE_ALIGN)
			segment_notes(fd, &segments[i], &told);
	return told.pvh;
}

int elf_load(int fd, const char *path, const struct vm_memory *memory, struct kernel_image *image, struct error *err)
{
	Elf64_Ehdr elf;
	Elf64_Phdr segments[MAX_SEGMENTS];
	struct notes told = { 0 };
	int found = read_headers(fd, path, &elf, segments, err);

	if (found != 1)
		return found;
	*image = (struct kernel_image){ .entry = elf.e_entry, .initramfs_max = ARCH_HOLE_START - 1 };
	for (unsigned i = 0; i < elf.e_phnum; i++) {
		int r;

		segment_notes(fd, &segments[i], &told);
		if (segments[i].p_type != PT_LOAD || segments[i].p_memsz == 0)
			continue;
		r = load_segment(fd, path, memory, &segments[i], image, err);
		if (r < 0)
			return r;
	}
	image->pvh = told.pvh && !told.is_linux;
	if (image->pvh)
		image->entry = told.pvh;
	if (image->entry < HIGH_MEMORY_GPA || image->entry >= image->end)
		return error_set(err, EINVAL, "not a kernel: %s: its entry %#llx is outside of it", path,
				(unsigned long long)image->entry);
	/* What a bzImage would bring along, for the entry with boot_params. */
	image->header.boot_flag = 0xaa55;
	image->header.header = 0x53726448; /* "HdrS" */
	image->header.version = 0x20f;
	image->header.loadflags = LOADED_HIGH;
	return 1;
}
