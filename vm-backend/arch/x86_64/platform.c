/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine and its processors as KVM sees them. The order matters: identity map and TSS before the first vCPU,
 * interrupt controllers before it too (a vCPU created earlier gets no local APIC), CPUID before registers.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "runtime/base/alloc.h"
#include "vm-backend/arch/x86_64/cpuid.h"
#include "vm-backend/arch/x86_64/layout.h"
#include "vm-backend/machine.h"

enum {
	CR0_BOOT_64 = 0x80050033,       /* PG AM WP NE ET MP PE */
	CR0_BOOT_32 = 0x11,             /* ET PE */
	CR4_PAE = 0x20,
	EFER_LONG = 0x500,              /* LME LMA */
	CODE_SELECTOR = 0x10,
	DATA_SELECTOR = 0x18,
	TSS_SELECTOR = 0x20,
	PAGE_PRESENT = 3,               /* and writable */
	PAGE_HUGE = 0x83,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_MTRR_DEFAULT = 0x2ff,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_MODE_NMI = 0x400,
	APIC_MODE_EXTINT = 0x700,
};

/* ISA interrupts that no legacy device holds come first: only they work with the MP table. */
static const uint8_t device_gsis[ARCH_MAX_DEVICES] = {
	5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
};

unsigned arch_device_gsi(unsigned n)
{
	return device_gsis[n];
}

