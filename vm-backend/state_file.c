/* SPDX-License-Identifier: Apache-2.0 */
/* The container of a saved machine: a header, a table and sections. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/fd.h"
#include "vm-backend/state_file.h"

enum { CHUNK = 256 * 1024 };

static const char magic[8] = { 'B', 'I', 'V', 'S', 'T', 'A', 'T', 'E' };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is written as it lies in memory");
_Static_assert(sizeof(struct state_header) == 64 && sizeof(struct state_section) == 32, "no hidden padding");
_Static_assert(sizeof(struct state_header) + STATE_MAX_SECTIONS * sizeof(struct state_section) <= STATE_ALIGN,
		"header and table come before the first section");

static uint64_t aligned(uint64_t offset)
{
	return (offset + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
}

/* The CRC with its own field 0. */
static uint32_t header_crc(struct state_header header)
{
	header.header_crc = 0;
	return crc32c(0, &header, sizeof header);
}

static int check_header(const struct state_header *h, uint64_t file_bytes, struct error *err)
{
	static const uint8_t zero[sizeof h->zero];

	if (memcmp(h->magic, magic, sizeof magic))
		return error_set(err, EINVAL, "not a saved machine");
	if (h->header_crc != header_crc(*h))
		return error_set(err, EINVAL, "its header is damaged");
	if (h->version != STATE_FILE_VERSION)
		return error_set(err, EINVAL, "of version %u, and this bivalve reads version %d", h->version,
				STATE_FILE_VERSION);
	if (memcmp(h->zero, zero, sizeof zero) || h->n_sections == 0 || h->n_sections > STATE_MAX_SECTIONS)
		return error_set(err, EINVAL, "its header says what this bivalve does not know");
	if (h->file_bytes != file_bytes)
		return error_set(err, EINVAL, "%llu bytes long, not %llu: cut off or added to",
				(unsigned long long)file_bytes, (unsigned long long)h->file_bytes);
	return 0;
}

static int check_table(const struct state_file *f, const struct state_header *h, struct error *err)
{
	uint64_t end = STATE_ALIGN;
	unsigned seen = 0;

	if (crc32c(0, f->sections, f->n_sections * sizeof *f->sections) != h->table_crc)
		return error_set(err, EINVAL, "its table is damaged");
	for (uint32_t i = 0; i < f->n_sections; i++) {
		const struct state_section *s = &f->sections[i];

		if (s->kind == 0 || s->kind >= STATE_KIND_COUNT || seen >> s->kind & 1 || s->zero)
			return error_set(err, EINVAL, "section %u: of kind %u, unknown or there twice", i, s->kind);
		if (s->offset != aligned(end) || s->bytes == 0 || s->offset > h->file_bytes ||
				s->bytes > h->file_bytes - s->offset)
			return error_set(err, EINVAL, "section %u: out of place", i);
		seen |= 1u << s->kind;
		end = s->offset + s->bytes;
	}
	return end == h->file_bytes ? 0 : error_set(err, EINVAL, "has more than its table names");
}

int state_file_open_fd(struct state_file *f, int fd, const char *name, struct error *err)
{
	struct state_header header;
	struct stat st;
	int r = 0;

	*f = (struct state_file){ .fd = fd };
	if (fstat(fd, &st) < 0)
		r = error_sys(err, "cannot look at it");
	else if (!S_ISREG(st.st_mode))
		r = error_set(err, EINVAL, "not a regular file");
	else if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
		r = error_set(err, EINVAL, "not a saved machine");
	if (r == 0)
		r = check_header(&header, (uint64_t)st.st_size, err);
	if (r == 0) {
		size_t bytes = header.n_sections * sizeof *f->sections;

		f->n_sections = header.n_sections;
		r = pread(fd, f->sections, bytes, sizeof header) != (ssize_t)bytes
				? error_set(err, EINVAL, "its table is cut off") : check_table(f, &header, err);
	}
	if (r < 0) {
		state_file_close(f);
		return error_prefix(err, "%s", name);
	}
	return 0;
}

int state_file_open(struct state_file *f, const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not hold us up */

	*f = (struct state_file){ .fd = -1 };
	return fd < 0 ? error_sys(err, "%s", path) : state_file_open_fd(f, fd, path, err);
}

void state_file_close(struct state_file *f)
{
	close_cleanup(&f->fd);
	*f = (struct state_file){ .fd = -1 };
}

const struct state_section *state_file_find(const struct state_file *f, enum state_kind kind)
{
	for (uint32_t i = 0; i < f->n_sections; i++)
		if (f->sections[i].kind == kind)
			return &f->sections[i];
	return NULL;
}

