/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of a guest processor: what KVM supports, with the topology of this machine. What KVM reports is the host
 * processor's own topology, which would mislead the guest's scheduler, and two things that we do not offer: its
 * performance counters, and virtualization. A guest that may run guests reaches KVM's nested code, which is a good part
 * of KVM and of its flaws; without the bits KVM refuses it VMXON and EFER.SVME.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "runtime/base/alloc.h"
#include "vm-backend/arch/x86_64/cpuid.h"

int cpuid_supported(int kvm_fd, struct cpuid_table **ret, struct error *err)
{
	_cleanup_free_ struct cpuid_table *table = xcalloc(1, sizeof *table);

	_Static_assert(offsetof(struct cpuid_table, entries) == sizeof(struct kvm_cpuid2), "entries follow the head");
	table->head.nent = CPUID_MAX_ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &table->head) < 0)
		return error_sys(err, "kvm: KVM_GET_SUPPORTED_CPUID");
	*ret = steal_ptr(table);
	return 0;
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *table, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < table->head.nent; i++)
		if (table->entries[i].function == function && table->entries[i].index == index)
			return &table->entries[i];
	return NULL;
}

static void replace_topology(struct cpuid_table *table, unsigned index, unsigned n, unsigned bits)
{
	/* Leaf 0xb: level 0 is threads (one), level 1 is cores. */
	static const uint8_t type[] = { 1, 2 };
	uint32_t kept = 0;
	bool had = false;

	/* 0x1f says the same in more words; without it everyone reads 0xb. */
	for (uint32_t i = 0; i < table->head.nent; i++) {
		had |= table->entries[i].function == 0xb;
		if (table->entries[i].function != 0xb && table->entries[i].function != 0x1f)
			table->entries[kept++] = table->entries[i];
	}
	table->head.nent = kept;
	if (!had)
		return;
	for (uint32_t level = 0; level < 3 && table->head.nent < CPUID_MAX_ENTRIES; level++)
		table->entries[table->head.nent++] = (struct kvm_cpuid_entry2){
			.function = 0xb,
			.index = level,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = level == 1 ? bits : 0,
			.ebx = level == 0 ? 1 : level == 1 ? n : 0,
			.ecx = level | (level < 2 ? (uint32_t)type[level] << 8 : 0),
			.edx = index,
		};
}

void cpuid_for_vcpu(struct cpuid_table *table, unsigned index, unsigned n)
{
	enum { ECX_MONITOR = 1 << 3, ECX_VMX = 1 << 5, ECX_TSC_DEADLINE = 1 << 24, EDX_HTT = 1 << 28 };
	enum { AMD_ECX_SVM = 1 << 2 };
	unsigned bits = n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0; /* of an APIC id */
	struct kvm_cpuid_entry2 *e = find(table, 1, 0);

	if (e) {
		e->ebx = (e->ebx & 0xffff) | (1U << bits) << 16 | index << 24;
		/* KVM emulates the deadline timer always, and does not list it; running under a hypervisor likewise. */
		e->ecx = (e->ecx & ~(uint32_t)(ECX_MONITOR | ECX_VMX)) | ECX_TSC_DEADLINE | 1U << 31;
		e->edx = n > 1 ? e->edx | EDX_HTT : e->edx & ~(uint32_t)EDX_HTT;
	}
	for (uint32_t i = 0; i < table->head.nent; i++) {
		e = &table->entries[i];
		/* Who shares a cache: all the last level's, else each has its own. Intel's leaf, then AMD's. */
		if ((e->function == 4 || e->function == 0x8000001d) && (e->eax & 0x1f)) {
			unsigned level = e->eax >> 5 & 7;

			e->eax = (e->eax & 0x3fff) | (level >= 3 ? (1U << bits) - 1 : 0) << 14;
			if (e->function == 4)
				e->eax |= ((1U << bits) - 1) << 26;
		}
	}
	e = find(table, 0xa, 0);
	if (e)
		e->eax = e->ebx = e->ecx = e->edx = 0; /* no performance counters */
	e = find(table, 0x80000001, 0);
	if (e)
		e->ecx &= ~(uint32_t)AMD_ECX_SVM;
	e = find(table, 0x8000000a, 0);
	if (e)
		e->eax = e->ebx = e->ecx = e->edx = 0; /* what SVM can do */
	e = find(table, 0x80000008, 0);
	if (e)
		e->ecx = bits << 12 | (n - 1);
	e = find(table, 0x8000001e, 0);
	if (e) {
		e->eax = index;
		e->ebx = index; /* core id, one thread each */
		e->ecx = 0;
	}
	replace_topology(table, index, n, bits);
}
