/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of machine and processors, as KVM keeps it, in items: one ioctl to read each, one to write it.
 *
 * Order counts. It is read with MP_STATE first, which makes KVM take pending INIT and SIPI events in, and VCPU_EVENTS
 * last; it is written in the order of the tables: controllers and clock before processors, CR4 and EFER before what
 * they allow, the local APIC before the MSRs that it must be on for, TSC_DEADLINE after TSC (the list of MSRs has them
 * apart: it is written a second time), MP_STATE and events last.
 *
 * What is written may be anybody's: sizes and item numbers are checked before (snapshot.c), values by KVM.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "runtime/base/alloc.h"
#include "vm-backend/machine.h"

enum { MAX_MSRS = ARCH_ITEM_MAX / sizeof(struct kvm_msr_entry), MSR_TSC_DEADLINE = 0x6e0 };

struct item {
	const char *name;
	unsigned long get, set; /* 0: by hand, below */
	size_t bytes, max;      /* max: a multiple of bytes, up to this; 0: exactly bytes */
};

/* The port devices, as far as a guest sees a difference. */
struct legacy_state {
	uint8_t ier, lcr, mcr, scr, dll, dlm, fcr, thri, cmos_index, zero[7];
};

enum vm_item { VM_PIC_MASTER, VM_PIC_SLAVE, VM_IOAPIC, VM_PIT, VM_CLOCK, VM_LEGACY };
static const struct item vm_items[] = {
	[VM_PIC_MASTER] = { "IRQCHIP 0", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), 0 },
	[VM_PIC_SLAVE] = { "IRQCHIP 1", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), 0 },
	[VM_IOAPIC] = { "IRQCHIP 2", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), 0 },
	[VM_PIT] = { "PIT2", KVM_GET_PIT2, KVM_SET_PIT2, sizeof(struct kvm_pit_state2), 0 },
	[VM_CLOCK] = { "CLOCK", KVM_GET_CLOCK, KVM_SET_CLOCK, sizeof(struct kvm_clock_data), 0 },
	[VM_LEGACY] = { "legacy ports", 0, 0, sizeof(struct legacy_state), 0 },
};

enum vcpu_item {
	VCPU_TSC_KHZ, VCPU_SREGS, VCPU_REGS, VCPU_XCRS, VCPU_XSAVE, VCPU_DEBUGREGS, VCPU_LAPIC, VCPU_MSRS,
	VCPU_MP_STATE, VCPU_EVENTS,
};
static const struct item vcpu_items[] = {
	[VCPU_TSC_KHZ] = { "TSC_KHZ", 0, 0, sizeof(uint32_t), 0 },
	[VCPU_SREGS] = { "SREGS", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), 0 },
	[VCPU_REGS] = { "REGS", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), 0 },
	[VCPU_XCRS] = { "XCRS", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), 0 },
	[VCPU_XSAVE] = { "XSAVE", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave), 0 },
	[VCPU_DEBUGREGS] = { "DEBUGREGS", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), 0 },
	[VCPU_LAPIC] = { "LAPIC", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), 0 },
	[VCPU_MSRS] = { "MSRS", 0, 0, sizeof(struct kvm_msr_entry), ARCH_ITEM_MAX },
	[VCPU_MP_STATE] = { "MP_STATE", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), 0 },
	[VCPU_EVENTS] = { "VCPU_EVENTS", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events), 0 },
};

_Static_assert(sizeof(struct kvm_xsave) <= ARCH_ITEM_MAX, "the largest item");

/* What the jail must let through. */
const unsigned long arch_state_ioctls[] = {
	KVM_GET_IRQCHIP, KVM_GET_PIT2, KVM_GET_CLOCK, KVM_GET_TSC_KHZ, KVM_GET_SREGS, KVM_GET_REGS, KVM_GET_XCRS,
	KVM_GET_XSAVE, KVM_GET_DEBUGREGS, KVM_GET_LAPIC, KVM_GET_MSRS, KVM_GET_MP_STATE, KVM_GET_VCPU_EVENTS, 0,
};

