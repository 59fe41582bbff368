/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_MEASURE_H
#define BIVALVE_VM_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/model/machine_stats.h"

struct vm_config;
struct vm_engine;

/*
 * What is known of a running machine from outside: of its process by the host, and by what its engine counts.
 * proc_fd: the process's folder in /proc, which the caller may no longer see (vm_view.h); -1: none. stopped: it
 * stands still. Owned by the caller (machine_stats_type). What cannot be read is 0.
 */
void vm_measure(const struct vm_engine *engine, const struct vm_config *config, int proc_fd, bool stopped,
		struct machine_stats *ret);

/* The processor time of one thread, to the microsecond; 0: not known, or the thread is not there. */
uint64_t measure_thread_us(int proc_fd, uint64_t thread);

/* vm_engine.measure of each engine. */
void kvm_measure(const struct vm_config *config, int proc_fd, bool stopped, struct machine_stats *ret);
void qemu_measure(const struct vm_config *config, int proc_fd, bool stopped, struct machine_stats *ret);

#endif
