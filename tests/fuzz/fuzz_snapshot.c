/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved machines from anybody: the file around them, the stream in it, and the devices that go on from it. An input
 * says how a sound one is changed: the first byte picks which of the three, then each four bytes overwrite one or
 * eight bytes at a place. The checksums are made right again, since they keep out nobody.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/crc32c.h"
#include "runtime/base/fd.h"
#include "tests/unit/vmm_guest.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/snapshot.h"
#include "vm-backend/state_file.h"
#include "vm-backend/virtio/balloon.h"
#include "vm-backend/virtio/block.h"
#include "vm-backend/virtio/console.h"
#include "vm-backend/virtio/rng.h"
#include "vm-backend/virtio/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 256 * 1024, WINDOWS = 2 };

static struct vm_memory memory;
static struct virtio_rng rng;
static struct virtio_console console;
static struct virtio_balloon balloon;
static struct virtio_block disk;
static char disk_path[32];
static const struct snapshot_machine machine = { SNAPSHOT_VERSION, 1, WINDOWS, 0, GUEST_BYTES };

static uint64_t interesting(uint8_t pick)
{
	static const uint64_t values[] = { 0, 1, 2, 7, 15, 64, 256, 4095, 4096, GUEST_BYTES - 4096, GUEST_BYTES,
		RING_GPA, DATA_GPA, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 4095 };

	return values[pick % (sizeof values / sizeof *values)];
}

static void change(uint8_t *bytes, size_t len, const uint8_t *data, size_t size)
{
	for (; size >= 4; data += 4, size -= 4) {
		size_t at = (size_t)(data[0] << 8 | data[1]) % len;
		uint64_t value = interesting(data[2]);

		if (data[3] & 1)
			bytes[at] ^= data[2];
		else
			memcpy(bytes + at / 4 * 4, &value, len - at / 4 * 4 < 8 ? 4 : 8);
	}
}

static size_t put(uint8_t *at, uint32_t kind, uint32_t index, uint32_t bytes)
{
	struct snapshot_block block = { kind, index, bytes, 0 };

	memcpy(at, &block, sizeof block);
	memset(at + sizeof block, 0, bytes);
	return sizeof block + bytes;
}

/* The least size that an item may have. */
static uint32_t item_bytes(bool vcpu, unsigned item)
{
	uint32_t bytes = 1;

	while (!arch_state_size_ok(vcpu, item, bytes))
		bytes++;
	return bytes;
}

static size_t make_stream(uint8_t *at)
{
	uint8_t *begin = at;
	uint64_t place = 4096;

	at += put(at, SNAP_MACHINE, 0, sizeof machine);
	memcpy(at - sizeof machine, &machine, sizeof machine);
	for (unsigned i = 0; i < WINDOWS; i++)
		at += put(at, SNAP_DEVICE, i, sizeof(struct virtio_state));
	for (unsigned i = 0; i < arch_state_items(false); i++)
		at += put(at, SNAP_VM, i, item_bytes(false, i));
	for (unsigned i = 0; i < arch_state_items(true); i++)
		at += put(at, SNAP_VCPU, i, item_bytes(true, i));
	at += put(at, SNAP_RAM, 0, sizeof place + 4096);
	memcpy(at - 4096 - sizeof place, &place, sizeof place);
	at += put(at, SNAP_END, 0, 0);
	return (size_t)(at - begin);
}

