/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a saved machine: what was written is read; what was changed anywhere is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/crc32c.h"
#include "tests/unit/tap.h"
#include "vm-backend/state_file.h"

static struct error err;

static int make(void)
{
	static char engine[10000];
	struct state_writer w;
	int fd = memfd_create("state", MFD_CLOEXEC);

	memset(engine, 'e', sizeof engine);
	state_writer_init(&w, fd);
	ok(state_writer_begin(&w, STATE_ENGINE, &err) == 0 && write(fd, engine, sizeof engine) == sizeof engine &&
			state_writer_end(&w, &err) == 0, "a section that somebody else writes");
	ok(state_writer_add(&w, STATE_MANIFEST, "{}", 2, &err) == 0 && state_writer_finish(&w, &err) == 0,
			"and one of ours");
	return fd;
}

static int read_all(int fd)
{
	struct state_file f;
	char *text = NULL;
	size_t len;
	int r = state_file_open_fd(&f, dup(fd), "x", &err);

	if (r < 0)
		return r;
	r = state_file_read(&f, STATE_MANIFEST, 100, &text, &len, &err);
	if (r == 0 && (len != 2 || strcmp(text, "{}")))
		r = -EBADMSG;
	free(text);
	if (r == 0)
		r = state_file_check(&f, STATE_ENGINE, &err);
	state_file_close(&f);
	return r;
}

/* Changes each byte in turn: whatever has a meaning or is covered by a checksum. Returns how many went unseen. */
static int count_unseen(int fd, off_t from, off_t to)
{
	int unseen = 0;

	for (off_t at = from; at < to; at++) {
		uint8_t byte, changed;

		if (pread(fd, &byte, 1, at) != 1)
			return -1;
		changed = byte ^ 0x10;
		if (pwrite(fd, &changed, 1, at) != 1)
			return -1;
		unseen += read_all(fd) == 0;
		if (pwrite(fd, &byte, 1, at) != 1)
			return -1;
	}
	return unseen;
}

/* A header and table that are sound but say this. */
static int open_forged(int fd, struct state_header h, struct state_section *s)
{
	h.table_crc = crc32c(0, s, h.n_sections > STATE_MAX_SECTIONS ? 0 : h.n_sections * sizeof *s);
	h.header_crc = 0;
	h.header_crc = crc32c(0, &h, sizeof h);
	if (pwrite(fd, &h, sizeof h, 0) != sizeof h ||
			pwrite(fd, s, STATE_MAX_SECTIONS * sizeof *s, sizeof h) != STATE_MAX_SECTIONS * sizeof *s)
		return 0;
	return read_all(fd);
}

static void test_forged(int fd)
{
	struct state_section good[STATE_MAX_SECTIONS] = { { 0 } }, s[STATE_MAX_SECTIONS];
	struct state_header h, bad;

	if (pread(fd, &h, sizeof h, 0) != sizeof h || pread(fd, good, 2 * sizeof *good, sizeof h) != 2 * sizeof *good)
		return;
	ok(open_forged(fd, h, good) == 0, "the header as it was");
	bad = h;
	bad.version = 2;
	ok(open_forged(fd, bad, good) == -EINVAL && strstr(err.message, "version 2"), "another version");
	bad = h;
	bad.n_sections = UINT32_MAX;
	ok(open_forged(fd, bad, good) == -EINVAL, "too many sections");
	bad = h;
	bad.file_bytes = UINT64_MAX;
	ok(open_forged(fd, bad, good) == -EINVAL, "a length that is not the file's");
	memcpy(s, good, sizeof s);
	s[1].bytes = UINT64_MAX - s[1].offset + 2;
	ok(open_forged(fd, h, s) == -EINVAL && strstr(err.message, "out of place"), "a section that wraps");
	memcpy(s, good, sizeof s);
	s[1].offset = s[0].offset;
	ok(open_forged(fd, h, s) == -EINVAL, "sections on top of each other");
	memcpy(s, good, sizeof s);
	s[1].kind = s[0].kind;
	ok(open_forged(fd, h, s) == -EINVAL && strstr(err.message, "twice"), "a kind twice");
	s[1].kind = STATE_KIND_COUNT;
	ok(open_forged(fd, h, s) == -EINVAL, "a kind that is not known");
	(void)open_forged(fd, h, good);
}

static void test_file(void)
{
	int fd = make();
	struct stat st;

	ok(read_all(fd) == 0, "what was written is read");
	ok(count_unseen(fd, 0, sizeof(struct state_header) + 2 * sizeof(struct state_section)) == 0,
			"each byte of header and table counts");
	ok(count_unseen(fd, STATE_ALIGN + 9990, STATE_ALIGN + 10000) == 0, "and each of a section");
	test_forged(fd);
	if (fstat(fd, &st) == 0 && ftruncate(fd, st.st_size - 1) == 0)
		ok(read_all(fd) == -EINVAL && strstr(err.message, "cut off"), "cut off");
	if (ftruncate(fd, st.st_size + 1) == 0)
		ok(read_all(fd) == -EINVAL && strstr(err.message, "added to"), "added to");
	if (ftruncate(fd, 10) == 0)
		ok(read_all(fd) == -EINVAL && strstr(err.message, "not a saved machine"), "hardly a file");
	(void)close(fd); /* a memfd */
}

int main(void)
{
	static uint8_t text[5000];
	struct state_file f;
	uint32_t whole;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 7);
	whole = crc32c(0, text, sizeof text);
	ok(crc32c(0, "123456789", 9) == 0xe3069283, "CRC-32C as the standard has it");
	ok(crc32c(0, "", 0) == 0 && crc32c(crc32c(0, text, 1237), text + 1237, sizeof text - 1237) == whole,
			"in pieces");
	ok(crc32c_by_tables(0, text, sizeof text) == whole &&
			crc32c_by_tables(0, text + 1, 12) == crc32c(0, text + 1, 12),
			"by tables as by the processor");
	test_file();
	ok(state_file_open(&f, "/dev/null", &err) == -EINVAL && strstr(err.message, "/dev/null: not a regular file"),
			"a device is no file");
	ok(state_file_open(&f, "/nowhere/state", &err) == -ENOENT, "no file");
	return tap_done();
}