static const struct item *item_of(bool vcpu, unsigned item)
{
	if (vcpu)
		return item < ARRAY_LEN(vcpu_items) ? &vcpu_items[item] : NULL;
	return item < ARRAY_LEN(vm_items) ? &vm_items[item] : NULL;
}

unsigned arch_state_items(bool vcpu)
{
	return vcpu ? ARRAY_LEN(vcpu_items) : ARRAY_LEN(vm_items);
}

bool arch_state_size_ok(bool vcpu, unsigned item, size_t bytes)
{
	const struct item *i = item_of(vcpu, item);

	return i && (i->max ? bytes > 0 && bytes <= i->max && bytes % i->bytes == 0 : bytes == i->bytes);
}

int arch_state_prepare(struct machine *machine, struct error *err)
{
	struct arch_msr_list *list = xcalloc(1, sizeof *list);

	_Static_assert((int)ARCH_MSR_LIST >= (int)MAX_MSRS, "as many as can be saved");
	list->n = ARCH_MSR_LIST;
	if (ioctl(machine->kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0 || list->n > MAX_MSRS) {
		free(list);
		return error_sys(err, "kvm: KVM_GET_MSR_INDEX_LIST");
	}
	machine->msrs = list;
	return 0;
}

static void save_legacy(struct legacy *l, struct legacy_state *ret)
{
	pthread_mutex_lock(&l->lock);
	*ret = (struct legacy_state){ l->serial.ier, l->serial.lcr, l->serial.mcr, l->serial.scr, l->serial.dll,
		l->serial.dlm, l->serial.fcr, l->serial.thri, l->cmos_index, { 0 } };
	pthread_mutex_unlock(&l->lock);
}

static void restore_legacy(struct legacy *l, const struct legacy_state *s)
{
	l->serial.ier = s->ier & 0x0f;
	l->serial.lcr = s->lcr;
	l->serial.mcr = s->mcr & 0x1f;
	l->serial.scr = s->scr;
	l->serial.dll = s->dll;
	l->serial.dlm = s->dlm;
	l->serial.fcr = s->fcr;
	l->serial.thri = s->thri != 0;
	l->cmos_index = s->cmos_index & 0x7f;
	if (l->serial.thri && l->serial.ier)
		irq_line_raise(&l->serial.irq); /* one that was on its way; one too many is no harm */
}

/* Those that can be read: which these are is the processor's matter. Returns the bytes. */
static size_t save_msrs(const struct machine *machine, int fd, struct kvm_msr_entry *ret)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one;
	size_t n = 0;

	for (uint32_t i = 0; i < machine->msrs->n && n < MAX_MSRS; i++) {
		memset(&one, 0, sizeof one);
		one.head.nmsrs = 1;
		one.entry.index = machine->msrs->indices[i];
		if (ioctl(fd, KVM_GET_MSRS, &one.head) == 1)
			ret[n++] = one.entry;
	}
	return n * sizeof *ret;
}

static bool set_msr(int fd, const struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one;

	memset(&one, 0, sizeof one);
	one.head.nmsrs = 1;
	one.entry.index = entry->index;
	one.entry.data = entry->data;
	if (ioctl(fd, KVM_SET_MSRS, &one.head) == 1)
		return true;
	/* Some cannot be written at all; that they are as they were is enough. */
	return ioctl(fd, KVM_GET_MSRS, &one.head) == 1 && one.entry.data == entry->data;
}

static int restore_msrs(int fd, const struct kvm_msr_entry *entries, size_t bytes, struct error *err)
{
	const struct kvm_msr_entry *deadline = NULL;

	for (size_t i = 0; i < bytes / sizeof *entries; i++) {
		if (entries[i].index == MSR_TSC_DEADLINE)
			deadline = &entries[i];
		if (!set_msr(fd, &entries[i]))
			return error_set(err, EINVAL, "kvm: this host does not take MSR %#x with %#llx",
					entries[i].index, (unsigned long long)entries[i].data);
	}
	if (deadline && !set_msr(fd, deadline))
		return error_set(err, EINVAL, "kvm: this host does not take the timer's deadline");
	return 0;
}

