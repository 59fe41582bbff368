/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of compiled filters: one file a program, named by a hash of its rules text.
 *
 *   struct header | the rules text | struct sock_filter[]
 *
 * Whoever can write such a file decides what a sandbox may do. So the folder and the file must be real (no links),
 * belong to this user and be writable by nobody else; the folder is opened once and the file by that descriptor. The
 * hash only finds the file: the whole text is compared, so two policies that collide never share a program. The
 * program has a checksum, because a file renamed shortly before a power cut can come back with holes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policies/enforce/seccomp_cache.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"

static const char magic[8] = "bvfilt1";
enum { MAX_FILE = 1 << 20, NAME_SIZE = 32 };

struct header {
	char magic[8];
	uint32_t text_len, program_len;
	uint64_t program_hash;
};

/* FNV-1a over words of eight bytes: no defence against intent, only a name and a checksum. */
static uint64_t hash(const void *data, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325), word;
	const char *p = data;

	for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
		memcpy(&word, p, sizeof word);
		h = (h ^ word) * UINT64_C(0x100000001b3);
		h ^= h >> 29;
	}
	for (; len > 0; p++, len--)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static void name_of(const struct strbuf *text, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "%016llx.bpf", (unsigned long long)hash(text->text, text->len));
}

/* Ours, and nobody else can write to it? */
static bool trusted(int fd, mode_t type, struct stat *st)
{
	return fstat(fd, st) == 0 && (st->st_mode & S_IFMT) == type && st->st_uid == geteuid() &&
			(st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_dir(const char *dir)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!trusted(fd, S_IFDIR, &st)) {
		log_debug("the filter cache %s is not used: it must be ours and writable by us alone", dir);
		return -EPERM;
	}
	return steal_fd(&fd);
}

static bool fits(const uint8_t *file, size_t size, const struct strbuf *text)
{
	struct header h;

	if (size < sizeof h)
		return false;
	memcpy(&h, file, sizeof h);
	return !memcmp(h.magic, magic, sizeof magic) && h.text_len == text->len && h.program_len > 0 &&
			h.program_len % sizeof(struct sock_filter) == 0 &&
			size == sizeof h + (size_t)h.text_len + h.program_len &&
			!memcmp(file + sizeof h, text->text, text->len) &&
			hash(file + sizeof h + h.text_len, h.program_len) == h.program_hash;
}

bool seccomp_cache_get(const char *dir, const struct strbuf *text, struct bytes *ret_program)
{
	_cleanup_close_ int dirfd = open_dir(dir);
	_cleanup_close_ int fd = -1;
	_cleanup_free_ uint8_t *file = NULL;
	char name[NAME_SIZE];
	struct stat st;
	size_t skip = sizeof(struct header) + text->len, size;

	if (dirfd < 0)
		return false;
	name_of(text, name);
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || !trusted(fd, S_IFREG, &st) || st.st_size <= (off_t)skip || st.st_size > MAX_FILE)
		return false;
	size = (size_t)st.st_size;
	file = xcalloc(1, size);
	if (fd_read_full(fd, file, size) != (ssize_t)size || !fits(file, size, text))
		return false;
	ret_program->data = xmemdup(file + skip, size - skip);
	ret_program->len = size - skip;
	return true;
}

void seccomp_cache_put(const char *dir, const struct strbuf *text, const struct bytes *program)
{
	struct header h = { .text_len = (uint32_t)text->len, .program_len = (uint32_t)program->len };
	_cleanup_strbuf_ struct strbuf file = { 0 };
	_cleanup_close_ int dirfd = -1;
	char name[NAME_SIZE];
	struct error err;

	if (sizeof h + text->len + program->len > MAX_FILE)
		return;
	if (path_mkdirs(dir, 0700, &err) < 0 || (dirfd = open_dir(dir)) < 0)
		return;
	memcpy(h.magic, magic, sizeof magic);
	h.program_hash = hash(program->data, program->len);
	strbuf_add(&file, &h, sizeof h);
	strbuf_add(&file, text->text, text->len);
	strbuf_add(&file, program->data, program->len);
	name_of(text, name);
	if (file_write_atomic(dirfd, name, file.text, file.len, 0600, &err) < 0)
		log_debug("the filter is not cached: %s", err.message);
}
