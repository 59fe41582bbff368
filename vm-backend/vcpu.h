/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_VCPU_H
#define BIVALVE_VM_VCPU_H

#include <signal.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "vm-backend/counters.h"
#include "vm-backend/threads.h"

struct machine;
struct kvm_run;

struct vcpu {
	struct machine *machine;
	unsigned index;
	int fd;
	struct kvm_run *run;
	struct thread thread;
	struct vcpu_counters *counters;
};

/* Creates all vCPUs of the machine; the first stands at the kernel's entry, the others wait to be started by it. */
int vcpus_init(struct machine *machine, struct error *err);
int vcpus_start(struct machine *machine, struct error *err);

/*
 * Every vCPU comes out of the guest, its last access done, and stands still until vcpus_resume. From the main thread.
 * -ETIMEDOUT: one does not; then they go on.
 */
int vcpus_pause(struct machine *machine, struct error *err);
void vcpus_resume(struct machine *machine);
/* The signal that it takes. */
#define VCPU_SIGNAL SIGUSR1

#endif