int arch_vm_save(struct machine *machine, unsigned item, void *ret, size_t *ret_bytes, struct error *err)
{
	memset(ret, 0, vm_items[item].bytes);
	*ret_bytes = vm_items[item].bytes;
	if (item == VM_LEGACY) {
		save_legacy(&machine->legacy, ret);
		return 0;
	}
	if (item <= VM_IOAPIC)
		((struct kvm_irqchip *)ret)->chip_id = item;
	if (ioctl(machine->vm_fd, vm_items[item].get, ret) < 0)
		return error_sys(err, "kvm: reading %s", vm_items[item].name);
	return 0;
}

int arch_vm_restore(struct machine *machine, unsigned item, const void *data, struct error *err)
{
	union {
		struct kvm_irqchip chip;
		struct kvm_pit_state2 pit;
		struct kvm_clock_data clock;
		struct legacy_state legacy;
	} u = { 0 };

	memcpy(&u, data, vm_items[item].bytes);
	if (item == VM_LEGACY) {
		restore_legacy(&machine->legacy, &u.legacy);
		return 0;
	}
	if (item <= VM_IOAPIC && u.chip.chip_id != item)
		return error_set(err, EINVAL, "kvm: %s: of another controller", vm_items[item].name);
	if (item == VM_CLOCK)
		u.clock.flags = 0; /* what it was, not when that was */
	if (ioctl(machine->vm_fd, vm_items[item].set, &u) < 0)
		return error_sys(err, "kvm: writing %s", vm_items[item].name);
	return 0;
}

int arch_vcpu_save_begin(int fd, struct error *err)
{
	struct kvm_mp_state state;

	return ioctl(fd, KVM_GET_MP_STATE, &state) < 0 ? error_sys(err, "kvm: reading MP_STATE") : 0;
}

int arch_vcpu_save(struct machine *machine, int fd, unsigned item, void *ret, size_t *ret_bytes, struct error *err)
{
	int khz;

	memset(ret, 0, vcpu_items[item].bytes);
	*ret_bytes = vcpu_items[item].bytes;
	switch (item) {
	case VCPU_TSC_KHZ:
		khz = ioctl(fd, KVM_GET_TSC_KHZ, 0);
		if (khz <= 0)
			return error_sys(err, "kvm: reading TSC_KHZ");
		memcpy(ret, &(uint32_t){ (uint32_t)khz }, sizeof(uint32_t));
		return 0;
	case VCPU_MSRS:
		*ret_bytes = save_msrs(machine, fd, ret);
		return *ret_bytes ? 0 : error_set(err, EIO, "kvm: no MSR can be read");
	default:
		if (ioctl(fd, vcpu_items[item].get, ret) < 0)
			return error_sys(err, "kvm: reading %s", vcpu_items[item].name);
		return 0;
	}
}

int arch_vcpu_restore(int fd, unsigned item, const void *data, size_t bytes, struct error *err)
{
	static const size_t align = 64;
	_cleanup_free_ uint8_t *copy = NULL;
	uint32_t khz;

	switch (item) {
	case VCPU_TSC_KHZ:
		memcpy(&khz, data, sizeof khz);
		if (ioctl(fd, KVM_GET_TSC_KHZ, 0) != (int)khz && ioctl(fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
			return error_set(err, EINVAL, "kvm: this processor's clock cannot run at %u kHz", khz);
		return 0;
	case VCPU_MSRS:
		copy = xmemdup(data, bytes);
		return restore_msrs(fd, (const struct kvm_msr_entry *)(const void *)copy, bytes, err);
	default:
		copy = xcalloc(1, bytes + align); /* some of these are read beyond what they need */
		memcpy(copy, data, bytes);
		if (ioctl(fd, vcpu_items[item].set, copy) < 0)
			return error_sys(err, "kvm: writing %s", vcpu_items[item].name);
		return 0;
	}
}

void arch_vcpu_restored(int fd)
{
	(void)ioctl(fd, KVM_KVMCLOCK_CTRL, 0); /* a guest without that clock needs not be told that it stood still */
}
