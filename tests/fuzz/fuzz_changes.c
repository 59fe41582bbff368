/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a guest tells of its changes: read, compared with an empty folder, and never more than that. Frames
 * that are nearly right are made from the first bytes, for few random inputs are an entry.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRY = 0x6368, END = 0x656e, HEAD = 32 };

/* Turns every "E" and "F" of the input into a head with the bytes behind it, and copies the rest. */
static void write_frames(int file, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t head[HEAD] = { 0 };
		uint16_t kind = data[i] == 'F' ? END : ENTRY;

		if ((data[i] != 'E' && data[i] != 'F') || size - i < 6) {
			(void)!write(file, data + i, 1); /* a memory file takes it */
			continue;
		}
		memcpy(head, &kind, 2);
		head[2] = data[i + 1] % 9;           /* type */
		head[3] = data[i + 2] & 1;           /* opaque */
		head[4] = data[i + 2] >> 7;          /* nth */
		head[8] = data[i + 3] % 24;          /* path */
		head[10] = head[2] == CHANGE_LINK ? data[i + 4] % 8 : 0;
		head[12] = data[i + 4];              /* mode */
		head[16] = data[i + 5];              /* size */
		(void)!write(file, head, sizeof head);
		i += 5;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char place[] = "/proc/self/fdinfo"; /* a folder that is always there, and never has such names */
	char *places[] = { place, place, NULL };
	_cleanup_close_ int file = memfd_create("changes", MFD_CLOEXEC), to = memfd_create("copy", MFD_CLOEXEC);
	struct changes c;

	if (file < 0 || to < 0)
		return 0;
	write_frames(file, data, size);
	for (int contents = 0; contents < 2; contents++) {
		(void)changes_read(file, 2, contents, &c, NULL); /* what was read so far counts too */
		for (size_t i = 0; contents && c.complete && i < c.n; i++)
			if (c.list[i].type == CHANGE_FILE && c.list[i].size < 1 << 20)
				(void)changes_copy(&c, &c.list[i], to, NULL); /* may fail, not crash */
		(void)changes_compare(&c, places, 1, NULL);
		changes_release(&c);
	}
	return 0;
}
