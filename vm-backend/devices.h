/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_DEVICES_H
#define BIVALVE_VM_DEVICES_H

#include "vm-backend/engine.h"
#include "vm-backend/io_loop.h"
#include "vm-backend/memory.h"
#include "vm-backend/threads.h"
#include "vm-backend/virtio/balloon.h"
#include "vm-backend/virtio/block.h"
#include "vm-backend/virtio/console.h"
#include "vm-backend/virtio/fs.h"
#include "vm-backend/virtio/net.h"
#include "vm-backend/virtio/rng.h"

struct machine;

enum { DEVICES_MAX = VM_MAX_DISKS + 5 };

/* The virtio devices of a machine: which there are, where, and which thread serves them. */
struct devices {
	struct virtio_block disks[VM_MAX_DISKS];
	struct disk_server {
		struct virtio_block *block;
		struct io_loop loop;
		struct thread thread;
		unsigned n_workers;     /* of a pool, beside thread */
		struct {
			struct virtio_block_worker worker;
			struct thread thread;
		} workers[VIRTIO_BLOCK_POOL - 1];
	} disk_servers[VM_MAX_DISKS];
	size_t n_disks;
	struct virtio_console console;
	struct virtio_rng rng;
	struct virtio_balloon balloon;
	struct virtio_fs fs;            /* with shares only, like its loop and thread */
	struct io_loop fs_loop;
	struct thread fs_thread;
	struct virtio_net net;          /* with a network alone, like its loop and thread */
	struct io_loop net_loop;
	struct thread net_thread;
	struct device_window {
		struct virtio_device *device;
		gpa_t base;
		unsigned gsi;
	} windows[DEVICES_MAX];
	size_t n_windows;
};

/* Makes the devices of machine->config, opening their files, and puts them on the bus. */
int devices_init(struct machine *machine, struct error *err);
/*
 * Starts the threads of the disks and of the shares; the rest is served by machine->loop. root_fd and proc_fd: as the
 * jail left them (jail.h), -1 without shares.
 */
int devices_start(struct machine *machine, int root_fd, int proc_fd, struct error *err);

#endif
