/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs: a thread each, which does nothing but KVM_RUN and what the guest comes out for. Interrupts, timers, HLT and
 * the start of the other processors (INIT, SIPI) stay inside KVM; queue notifications leave by ioeventfd. What is
 * left is register accesses, a few hundred during a boot.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "runtime/base/clock.h"
#include "runtime/model/backend.h"
#include "vm-backend/jail.h"
#include "vm-backend/machine.h"
#include "vm-backend/vcpu.h"

#define PAUSE_NS UINT64_C(5000000000)

static int vcpu_init(struct vcpu *vcpu, size_t run_bytes, struct error *err)
{
	vcpu->fd = ioctl(vcpu->machine->vm_fd, KVM_CREATE_VCPU, vcpu->index);
	if (vcpu->fd < 0)
		return error_sys(err, "kvm: vCPU %u", vcpu->index);
	vcpu->run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		return error_sys(err, "kvm: vCPU %u: cannot map its state", vcpu->index);
	return arch_vcpu_init(vcpu->machine, vcpu->index, vcpu->fd, err);
}

int vcpus_init(struct machine *machine, struct error *err)
{
	int run_bytes = ioctl(machine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (run_bytes < (int)sizeof(struct kvm_run))
		return error_sys(err, "kvm: KVM_GET_VCPU_MMAP_SIZE");
	for (unsigned i = 0; i < machine->config->vcpus; i++) {
		struct vcpu *vcpu = &machine->vcpus[i];
		int r;

		*vcpu = (struct vcpu){ .machine = machine, .index = i, .fd = -1,
			.counters = &machine->counters->vcpus[i] };
		r = vcpu_init(vcpu, (size_t)run_bytes, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The end: KVM could not go on with the guest. Returns false: this vCPU does not go on. */
static bool vcpu_fail(struct vcpu *vcpu, int code)
{
	const struct kvm_run *run = vcpu->run;
	char why[128];
	uint64_t detail = 0;

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		detail = run->internal.suberror;
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		detail = run->fail_entry.hardware_entry_failure_reason;
	(void)snprintf(why, sizeof why, "kvm: vCPU %u stopped: errno %d, exit reason %u, detail %#llx", vcpu->index,
			code, run->exit_reason, (unsigned long long)detail); /* fits */
	machine_stop(vcpu->machine, code ? code : EIO, why);
	return false;
}

/* Serves one exit. False: this vCPU does not go on. */
static bool vcpu_exit(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		bus_access(&machine->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		machine_stop(machine, 0, "system event");
		break;
	default:
		if (!arch_vcpu_exit(machine, run))
			return vcpu_fail(vcpu, 0);
	}
	return !__atomic_load_n(&machine->stop_claimed, __ATOMIC_RELAXED);
}

/* Outside of KVM_RUN, and what it came out for last is done: immediate_exit makes KVM complete that and return. */
static void vcpu_park(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;

	if (!__atomic_load_n(&machine->pausing, __ATOMIC_ACQUIRE))
		return;
	__atomic_fetch_add(&machine->parked, 1, __ATOMIC_RELEASE);
	thread_wake(&machine->parked);
	thread_wait_while(&machine->pausing, 1, 0);
	vcpu->run->immediate_exit = 0;
	__atomic_fetch_sub(&machine->parked, 1, __ATOMIC_RELEASE);
	thread_wake(&machine->parked);
}

int vcpus_pause(struct machine *machine, struct error *err)
{
	unsigned n = machine->config->vcpus;
	uint64_t end = clock_now_ns() + PAUSE_NS;
	uint32_t now;

	__atomic_store_n(&machine->pausing, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < n; i++) {
		machine->vcpus[i].run->immediate_exit = 1;
		thread_signal(&machine->vcpus[i].thread, VCPU_SIGNAL);
	}
	while ((now = __atomic_load_n(&machine->parked, __ATOMIC_ACQUIRE)) < n && clock_now_ns() < end)
		thread_wait_while(&machine->parked, now, PAUSE_NS / 10);
	if (now == n)
		return 0;
	vcpus_resume(machine);
	return error_set(err, ETIMEDOUT, "a vCPU does not stand still");
}

void vcpus_resume(struct machine *machine)
{
	uint32_t now;

	for (unsigned i = 0; i < machine->config->vcpus; i++)
		machine->vcpus[i].run->immediate_exit = 0;
	__atomic_store_n(&machine->pausing, 0, __ATOMIC_RELEASE);
	thread_wake(&machine->pausing);
	while ((now = __atomic_load_n(&machine->parked, __ATOMIC_ACQUIRE)) > 0)
		thread_wait_while(&machine->parked, now, 0);
}

static void count_exit(struct vcpu *vcpu, uint32_t reason)
{
	counter_add(&vcpu->counters->exits[reason < COUNTED_EXITS ? reason : COUNTED_EXITS - 1], 1);
}

static void vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct machine *machine = vcpu->machine;

	vcpu->counters->thread = (uint64_t)vcpu->thread.id;
	if (vcpu->index == 0 && !machine->config->restore)
		(void)backend_event_milestone(machine->config->event_fd, "kernel-entered"); /* only a report */
	for (bool go_on = true; go_on;) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			count_exit(vcpu, vcpu->run->exit_reason);
			go_on = vcpu_exit(vcpu);
		} else if (errno == EINTR) {
			count_exit(vcpu, KVM_EXIT_INTR);
			vcpu_park(vcpu);
		} else if (errno != EAGAIN) { /* EAGAIN: it was just started by another */
			go_on = vcpu_fail(vcpu, errno);
		}
	}
}

int vcpus_start(struct machine *machine, struct error *err)
{
	for (unsigned i = 0; i < machine->config->vcpus; i++) {
		struct vcpu *vcpu = &machine->vcpus[i];
		char name[16];
		int r;

		(void)snprintf(name, sizeof name, "vcpu %u", i); /* fits */
		r = thread_start(&vcpu->thread, JAIL_VCPU, name, vcpu_thread, vcpu, err);
		if (r < 0)
			return r;
	}
	return 0;
}
