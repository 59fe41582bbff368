/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_X86_CPUID_H
#define BIVALVE_X86_CPUID_H

#include <linux/kvm.h>

#include "runtime/base/error.h"

enum { CPUID_MAX_ENTRIES = 256 };
struct cpuid_table {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[CPUID_MAX_ENTRIES];
};

/* What this host can give a guest. The caller frees *ret. */
int cpuid_supported(int kvm_fd, struct cpuid_table **ret, struct error *err);
/* Makes it the view of processor index of n: one socket, n cores, no threads. */
void cpuid_for_vcpu(struct cpuid_table *table, unsigned index, unsigned n);

#endif
