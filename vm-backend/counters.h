/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_COUNTERS_H
#define BIVALVE_VM_COUNTERS_H

#include <stdint.h>

/*
 * What our VMM counts, in a piece of memory that it shares with the monitor: to count is one addition, the VMM needs no
 * system call to tell, and the figures can be read while the machine stands still and after it was killed. Guests have
 * no way to it.
 *
 * Each counter has one writer at a time: a vCPU's is its thread, a queue's is who holds the device's lock. Readers may
 * see one counter older than another. A VMM that was broken into can write anything here (measure.c).
 */
enum { COUNTED_EXITS = 40, COUNTED_DEVICES = 16, COUNTED_QUEUES = 8, COUNTED_VCPUS = 64, COUNTED_NAME = 16 };

struct queue_counters { /* as in struct machine_queue */
	uint64_t notifications, requests, descriptors, read_bytes, written_bytes, interrupts, throttled, throttled_us;
};

struct vcpu_counters {
	uint64_t thread;                        /* its id on the host; 0: not yet */
	uint64_t exits[COUNTED_EXITS];          /* by KVM's number; the last is all from there on */
};

struct device_counters {
	char name[COUNTED_NAME];
	uint32_t n_queues, zero;
	struct queue_counters queues[COUNTED_QUEUES];
};

struct vm_counters {
	uint32_t n_vcpus, n_devices;
	uint64_t returned_bytes;                /* by the balloon */
	struct device_counters devices[COUNTED_DEVICES];
	struct vcpu_counters vcpus[COUNTED_VCPUS]; /* last: of those that there are not no page is touched */
};

static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

#endif