int arch_vm_init(struct machine *machine, struct error *err)
{
	uint64_t identity = KVM_IDENTITY_GPA;
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(machine->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return error_sys(err, "kvm: KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(machine->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_GPA) < 0)
		return error_sys(err, "kvm: KVM_SET_TSS_ADDR");
	if (ioctl(machine->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_sys(err, "kvm: KVM_CREATE_IRQCHIP");
	if (ioctl(machine->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return error_sys(err, "kvm: KVM_CREATE_PIT2");
	return legacy_init(machine, err);
}

void arch_command_line(const struct machine *machine, bool no_acpi, bool quiet, struct strbuf *line)
{
	/*
	 * A reset is a triple fault, the cheapest exit. The rest saves a boot its waits: for clocks that KVM vouches
	 * for, grace periods that nobody else is using, self-tests of ciphers; and bounce buffers that no device needs.
	 */
	strbuf_puts(line, "reboot=t panic=-1 tsc=reliable no_timer_check noreplace-smp random.trust_cpu=on "
			"cryptomgr.notests rcupdate.rcu_expedited=1 swiotlb=noforce");
	if (!no_acpi)
		strbuf_puts(line, " pci=off"); /* else there is nobody to look for it */
	if (machine->config->log_fd < 0)
		strbuf_puts(line, " 8250.nr_uarts=0 quiet");
	else if (no_acpi && quiet)
		strbuf_puts(line, ARCH_QUIET_CONSOLE);
	else
		strbuf_puts(line, " 8250.nr_uarts=1 console=ttyS0");
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool long_mode)
{
	bool code = type & 8;

	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !(code && long_mode),
		.l = code && long_mode,
	};
}

/* The identity map of the first GiB, and a GDT that agrees with the segments. */
static void write_boot_structures(const struct vm_memory *memory)
{
	static const uint64_t gdt[] = {
		0, 0,
		0x00af9b000000ffff,     /* CODE_SELECTOR, 64-bit */
		0x00cf93000000ffff,     /* DATA_SELECTOR */
		0x00008b000000ffff,     /* TSS_SELECTOR */
	};
	uint64_t *tables = vm_memory_at(memory, PAGE_TABLES_GPA, 3 * 4096);

	memcpy(vm_memory_at(memory, GDT_GPA, sizeof gdt), gdt, sizeof gdt);
	tables[0] = (PAGE_TABLES_GPA + 4096) | PAGE_PRESENT;
	tables[512] = (PAGE_TABLES_GPA + 8192) | PAGE_PRESENT;
	for (uint64_t i = 0; i < 512; i++)
		tables[1024 + i] = i << 21 | PAGE_HUGE;
}

int arch_vcpu_enter(const struct machine *machine, int fd, struct error *err)
{
	const struct arch_entry *entry = &machine->entry;
	struct kvm_regs regs = { .rflags = 2, .rip = entry->rip, .rsi = entry->rsi, .rbx = entry->rbx };
	struct kvm_sregs sregs;
	bool long_mode = !entry->protected_mode;

	if (ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
		return error_sys(err, "kvm: KVM_GET_SREGS");
	sregs.cs = segment(CODE_SELECTOR, 0xb, long_mode);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(DATA_SELECTOR, 0x3, long_mode);
	sregs.tr = (struct kvm_segment){ .limit = 0x67, .selector = TSS_SELECTOR, .type = 0xb, .present = 1 };
	sregs.gdt.base = GDT_GPA;
	sregs.gdt.limit = 5 * 8 - 1;
	sregs.idt.base = sregs.idt.limit = 0;
	sregs.cr0 = long_mode ? CR0_BOOT_64 : CR0_BOOT_32;
	if (long_mode) {
		sregs.cr3 = PAGE_TABLES_GPA;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LONG;
	}
	write_boot_structures(&machine->memory);
	if (ioctl(fd, KVM_SET_SREGS, &sregs) < 0)
		return error_sys(err, "kvm: KVM_SET_SREGS");
	if (ioctl(fd, KVM_SET_REGS, &regs) < 0)
		return error_sys(err, "kvm: KVM_SET_REGS");
	return 0;
}

static int set_msrs(int fd, struct error *err)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.head.nmsrs = 2,
		.entries = {
			{ .index = MSR_MISC_ENABLE, .data = 1 },        /* fast strings */
			{ .index = MSR_MTRR_DEFAULT, .data = 0x806 },   /* on, write-back */
		},
	};

	if (ioctl(fd, KVM_SET_MSRS, &msrs.head) < 0)
		return error_sys(err, "kvm: KVM_SET_MSRS");
	return 0;
}

/* Firmware leaves the PIC's interrupts on LINT0 and the NMI on LINT1. */
static int set_local_apic(int fd, struct error *err)
{
	const uint32_t lint0 = APIC_MODE_EXTINT, lint1 = APIC_MODE_NMI;
	struct kvm_lapic_state lapic;

	if (ioctl(fd, KVM_GET_LAPIC, &lapic) < 0)
		return error_sys(err, "kvm: KVM_GET_LAPIC");
	memcpy(lapic.regs + APIC_LVT_LINT0, &lint0, sizeof lint0);
	memcpy(lapic.regs + APIC_LVT_LINT1, &lint1, sizeof lint1);
	if (ioctl(fd, KVM_SET_LAPIC, &lapic) < 0)
		return error_sys(err, "kvm: KVM_SET_LAPIC");
	return 0;
}

int arch_vcpu_init(struct machine *machine, unsigned index, int vcpu_fd, struct error *err)
{
	_cleanup_free_ struct cpuid_table *table = NULL;
	int r = cpuid_supported(machine->kvm_fd, &table, err);

	if (r < 0)
		return r;
	cpuid_for_vcpu(table, index, machine->config->vcpus);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, &table->head) < 0)
		return error_sys(err, "kvm: KVM_SET_CPUID2");
	r = set_msrs(vcpu_fd, err);
	if (r < 0 || index > 0 || machine->config->restore)
		return r; /* the others wait for INIT and SIPI, which set the rest; or for what was saved */
	return set_local_apic(vcpu_fd, err);
}

bool arch_vcpu_exit(struct machine *machine, struct kvm_run *run)
{
	uint8_t *data;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		data = (uint8_t *)run + run->io.data_offset;
		for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
			bus_access(&machine->ports, run->io.port, data, run->io.size,
					run->io.direction == KVM_EXIT_IO_OUT);
		return true;
	case KVM_EXIT_SHUTDOWN: /* a triple fault, which is how reboot=t resets */
		machine_stop(machine, 0, "reset");
		return true;
	default:
		return false;
	}
}