static int to_file(const void *bytes, size_t len)
{
	int fd = memfd_create("saved", MFD_CLOEXEC);

	if (fd < 0 || fd_write_full(fd, bytes, len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

static void fuzz_stream(const uint8_t *data, size_t size)
{
	static uint8_t stream[STREAM_MAX];
	size_t len = make_stream(stream);
	struct snapshot s;
	struct error err;
	int fd;

	if (size == 0) { /* the sound one must be taken */
		fd = to_file(stream, len);
		if (snapshot_read(fd, len, &machine, &memory, &s, &err) < 0)
			abort();
		snapshot_release(&s);
		(void)close(fd); /* a memfd */
	}
	change(stream, len, data, size);
	fd = to_file(stream, len);
	if (snapshot_read(fd, size > 1 ? len - data[1] % 64 : len, &machine, &memory, &s, &err) == 0)
		snapshot_release(&s);
	(void)close(fd); /* a memfd */
}

static void fuzz_file(const uint8_t *data, size_t size)
{
	static uint8_t file[3 * STATE_ALIGN + 10];
	struct state_header *h = (struct state_header *)(void *)file;
	struct state_section *s = (struct state_section *)(void *)(file + sizeof *h);
	struct state_file f;
	struct error err;
	char *text;
	size_t len;

	memset(file, 0, sizeof file);
	*h = (struct state_header){ .magic = "BIVSTAT", .version = STATE_FILE_VERSION, .n_sections = 2,
		.file_bytes = sizeof file };
	h->magic[7] = 'E';
	s[0] = (struct state_section){ STATE_ENGINE, 0, STATE_ALIGN, 100, 0 };
	s[1] = (struct state_section){ STATE_MANIFEST, 0, 2 * STATE_ALIGN, STATE_ALIGN + 10, 0 };
	for (int i = 0; i < 2; i++)
		s[i].crc = crc32c(0, file + s[i].offset, s[i].bytes);
	change(file, sizeof *h + 3 * sizeof *s, data, size);
	if (h->n_sections <= STATE_MAX_SECTIONS)
		h->table_crc = crc32c(0, s, h->n_sections * sizeof *s);
	h->header_crc = 0;
	h->header_crc = crc32c(0, h, sizeof *h);
	if (state_file_open_fd(&f, to_file(file, sizeof file), "x", &err) < 0) {
		if (size == 0)
			abort();
		return;
	}
	for (int kind = 1; kind < STATE_KIND_COUNT; kind++) {
		(void)state_file_check(&f, kind, &err); /* refused or taken: it has to survive both */
		if (state_file_read(&f, kind, 2 * STATE_ALIGN, &text, &len, &err) == 0)
			free(text);
	}
	state_file_close(&f);
}

static struct virtio_device *make_console(void)
{
	virtio_console_init(&console, &memory, -1, -1);
	return &console.device;
}

static struct virtio_device *make_rng(void)
{
	virtio_rng_init(&rng, &memory);
	return &rng.device;
}

static struct virtio_device *make_balloon(void)
{
	virtio_balloon_init(&balloon, &memory);
	return &balloon.device;
}

/* Its disk is in memory. */
static struct virtio_device *make_block(void)
{
	disk = (struct virtio_block){ 0 };
	if (virtio_block_init(&disk, &memory, disk_path, false, "vda", NULL) < 0)
		abort();
	return &disk.device;
}

/* Every device that can be saved. */
static struct virtio_device *(*const makers[])(void) = { make_console, make_rng, make_balloon, make_block };
enum { N_MAKERS = sizeof makers / sizeof *makers };

/* A device that goes on from the state, then is served as if the guest had kicked every queue. */
static void fuzz_device(const uint8_t *data, size_t size, struct virtio_device *device)
{
	struct virtio_state state;
	struct error err;

	memset(vm_memory_at(&memory, RING_GPA, RING_STRIDE), size ? data[size - 1] : 0, RING_STRIDE);
	if (virtio_state_save(device, &state, &err) < 0)
		abort();
	state.driver_features = virtio_device_offers(device);
	state.status = 15;
	for (unsigned i = 0; i < device->n_queues; i++)
		state.queues[i] = (struct virtio_queue_state){ RING_GPA, RING_GPA + 0x1000, RING_GPA + 0x2000, 8, 0, 0,
			0, 1, 0 };
	change((uint8_t *)&state, sizeof state, data, size);
	if (virtio_state_restore(device, &state, &err) == 0) {
		virtio_state_restored(device);
		for (unsigned i = 0; i < device->n_queues; i++)
			if (virtio_queue_live(device, i))
				device->ops->serve(device, i);
	}
	if (device == &disk.device)
		virtio_block_release(&disk);
	pthread_mutex_destroy(&device->lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t which = size ? data[0] : 0;

	if (!memory.map) {
		int fd = memfd_create("disk", MFD_CLOEXEC);

		if (vm_memory_map(&memory, GUEST_BYTES, NULL) < 0 || fd < 0 || ftruncate(fd, 1 << 16) < 0)
			abort();
		(void)snprintf(disk_path, sizeof disk_path, "/proc/self/fd/%d", fd); /* fits */
	}
	data += size > 0;
	size -= size > 0;
	switch (which % (2 + N_MAKERS)) {
	case 0:
		fuzz_stream(data, size);
		break;
	case 1:
		fuzz_file(data, size);
		break;
	default:
		fuzz_device(data, size, makers[which % (2 + N_MAKERS) - 2]());
	}
	return 0;
}
