/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_MACHINE_STATS_H
#define BIVALVE_MODEL_MACHINE_STATS_H

#include "runtime/base/record.h"

/*
 * What the host sees of a virtual machine, counted by the host and by the engine's process: the guest has no say in it.
 * Counts since the machine was started; 0 where nobody counts (machine_stats.not_counted).
 */
struct machine_exit {
	char *reason;           /* "mmio", "io", …: why the guest came out to the engine */
	uint64_t count;
};

struct machine_vcpu {
	uint64_t cpu_us;        /* of its thread, the guest's time included */
	struct machine_exit *exits;
	size_t n_exits;
};

struct machine_queue {
	char *device;           /* "vda", "console", … */
	uint64_t queue;
	uint64_t notifications; /* the device woke up for it; kicks that came together are one */
	uint64_t requests;      /* chains that were taken */
	uint64_t descriptors;   /* pieces of guest memory in them */
	uint64_t read_bytes, written_bytes; /* by the device */
	uint64_t interrupts;
	uint64_t throttled, throttled_us; /* requests that waited for a rate of plan.resources, and for how long */
};

struct machine_disk {           /* where an engine counts by disk, not by queue */
	char *device;
	uint64_t reads, writes, flushes;
	uint64_t read_bytes, written_bytes; /* by the guest */
};

struct machine_stats {
	struct machine_vcpu *vcpus;
	size_t n_vcpus;
	uint64_t dirty_bytes;   /* pages that the process has to itself: guest memory that was written, and its own */
	uint64_t shared_bytes;  /* pages of files that it has mapped: a template's memory, programs */
	uint64_t returned_bytes; /* given back to the host by the balloon, again and again */
	struct machine_queue *queues;
	size_t n_queues;
	struct machine_disk *disks;
	size_t n_disks;
	char **not_counted;     /* members of this that the engine does not know: "exits", "queues", … */
};

/* A machine that has ended: what its process used. */
struct machine_usage {
	uint64_t cpu_us, peak_rss_bytes;
	struct machine_stats machine;
};

extern const struct record_type machine_stats_type, machine_usage_type;

#endif
