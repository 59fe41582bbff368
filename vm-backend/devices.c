/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a machine. They are found by the guest in the order of their windows, so disks come first and become
 * /dev/vda, /dev/vdb, …
 *
 * A new device needs: a field in struct devices, a function here, a row in the table; in the jail (jail_filter.c) the
 * system calls it makes; a test in tests/unit and a target beside tests/fuzz/fuzz_virtio_rng.c.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/irq.h"
#include "vm-backend/jail.h"
#include "vm-backend/machine.h"
#include "vm-backend/shares.h"

#include <linux/virtio_mmio.h>

/* Gives a device its window, interrupt and notifications. Its queues already have their event descriptors. */
static int devices_plug(struct machine *machine, struct virtio_device *device, const char *name, struct error *err)
{
	struct devices *devices = &machine->devices;
	size_t n = devices->n_windows;
	struct device_window *window = &devices->windows[n];
	struct device_counters *counters = &machine->counters->devices[n];
	int r;

	*window = (struct device_window){ device, ARCH_DEVICE_BASE + n * VIRTIO_WINDOW_BYTES,
		arch_device_gsi((unsigned)n) };
	r = irq_line_open(&device->irq, machine->vm_fd, window->gsi, err);
	if (r < 0)
		return r;
	for (unsigned q = 0; q < device->n_queues; q++) {
		if (!(device->fast_queues >> q & 1))
			continue;
		r = irq_notify_open(machine->vm_fd, device->kicks[q].fd, window->base + VIRTIO_MMIO_QUEUE_NOTIFY, q,
				err);
		if (r < 0)
			return r;
	}
	(void)snprintf(counters->name, sizeof counters->name, "%s", name); /* fits */
	counters->n_queues = device->n_queues;
	for (unsigned q = 0; q < device->n_queues; q++)
		device->queues[q].counters = &counters->queues[q];
	machine->counters->n_devices = (uint32_t)n + 1;
	bus_add(&machine->mmio, &(struct bus_range){ window->base, VIRTIO_WINDOW_BYTES, virtio_mmio_access, device });
	devices->n_windows++;
	return 0;
}

/*
 * Only a disk that is written has a pool: what is read of an image comes from the host's cache, and threads that nobody
 * needs would make each start longer.
 */
static unsigned count_workers(const struct vm_disk *disk)
{
	for (size_t i = 0; i < VM_RATES; i++)
		if (disk->rates[i])
			return 0;
	return disk->read_only ? 0 : VIRTIO_BLOCK_POOL - 1;
}

static int make_disk_loops(const struct vm_disk *disk, struct virtio_block *block, struct disk_server *server,
		struct error *err)
{
	int r = io_loop_init(&server->loop, err);

	server->block = block;
	server->n_workers = count_workers(disk);
	if (r >= 0)
		r = virtio_block_attach(block, &server->loop, server->n_workers, err);
	for (unsigned i = 0; i < server->n_workers && r >= 0; i++)
		r = virtio_block_attach_worker(block, &server->workers[i].worker, err);
	return r;
}

