/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uncompressed form of a kernel, for engines that load it faster than a guest unpacks it.
 *
 * A bzImage is a loader with the compressed vmlinux behind it; boot.rst ("payload_offset", "payload_length") tells
 * where, the payload's first bytes tell how. The usual program unpacks it. What is stored then is no copy but a small
 * ELF of our own making with the same bytes at the same addresses: only what is loaded, and of that not the zeroes
 * (about 40 of 100 bytes of Debian's), since the guest's RAM has them already.
 *
 * What a guest loses this way: a bzImage moves itself to a random address (KASLR), a vmlinux lies where it was linked.
 * Whoever wants it back removes the file `vmlinux` from the kernel's folder.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "vm-backend/arch/x86_64/kernel_image.h"
#include "vm-backend/kernel/kernel_unpack.h"

extern char **environ;

enum {
	MAX_PACKED_BYTES = 256 << 20,
	MAX_UNPACKED_BYTES = 512 << 20,
	STEP_BYTES = 1 << 20,
	HEADER_OFFSET = 0x1f1,
	SECTOR = 512,
	PAGE = 4096,
	GAP_BYTES = 64 << 10,           /* zeroes worth a segment of their own */
	MAX_PIECES = 48,                /* segments that a loader is asked to take */
	TRIAL_BYTES = 512 << 20,        /* address space of the trial load */
};

/* How a payload begins, who unpacks it, and how many bytes behind it are not its own (the kernel's note of a size). */
static const struct packing {
	const char *magic;
	size_t len;
	const char *program;
	size_t behind;
} packings[] = {
	{ "\037\213", 2, "gzip", 0 },
	{ "\3757zXZ", 6, "xz", 4 },     /* with the NUL */
	{ "\002\041\114\030", 4, "lz4", 4 }, /* the legacy frame */
	{ "\050\265\057\375", 4, "zstd", 4 },
	{ "BZh", 3, "bzip2", 4 },
	{ "\211LZO", 4, "lzop", 4 },
};

static int begin_unpacking(const char *program, int in, pid_t *ret_pid, int *ret_fd)
{
	char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"-dc", NULL };
	posix_spawn_file_actions_t actions;
	int out[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	(void)posix_spawn_file_actions_init(&actions); /* in glibc this cannot fail, nor can the next three */
	(void)posix_spawn_file_actions_adddup2(&actions, in, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	(void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(ret_pid, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(out[1]); /* the program has its own */
	if (r)
		(void)close(out[0]); /* only read */
	else
		*ret_fd = out[0];
	return -r;
}

/* Runs the program on the bytes. 0 and what it wrote, or -errno. */
static int unpack(const struct packing *packing, const char *data, size_t len, char **ret, size_t *ret_len)
{
	_cleanup_close_ int in = memfd_create("payload", MFD_CLOEXEC);
	_cleanup_close_ int out = -1;
	_cleanup_free_ char *text = NULL;
	size_t size = 0, n = 0;
	ssize_t got = 0;
	int status, r = in < 0 ? -errno : fd_write_full(in, data, len);
	pid_t pid;

	if (r >= 0)
		r = lseek(in, 0, SEEK_SET) < 0 ? -errno : begin_unpacking(packing->program, in, &pid, &out);
	if (r < 0)
		return r;
	do {
		n += (size_t)got;
		if (size - n < STEP_BYTES)
			text = xreallocarray(text, size = 2 * size + STEP_BYTES, 1);
		got = n > MAX_UNPACKED_BYTES ? -EFBIG : fd_read_full(out, text + n, STEP_BYTES);
	} while (got > 0);
	if (got < 0)
		(void)kill(pid, SIGKILL); /* our child, not yet reaped */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (got < 0 || status)
		return got < 0 ? (int)got : -EINVAL;
	*ret = steal_ptr(text);
	*ret_len = n;
	return 0;
}

/* The vmlinux in a bzImage. 0 or -errno. */
static int extract(const char *file, size_t len, char **ret, size_t *ret_len)
{
	struct setup_header header;
	uint64_t start, bytes;

	if (len < HEADER_OFFSET + sizeof header)
		return -EINVAL;
	memcpy(&header, file + HEADER_OFFSET, sizeof header);
	if (header.version < 0x208) /* without the two members */
		return -EINVAL;
	start = ((uint64_t)(header.setup_sects ? header.setup_sects : 4) + 1) * SECTOR + header.payload_offset;
	bytes = header.payload_length;
	if (start > len || bytes > len - start)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(packings); i++) {
		const struct packing *p = &packings[i];

		if (bytes > p->len + p->behind && memcmp(file + start, p->magic, p->len) == 0)
			return unpack(p, file + start, bytes - p->behind, ret, ret_len);
	}
	return -EINVAL;
}

/* The segments of the ELF to be written. */
struct pieces {
	Elf64_Phdr list[MAX_PIECES];    /* p_offset: in the source */
	size_t n;
	size_t gap;                     /* shorter stretches of zeroes are kept */
};

static bool is_zero(const char *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* Cuts one segment where zeroes are. false: too many pieces. */
static bool cut_segment(struct pieces *p, const char *file, const Elf64_Phdr *segment)
{
	Elf64_Phdr *last = NULL;

	for (uint64_t at = 0; at < segment->p_filesz; at += PAGE) {
		uint64_t end = segment->p_filesz - at < PAGE ? segment->p_filesz : at + PAGE;

		if (is_zero(file + segment->p_offset + at, end - at))
			continue;
		if (!last || at - (last->p_offset - segment->p_offset) - last->p_filesz >= p->gap) {
			if (p->n == MAX_PIECES)
				return false;
			if (last)
				last->p_memsz = segment->p_offset + at - last->p_offset;
			last = &p->list[p->n++];
			*last = *segment;
			last->p_offset += at;
			last->p_vaddr += at;
			last->p_paddr += at;
			last->p_memsz -= at;
		}
		last->p_filesz = segment->p_offset + end - last->p_offset;
	}
	if (!last && segment->p_memsz) { /* nothing but zeroes */
		if (p->n == MAX_PIECES)
			return false;
		p->list[p->n] = *segment;
		p->list[p->n++].p_filesz = 0;
	}
	return true;
}

static int cut(struct pieces *p, const char *file, size_t len, const Elf64_Ehdr *elf)
{
	bool fits = false;

	if (elf->e_phentsize != sizeof(Elf64_Phdr) || elf->e_phoff > len ||
			elf->e_phnum > (len - elf->e_phoff) / sizeof(Elf64_Phdr))
		return -EINVAL;
	for (p->gap = GAP_BYTES; !fits && p->gap <= MAX_UNPACKED_BYTES; p->gap *= 4) {
		p->n = 0;
		fits = true;
		for (unsigned i = 0; fits && i < elf->e_phnum; i++) {
			Elf64_Phdr segment;

			memcpy(&segment, file + elf->e_phoff + i * sizeof segment, sizeof segment);
			if (segment.p_offset > len || segment.p_filesz > len - segment.p_offset ||
					segment.p_memsz > MAX_UNPACKED_BYTES || segment.p_filesz > segment.p_memsz)
				return -EINVAL;
			if (segment.p_type == PT_LOAD)
				fits = cut_segment(p, file, &segment);
			else if (segment.p_type == PT_NOTE && (fits = p->n < MAX_PIECES))
				p->list[p->n++] = segment;
		}
	}
	return fits && p->n ? 0 : -EINVAL;
}

static int write_elf(int fd, const char *file, const Elf64_Ehdr *source, const struct pieces *p)
{
	Elf64_Phdr list[MAX_PIECES];
	Elf64_Ehdr elf = *source;
	uint64_t at = PAGE;
	int r;

	_Static_assert(sizeof elf + sizeof list <= PAGE, "the data begins on the second page");
	elf.e_phoff = sizeof elf;
	elf.e_phnum = (Elf64_Half)p->n;
	elf.e_shoff = elf.e_shnum = elf.e_shstrndx = 0;
	for (size_t i = 0; i < p->n; i++) {
		list[i] = p->list[i];
		list[i].p_offset = at;
		list[i].p_align = list[i].p_type == PT_NOTE ? 4 : 1; /* QEMU steps through notes by it */
		if (lseek(fd, (off_t)at, SEEK_SET) < 0)
			return -errno;
		r = fd_write_full(fd, file + p->list[i].p_offset, list[i].p_filesz);
		if (r < 0)
			return r;
		at += (list[i].p_filesz + PAGE - 1) / PAGE * PAGE;
	}
	if (lseek(fd, 0, SEEK_SET) < 0 || ftruncate(fd, (off_t)at) < 0)
		return -errno;
	r = fd_write_full(fd, &elf, sizeof elf);
	return r < 0 ? r : fd_write_full(fd, list, p->n * sizeof *list);
}

/* Whether the engine's own loader takes the file. */
static bool can_be_loaded(int fd)
{
	struct vm_memory memory;
	struct kernel_image image;
	bool good;

	if (vm_memory_map(&memory, TRIAL_BYTES, NULL) < 0)
		return false;
	good = elf_load(fd, "vmlinux", &memory, &image, NULL) == 1;
	vm_memory_release(&memory);
	return good;
}

int kernel_unpack(const char *source, int dirfd, const char *name)
{
	_cleanup_free_ char *file = NULL, *unpacked = NULL;
	_cleanup_close_ int fd = -1;
	struct pieces pieces;
	Elf64_Ehdr elf;
	size_t len;
	int r = file_read_at(AT_FDCWD, source, MAX_PACKED_BYTES, &file, &len, NULL);

	if (r == 0 && (len < SELFMAG || memcmp(file, ELFMAG, SELFMAG))) {
		r = extract(file, len, &unpacked, &len);
		free(file);
		file = steal_ptr(unpacked);
	}
	if (r < 0)
		return r;
	if (len < sizeof elf)
		return -EINVAL;
	memcpy(&elf, file, sizeof elf);
	if (memcmp(elf.e_ident, ELFMAG, SELFMAG) || elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_type != ET_EXEC)
		return -EINVAL;
	r = cut(&pieces, file, len, &elf);
	if (r < 0)
		return r;
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = write_elf(fd, file, &elf, &pieces);
	if (r == 0 && !can_be_loaded(fd))
		r = -EINVAL;
	if (r < 0)
		(void)unlinkat(dirfd, name, 0); /* we made it a moment ago */
	return r;
}
