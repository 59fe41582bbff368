/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_ENGINE_H
#define BIVALVE_VM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/error.h"
#include "runtime/model/machine_stats.h"
#include "vm-backend/counters.h"

/*
 * An engine runs a virtual machine as one child process. The machine has: RAM, vCPUs, a kernel with initramfs and
 * command line, block devices in order (/dev/vda, …), an entropy source, and a multiport virtio console with one port
 * named "org.bivalve.agent", whose other side is the stream socket agent_fd; with shares, a virtio-fs device with the
 * tag
 * "bivalve". The kernel's log goes to log_fd.
 */
enum { VM_MAX_DISKS = 8, VM_MAX_VCPUS = 64 };

/* What a disk may do a second; 0: as much as it can. */
enum vm_rate { VM_READ_BYTES, VM_WRITE_BYTES, VM_READ_OPS, VM_WRITE_OPS, VM_RATES };

struct vm_disk {
	const char *path;       /* opened before the jail closes */
	bool read_only;
	bool copied;            /* path is an empty scratch disk; the machine has a copy of its own, copy_fd */
	int copy_fd;            /* that copy, borrowed, opened by vm_machine_copy_disks; -1: not yet, or none */
	uint64_t rates[VM_RATES];
};

/* A folder or regular file of the host for the guest to see; shares.h says how. */
struct vm_share {
	const char *path;
	bool read_only;
	bool recursive;         /* with what is mounted below */
	const char *place;      /* where the workload sees it; NULL: nothing of it is masked */
	char *const *masked;    /* the plan's masked paths: those below place are covered already here */
};

/* Where a machine goes on from instead of booting: what vm_engine.save left, of a machine of the same description. */
struct vm_restore {
	int state_fd;           /* borrowed; stands where the engine's state begins */
	uint64_t state_bytes;
	/* RAM, to be mapped privately: what the guest writes stays in memory; NULL: in the state */
	const char *ram_path;
	/* Of a saved instance: where in state_fd the disk for its writes lies (saved_disk.h); bytes 0: it has none. */
	uint64_t disk_at, disk_bytes;
};

struct vm_config {
	const char *name;       /* for messages and process titles */
	const char *kernel_path, *initramfs_path;
	const char *vmlinux_path; /* the same kernel unpacked, to be preferred where it boots faster; NULL: none */
	const char *command_line; /* beside what the engine itself adds */
	uint64_t memory_bytes;  /* a multiple of 2 MiB */
	unsigned vcpus;
	struct vm_disk disks[VM_MAX_DISKS];
	size_t n_disks;
	const struct vm_share *shares;
	size_t n_shares;        /* 0: no virtio-fs device */
	int agent_fd;           /* SOCK_STREAM; the engine's process takes it, the caller still closes its copy */
	int network_fd;         /* a card on this socket of passt's (usernet.h), as agent_fd; -1: no card */
	bool has_network;       /* a card; network_fd is then its cable when the machine is started */
	uint8_t mac[6];         /* of the card */
	int log_fd;             /* the kernel's console output; -1: dropped */
	int event_fd;           /* backend_event milestones ("kernel-entered") and errors go here; -1: none */
	/* [2]: a stream socket pair to save it by, ours and the process's; NULL: it cannot be saved */
	const int *control;
	/* RAM is left here by save, a file of memory_bytes bytes; NULL: RAM is part of the state */
	const char *ram_path;
	const struct vm_restore *restore; /* NULL: it boots */
	/* shared memory, zeroed, for the engine that counts (counters.h); NULL: nobody wants to know */
	struct vm_counters *counters;
	const char *work_dir;   /* an empty folder for sockets and such, if the engine needs one */
};

enum { VM_ENGINE_SLOW = 2 };

struct vm_engine {
	const char *name;
	/*
	 * Can this host run an ordinary kernel with it? Returns 1 yes, 0 no, VM_ENGINE_SLOW: yes, for whoever asks for
	 * it by name, but another is better; reason gets one clause each time ("/dev/kvm ran the probe in 1.2 ms",
	 * "no /dev/kvm"). Takes a few ms at most, the first time; makes nothing.
	 */
	int (*probe)(char *reason, size_t size);
	/* Starts the machine. The process dies with its parent. Returns 0, the pid and its pidfd; or -errno. */
	int (*spawn)(const struct vm_config *config, pid_t *ret_pid, int *ret_pidfd, struct error *err);
	/*
	 * Writes the machine's state to state_fd, from where that stands, by config->control; takes seconds at most.
	 * The machine stands still then, until resume. On failure it may stand still or go on.
	 */
	int (*save)(const struct vm_config *config, int state_fd, struct error *err);
	int (*resume)(const struct vm_config *config, struct error *err);
	/*
	 * What a saved state depends on beside the description: the engine's program and version, and the processor it
	 * shows to the guest. Owned by the caller; NULL, and err, when there is no such engine here.
	 */
	char *(*identity)(struct error *err);
	/*
	 * What there is to know of the machine (measure.h), beside what the host knows of any process; names in
	 * not_counted what it cannot tell. stopped: the process is (SIGSTOP), and answers nothing. NULL: nothing.
	 */
	void (*measure)(const struct vm_config *config, int proc_fd, bool stopped, struct machine_stats *ret);
	/* What the process needs beside the guest's RAM, for the memory limit around it; 0: a moderate default. */
	uint64_t overhead_bytes;
	/* The engine cannot see when the kernel is entered: that milestone comes from the guest's own clock. */
	bool entry_unseen;
};

extern const struct vm_engine engine_kvm, engine_qemu;

/* All engines, the preferred first; ends with NULL. */
extern const struct vm_engine *const vm_engines[];

/* The engine that wanted (enum plan_engine) names, whether it can run here or not; NULL for auto. */
const struct vm_engine *vm_engine_named(int wanted);

/*
 * The engine for wanted (enum plan_engine); auto is the first that this host can run. reason says why that one.
 * NULL, and err, when there is none.
 */
const struct vm_engine *vm_engine_choose(int wanted, char *reason, size_t size, struct error *err);

#endif
