/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_MACHINE_H
#define BIVALVE_VM_MACHINE_H

#include <stdbool.h>

#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/arch/x86_64/legacy.h"
#include "vm-backend/bus.h"
#include "vm-backend/devices.h"
#include "vm-backend/engine.h"
#include "vm-backend/io_loop.h"
#include "vm-backend/memory.h"
#include "vm-backend/vcpu.h"

/* One virtual machine: all there is in the VMM's process. Made by engine_kvm.c, never freed: the process ends. */
struct machine {
	const struct vm_config *config;
	int kvm_fd, vm_fd;
	struct vm_memory memory;
	struct bus mmio, ports;
	struct legacy legacy;           /* what the architecture has besides virtio */
	struct devices devices;
	struct vm_counters *counters;   /* never NULL */
	struct arch_entry entry;        /* where the first vCPU starts */
	struct vcpu vcpus[VM_MAX_VCPUS];
	struct arch_msr_list *msrs;     /* what saving reads */
	uint32_t pausing, parked;       /* atomic: vCPUs are to stand still; how many do */
	struct io_source control;       /* saving is asked for here */
	struct io_loop loop;            /* the main thread's */
	struct io_source stop;          /* kicked by machine_stop */
	int stop_claimed;               /* atomic: who stops first decides how */
	struct error stop_error;        /* why, unless the guest wished it */
	bool stopping;                  /* the main thread has heard of it */
	uint64_t stop_deadline_ns;      /* for passing on what the guest has sent */
};

/*
 * Ends the machine: the main thread passes on what the guest has sent and exits. code 0: the guest wished it; else it
 * is an error, told to event_fd. The first call counts. From any thread; the caller goes on, and should sleep.
 */
void machine_stop(struct machine *machine, int code, const char *why) __attribute__((nonnull(1)));

#endif