int state_file_read(const struct state_file *f, enum state_kind kind, size_t max, char **ret, size_t *ret_len,
		struct error *err)
{
	const struct state_section *s = state_file_find(f, kind);
	_cleanup_free_ char *text = NULL;

	if (!s || s->bytes > max)
		return error_set(err, EINVAL, "section of kind %d: %s", kind, s ? "too long" : "missing");
	text = xcalloc(1, s->bytes + 1);
	if (pread(f->fd, text, s->bytes, (off_t)s->offset) != (ssize_t)s->bytes || crc32c(0, text, s->bytes) != s->crc)
		return error_set(err, EINVAL, "section of kind %d: damaged", kind);
	*ret = steal_ptr(text);
	*ret_len = s->bytes;
	return 0;
}

/* The CRC of part of a file. */
static int crc_of(int fd, uint64_t offset, uint64_t bytes, uint32_t *ret, struct error *err)
{
	_cleanup_free_ uint8_t *chunk = xcalloc(1, CHUNK);
	uint32_t crc = 0;

	while (bytes) {
		size_t want = bytes < CHUNK ? bytes : CHUNK;
		ssize_t n = pread(fd, chunk, want, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? error_sys(err, "cannot read it") : error_set(err, EINVAL, "cut off");
		crc = crc32c(crc, chunk, (size_t)n);
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	*ret = crc;
	return 0;
}

int state_file_check(const struct state_file *f, enum state_kind kind, struct error *err)
{
	const struct state_section *s = state_file_find(f, kind);
	uint32_t crc;
	int r = s ? crc_of(f->fd, s->offset, s->bytes, &crc, err)
		  : error_set(err, EINVAL, "section of kind %d: missing", kind);

	if (r == 0 && crc != s->crc)
		r = error_set(err, EINVAL, "section of kind %d: damaged", kind);
	return r;
}

void state_writer_init(struct state_writer *w, int fd)
{
	*w = (struct state_writer){ .fd = fd, .file = { .fd = -1 }, .end = STATE_ALIGN };
}

int state_writer_begin(struct state_writer *w, enum state_kind kind, struct error *err)
{
	struct state_section *s = &w->file.sections[w->file.n_sections];

	if (w->file.n_sections == STATE_MAX_SECTIONS)
		return error_set(err, E2BIG, "more than %d sections", STATE_MAX_SECTIONS);
	*s = (struct state_section){ .kind = kind, .offset = aligned(w->end) };
	if (lseek(w->fd, (off_t)s->offset, SEEK_SET) < 0)
		return error_sys(err, "cannot seek");
	return 0;
}

int state_writer_end(struct state_writer *w, struct error *err)
{
	struct state_section *s = &w->file.sections[w->file.n_sections];
	struct stat st;

	if (fstat(w->fd, &st) < 0)
		return error_sys(err, "cannot look at it");
	if ((uint64_t)st.st_size <= s->offset)
		return error_set(err, EIO, "nothing was written");
	s->bytes = (uint64_t)st.st_size - s->offset;
	w->end = (uint64_t)st.st_size;
	w->unread[w->file.n_sections++] = true;
	return 0;
}

int state_writer_add(struct state_writer *w, enum state_kind kind, const void *data, size_t len, struct error *err)
{
	int r = state_writer_begin(w, kind, err);

	if (r == 0) {
		r = fd_write_full(w->fd, data, len);
		r = r < 0 ? error_set(err, -r, "cannot write it: %s", strerror(-r)) : state_writer_end(w, err);
	}
	return r;
}

int state_writer_finish(struct state_writer *w, struct error *err)
{
	size_t bytes = w->file.n_sections * sizeof *w->file.sections;
	struct state_header h = { .version = STATE_FILE_VERSION, .n_sections = w->file.n_sections,
		.file_bytes = w->end };

	for (uint32_t i = 0; i < w->file.n_sections; i++) {
		struct state_section *s = &w->file.sections[i];

		if (w->unread[i] && crc_of(w->fd, s->offset, s->bytes, &s->crc, err) < 0)
			return -err->code;
		w->unread[i] = false;
	}
	h.table_crc = crc32c(0, w->file.sections, bytes);
	memcpy(h.magic, magic, sizeof magic);
	h.header_crc = header_crc(h);
	if (pwrite(w->fd, w->file.sections, bytes, sizeof h) != (ssize_t)bytes ||
			pwrite(w->fd, &h, sizeof h, 0) != (ssize_t)sizeof h)
		return error_sys(err, "cannot write it");
	return 0;
}
