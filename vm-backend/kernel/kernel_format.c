/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling a kernel from any other file, by what Documentation/arch/x86/boot.rst and the ELF specification demand.
 * The engines read the rest; this catches the wrong file early, with one clear line.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "vm-backend/kernel/kernel.h"

enum {
	SETUP_HEADER_END = 0x250,
	BOOT_FLAG = 0x1fe,      /* 0xaa55 */
	HEADER_MAGIC = 0x202,   /* "HdrS" */
	VERSION_POINTER = 0x20e,/* a string at 0x200 + this */
	MAX_VERSION = 128,
};

/* The first word of the banner at offset at; NULL if there is none. */
static char *read_version(int fd, off_t at)
{
	char text[MAX_VERSION];
	ssize_t n = pread(fd, text, sizeof text - 1, at);
	size_t len;

	if (n <= 0)
		return NULL;
	text[n] = '\0';
	len = strcspn(text, " \n");
	if (len == 0 || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+~-") < len)
		return NULL;
	return xstrndup(text, len);
}

/* Searches the banner "Linux version X " that every vmlinux carries in its read-only data. */
static char *search_version(int fd)
{
	static const char banner[] = "Linux version ";
	enum { STEP = 1 << 20, OVERLAP = sizeof banner - 1 };
	_cleanup_free_ char *text = xcalloc(1, STEP);

	for (off_t at = 0;; at += STEP - OVERLAP) {
		ssize_t n = pread(fd, text, STEP, at);
		const char *hit = n <= 0 ? NULL : memmem(text, (size_t)n, banner, OVERLAP);
		char *version = hit ? read_version(fd, at + (hit - text) + OVERLAP) : NULL;

		if (version)
			return version;
		if (n < STEP)
			return NULL;
	}
}

int kernel_file_check(const char *path, enum kernel_format *ret_format, char **ret_version, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_Alignas(Elf64_Ehdr) uint8_t head[SETUP_HEADER_END] = { 0 };
	const Elf64_Ehdr *elf = (const void *)head;
	enum kernel_format format;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, "cannot open the kernel %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "%s: not a kernel: not a regular file", path);
	n = fd_read_full(fd, head, sizeof head);
	if (n < 0) {
		errno = (int)-n;
		return error_sys(err, "cannot read the kernel %s", path);
	}
	if (memcmp(head, ELFMAG, SELFMAG) == 0) {
		if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64 || elf->e_type != ET_EXEC)
			return error_set(err, EINVAL, "%s: not a kernel: an ELF file, but no x86-64 vmlinux", path);
		format = KERNEL_VMLINUX;
	} else if (memcmp(head + HEADER_MAGIC, "HdrS", 4) == 0 && head[BOOT_FLAG] == 0x55 &&
			head[BOOT_FLAG + 1] == 0xaa) {
		format = KERNEL_BZIMAGE;
	} else {
		return error_set(err, EINVAL, "%s: not a kernel: neither a bzImage (no HdrS magic) nor an ELF vmlinux",
				path);
	}
	if (ret_format)
		*ret_format = format;
	if (ret_version)
		*ret_version = format == KERNEL_VMLINUX ? search_version(fd)
				: read_version(fd, 0x200 + head[VERSION_POINTER] + head[VERSION_POINTER + 1] * 256);
	return 0;
}
