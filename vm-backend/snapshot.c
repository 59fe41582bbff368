/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving the machine, inside the VMM.
 *
 * Theory of operation. The main thread serves the control socket. To save: every vCPU stops outside of the guest with
 * its last access done (vcpus_pause); then the lock of every device is taken, so that no thread is between a ring and
 * a disk; then all is read and written out. The locks are given back, but the vCPUs stand still until they are told to
 * go on, or the machine is ended: what was saved is what the disks were at that moment.
 *
 * Devices are read before KVM's state: they raise interrupts, and what they raise must be in what is saved of the
 * controllers. An interrupt in between is raised again by who goes on (virtio/state.c). They are restored after it.
 *
 * RAM: pages that are all zero are left out. Reading them does not give them memory of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "vm-backend/machine.h"
#include "vm-backend/snapshot.h"
#include "vm-backend/virtio/state.h"

enum { PAGE = 4096 };

static int put(int fd, enum snapshot_kind kind, uint32_t index, const void *head, size_t head_bytes, const void *data,
		size_t bytes, struct error *err)
{
	struct snapshot_block block = { kind, index, (uint32_t)(head_bytes + bytes), 0 };
	int r = fd_write_full(fd, &block, sizeof block);

	if (r == 0 && head_bytes)
		r = fd_write_full(fd, head, head_bytes);
	if (r == 0 && bytes)
		r = fd_write_full(fd, data, bytes);
	return r < 0 ? error_set(err, -r, "the launcher does not take the state: %s", strerror(-r)) : 0;
}

static int put_devices(struct machine *machine, int fd, struct error *err)
{
	const struct devices *devices = &machine->devices;
	struct virtio_state state;
	int r = 0;

	for (size_t i = 0; i < devices->n_windows && r == 0; i++) {
		r = virtio_state_save(devices->windows[i].device, &state, err);
		if (r == 0)
			r = put(fd, SNAP_DEVICE, (uint32_t)i, NULL, 0, &state, sizeof state, err);
	}
	return r;
}

static int put_items(struct machine *machine, int fd, struct error *err)
{
	uint8_t item[ARCH_ITEM_MAX];
	size_t bytes;
	int r = 0;

	for (unsigned i = 0; i < arch_state_items(false) && r == 0; i++) {
		r = arch_vm_save(machine, i, item, &bytes, err);
		if (r == 0)
			r = put(fd, SNAP_VM, i, NULL, 0, item, bytes, err);
	}
	for (unsigned v = 0; v < machine->config->vcpus && r == 0; v++) {
		r = arch_vcpu_save_begin(machine->vcpus[v].fd, err);
		for (unsigned i = 0; i < arch_state_items(true) && r == 0; i++) {
			r = arch_vcpu_save(machine, machine->vcpus[v].fd, i, item, &bytes, err);
			if (r == 0)
				r = put(fd, SNAP_VCPU, v << 16 | i, NULL, 0, item, bytes, err);
		}
	}
	return r;
}

static bool is_zero(const uint8_t *page)
{
	const uint64_t *words = (const uint64_t *)(const void *)page;

	for (size_t i = 0; i < PAGE / sizeof *words; i++)
		if (words[i])
			return false;
	return true;
}

/* Runs of pages with something in them. */
static int put_ram(const struct vm_memory *memory, int fd, struct error *err)
{
	const uint8_t *map = memory->map;
	int r = 0;

	for (uint64_t at = 0; at < memory->bytes && r == 0;) {
		uint64_t end = at;

		while (end < memory->bytes && end - at < SNAPSHOT_RAM_PIECE && !is_zero(map + end))
			end += PAGE;
		if (end > at)
			r = put(fd, SNAP_RAM, 0, &at, sizeof at, map + at, end - at, err);
		at = end > at ? end : at + PAGE;
	}
	return r;
}

static void lock_devices(struct machine *machine, bool on)
{
	for (size_t i = 0; i < machine->devices.n_windows; i++) {
		pthread_mutex_t *lock = &machine->devices.windows[i].device->lock;

		if (on)
			pthread_mutex_lock(lock);
		else
			pthread_mutex_unlock(lock);
	}
}

static int put_all(struct machine *machine, int fd, struct error *err)
{
	const struct snapshot_machine head = { SNAPSHOT_VERSION, machine->config->vcpus,
		(uint32_t)machine->devices.n_windows, 0, machine->memory.bytes };
	int r = put(fd, SNAP_MACHINE, 0, NULL, 0, &head, sizeof head, err);

	if (r == 0)
		r = put_devices(machine, fd, err);
	if (r == 0)
		r = put_items(machine, fd, err);
	if (r == 0)
		r = put_ram(&machine->memory, fd, err);
	return r == 0 ? put(fd, SNAP_END, 0, NULL, 0, NULL, 0, err) : r;
}

static void save(struct machine *machine, int fd)
{
	struct error err = { 0 };
	int r = machine->pausing ? 0 : vcpus_pause(machine, &err);

	if (r == 0) {
		lock_devices(machine, true);
		r = put_all(machine, fd, &err);
		lock_devices(machine, false);
	}
	if (r < 0)
		(void)put(fd, SNAP_FAILED, (uint32_t)-r, NULL, 0, err.message, strlen(err.message), NULL);
}

static void control_ready(struct io_source *source, uint32_t events)
{
	struct machine *machine = source->owner;
	char byte;

	while (recv(source->fd, &byte, 1, MSG_DONTWAIT) == 1) { /* edge-triggered: until there is nothing */
		if (byte == SNAPSHOT_SAVE)
			save(machine, source->fd);
		else if (byte == SNAPSHOT_RESUME && machine->pausing)
			vcpus_resume(machine);
	}
}

int snapshot_attach(struct machine *machine, int control_fd, struct error *err)
{
	machine->control = (struct io_source){ .fd = control_fd, .ready = control_ready, .owner = machine };
	return io_loop_add(&machine->loop, &machine->control, EPOLLIN, err);
}

static int restore_part(struct machine *machine, const struct snapshot_block *block, const uint8_t *data,
		struct error *err)
{
	struct virtio_state device;

	switch (block->kind) {
	case SNAP_VM:
		return arch_vm_restore(machine, block->index, data, err);
	case SNAP_VCPU:
		return arch_vcpu_restore(machine->vcpus[block->index >> 16].fd, block->index & 0xffff, data,
				block->bytes, err);
	case SNAP_DEVICE:
		memcpy(&device, data, sizeof device);
		return virtio_state_restore(machine->devices.windows[block->index].device, &device, err);
	default:
		return 0;
	}
}

int snapshot_restore(struct machine *machine, const struct snapshot *s, struct error *err)
{
	int r = 0;

	for (int devices = 0; devices <= 1; devices++) /* these last */
		for (uint32_t i = 0; i < s->n_blocks && r == 0; i++)
			if ((s->parts[i].block.kind == SNAP_DEVICE) == devices)
				r = restore_part(machine, &s->parts[i].block, s->data + s->parts[i].offset, err);
	if (r < 0)
		return error_prefix(err, "saved state");
	for (unsigned v = 0; v < machine->config->vcpus; v++)
		arch_vcpu_restored(machine->vcpus[v].fd);
	for (size_t i = 0; i < machine->devices.n_windows; i++)
		virtio_state_restored(machine->devices.windows[i].device);
	return 0;
}
