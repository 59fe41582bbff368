/* SPDX-License-Identifier: Apache-2.0 */
/* The writable disk of a saved instance: what was written is read, holes are zero, and what is odd is refused. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "tests/unit/tap.h"
#include "vm-backend/saved_disk.h"

enum { DISK = 1 << 20, AT = 64, PAGE = 4096 };

static struct error err;

static int new_file(off_t bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, bytes) < 0)
		abort();
	return fd;
}

static void put(int fd, const void *data, size_t len, off_t at)
{
	if (pwrite(fd, data, len, at) != (ssize_t)len)
		abort();
}

static void test_round(void)
{
	_cleanup_free_ uint8_t *data = xcalloc(1, 2 * PAGE), *seen = xcalloc(1, DISK);
	int disk = new_file(DISK), copy = new_file(DISK), file = new_file(0);
	off_t end;

	memset(data, 'd', 2 * PAGE);
	put(disk, data, PAGE, PAGE);
	put(disk, data, 2 * PAGE, DISK - 2 * PAGE);
	put(copy, data, PAGE, 8 * PAGE); /* of the empty file system that it begins as */
	(void)lseek(file, AT, SEEK_SET);
	ok(saved_disk_write(disk, file, &err) == 0, "a disk is written");
	end = lseek(file, 0, SEEK_CUR);
	ok(end < 8 * PAGE, "without its holes");
	ok(saved_disk_read(file, AT, (uint64_t)end - AT, copy, &err) == 0, "and read");
	ok(pread(copy, seen, DISK, 0) == DISK && !memcmp(seen + PAGE, data, PAGE) &&
			!memcmp(seen + DISK - 2 * PAGE, data, 2 * PAGE), "what there was is there");
	memset(seen + PAGE, 0, PAGE);
	memset(seen + DISK - 2 * PAGE, 0, 2 * PAGE);
	ok(seen[0] == 0 && !memcmp(seen, seen + 1, DISK - 1), "and nothing else");
	ok(saved_disk_read(file, AT, (uint64_t)end - AT - 1, copy, &err) == -EINVAL && strstr(err.message, "cut off"),
			"an end that is missing is refused");
	ok(ftruncate(file, AT + 100) == 0 && saved_disk_read(file, AT, (uint64_t)end - AT, copy, &err) < 0,
			"a file that is shorter than its section is refused");
	ok(ftruncate(copy, DISK / 2) == 0 && saved_disk_read(file, AT, (uint64_t)end - AT, copy, &err) == -EINVAL &&
			strstr(err.message, "another size"), "another size is refused");
	(void)close(disk);
	(void)close(copy);
	(void)close(file);
}

/* A section of these words behind the disk's size, with a page of data behind each pair that has some. */
static int read_words(const uint64_t *words, size_t n)
{
	int file = new_file(0), disk = new_file(DISK), r;
	uint64_t size = DISK, at = sizeof size;

	put(file, &size, sizeof size, 0);
	for (size_t i = 0; i < n; i += 2) {
		put(file, words + i, 2 * sizeof *words, (off_t)at);
		at += 2 * sizeof *words + (words[i + 1] ? PAGE : 0);
	}
	if (ftruncate(file, (off_t)at) < 0)
		abort();
	r = saved_disk_read(file, 0, at, disk, &err);
	(void)close(file);
	(void)close(disk);
	return r;
}

int main(void)
{
	static const struct {
		const char *name;
		uint64_t words[6];
		size_t n;
		int want;
	} cases[] = {
		{ "two pages and the end", { 0, PAGE, PAGE, PAGE, 0, 0 }, 6, 0 },
		{ "an empty disk", { 0, 0 }, 2, 0 },
		{ "a page behind the disk", { DISK, PAGE, 0, 0 }, 4, -EINVAL },
		{ "one that leaves it", { DISK - 1, PAGE, 0, 0 }, 4, -EINVAL },
		{ "a sum that wraps", { PAGE, UINT64_MAX, 0, 0 }, 4, -EINVAL },
		{ "a place that wraps", { UINT64_MAX, PAGE, 0, 0 }, 4, -EINVAL },
		{ "more than there is", { 0, 16 * PAGE, 0, 0 }, 4, -EINVAL },
		{ "a page twice", { 0, PAGE, 0, PAGE, 0, 0 }, 6, -EINVAL },
		{ "no end", { 0, PAGE }, 2, -EINVAL },
		{ "something behind the end", { 0, 0, 0, PAGE }, 4, -EINVAL },
	};

	test_round();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(read_words(cases[i].words, cases[i].n) == cases[i].want, "%s", cases[i].name);
	return tap_done();
}
