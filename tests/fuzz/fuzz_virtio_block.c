/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile driver of a disk, read-only or not: nothing behind the disk's end is read or written. */
#include <stdio.h>
#include <sys/stat.h>

#include "tests/fuzz/rings.h"
#include "vm-backend/virtio/block.h"

enum { DISK_BYTES = 64 << 10 };

static struct virtio_block block;
static char path[64];

static void make_disk(void)
{
	int fd;

	(void)snprintf(path, sizeof path, "/dev/shm/bivalve-fuzz-disk-%d", (int)getpid()); /* fits */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0)
		abort();
	close(fd);
}

static void remove_disk(void)
{
	(void)unlink(path); /* it may be gone */
}

static struct virtio_device *start(uint8_t pick)
{
	if (!*path) {
		make_disk();
		(void)atexit(remove_disk);
	}
	if (virtio_block_init(&block, &memory, path, pick & PICK_OTHER, "vda", NULL) < 0)
		abort();
	return &block.device;
}

static void stop(struct virtio_device *device)
{
	struct stat st;

	virtio_block_release(&block);
	if (stat(path, &st) < 0 || st.st_size != DISK_BYTES)
		abort();
}

static void host_sends(uint8_t a, uint8_t b)
{
}