static int make_disks(struct machine *machine, struct error *err)
{
	struct devices *devices = &machine->devices;

	for (size_t i = 0; i < machine->config->n_disks; i++) {
		const struct vm_disk *disk = &machine->config->disks[i];
		struct virtio_block *block = &devices->disks[i];
		const char name[] = { 'v', 'd', (char)('a' + i), '\0' };
		char copy[32];
		int r;

		(void)snprintf(copy, sizeof copy, "/proc/self/fd/%d", disk->copy_fd); /* fits */
		r = virtio_block_init(block, &machine->memory, disk->copied ? copy : disk->path, disk->read_only, name,
				err);
		if (r < 0)
			return error_prefix(err, "disk %zu", i);
		if (disk->copied)
			(void)close(disk->copy_fd); /* the block device has one of its own */
		devices->n_disks++;
		virtio_block_limit(block, disk->rates);
		r = make_disk_loops(disk, block, &devices->disk_servers[i], err);
		if (r >= 0)
			r = devices_plug(machine, &block->device, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_console(struct machine *machine, struct error *err)
{
	struct virtio_console *console = &machine->devices.console;
	int r;

	virtio_console_init(console, &machine->memory, machine->config->agent_fd, machine->config->log_fd);
	r = virtio_console_attach(console, &machine->loop, err);
	return r < 0 ? r : devices_plug(machine, &console->device, "console", err);
}

static int make_rng(struct machine *machine, struct error *err)
{
	struct virtio_rng *rng = &machine->devices.rng;
	int r;

	virtio_rng_init(rng, &machine->memory);
	r = virtio_device_attach(&rng->device, &machine->loop, err);
	return r < 0 ? r : devices_plug(machine, &rng->device, "rng", err);
}

static int make_fs(struct machine *machine, struct error *err)
{
	struct devices *devices = &machine->devices;
	int r;

	if (!machine->config->n_shares)
		return 0;
	virtio_fs_init(&devices->fs, &machine->memory, SHARES_TAG);
	r = io_loop_init(&devices->fs_loop, err);
	if (r >= 0)
		r = virtio_device_attach(&devices->fs.device, &devices->fs_loop, err);
	return r < 0 ? r : devices_plug(machine, &devices->fs.device, "shares", err);
}

static int make_balloon(struct machine *machine, struct error *err)
{
	struct virtio_balloon *balloon = &machine->devices.balloon;
	int r;

	virtio_balloon_init(balloon, &machine->memory);
	balloon->returned_bytes = &machine->counters->returned_bytes;
	r = virtio_device_attach(&balloon->device, &machine->loop, err);
	return r < 0 ? r : devices_plug(machine, &balloon->device, "balloon", err);
}

static int make_net(struct machine *machine, struct error *err)
{
	struct devices *devices = &machine->devices;
	int r;

	if (machine->config->network_fd < 0)
		return 0;
	virtio_net_init(&devices->net, &machine->memory, machine->config->network_fd, machine->config->mac);
	r = io_loop_init(&devices->net_loop, err);
	if (r >= 0)
		r = virtio_net_attach(&devices->net, &devices->net_loop, err);
	return r < 0 ? r : devices_plug(machine, &devices->net.device, "network", err);
}

int devices_init(struct machine *machine, struct error *err)
{
	static int (*const table[])(struct machine *machine, struct error *err) = {
		make_disks,
		make_console,
		make_rng,
		make_fs,
		make_balloon,
		make_net,
	};

	_Static_assert(DEVICES_MAX <= (int)ARCH_MAX_DEVICES, "an interrupt for each device");
	_Static_assert(DEVICES_MAX <= (int)COUNTED_DEVICES && (int)VIRTIO_MAX_QUEUES <= (int)COUNTED_QUEUES &&
			(int)VM_MAX_VCPUS <= (int)COUNTED_VCPUS, "a counter for each");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int r = table[i](machine, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void serve_loop(void *arg)
{
	for (;;)
		io_loop_turn(arg, -1);
}

/* Of one disk, which may have to wait for its rate. */
static void serve_disk(void *arg)
{
	struct disk_server *disk = arg;

	for (;;) {
		io_loop_turn(&disk->loop, virtio_block_wait_ms(disk->block));
		virtio_block_resume(disk->block);
	}
}

static int start_fs(struct devices *devices, int root_fd, int proc_fd, struct error *err)
{
	int r;

	(void)mallopt(M_ARENA_MAX, 1); /* the one thread that uses the heap later needs none of its own */
	r = fs_server_new(root_fd, proc_fd, &devices->fs.server, err);
	return r < 0 ? r : thread_start(&devices->fs_thread, JAIL_SHARES, "shares", serve_loop,
					      &devices->fs_loop, err);
}

int devices_start(struct machine *machine, int root_fd, int proc_fd, struct error *err)
{
	for (size_t i = 0; i < machine->devices.n_disks; i++) {
		struct disk_server *disk = &machine->devices.disk_servers[i];
		const char name[] = { 'v', 'd', (char)('a' + i), '\0' };
		int r;

		r = thread_start(&disk->thread, JAIL_DISK, name, serve_disk, disk, err);
		for (unsigned k = 0; k < disk->n_workers && r >= 0; k++)
			r = thread_start(&disk->workers[k].thread, JAIL_DISK, name, serve_loop,
					&disk->workers[k].worker.loop, err);
		if (r < 0)
			return r;
	}
	if (machine->config->network_fd >= 0) {
		int r = thread_start(&machine->devices.net_thread, JAIL_NETWORK, "network", serve_loop,
				&machine->devices.net_loop, err);

		if (r < 0)
			return r;
	}
	return machine->config->n_shares ? start_fs(&machine->devices, root_fd, proc_fd, err) : 0;
}
