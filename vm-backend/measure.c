/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines as the host sees them: /proc, and the counters that our VMM shares (counters.h).
 *
 * Of a VMM that was broken into the counters say whatever it likes. They are copied once, their numbers limited and
 * their names made plain; that is all that depends on them. What /proc says it cannot forge.
 */
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/engine.h"
#include "vm-backend/measure.h"

enum { MAX_STATUS = 8192, MAX_LINE = 256 };

/* By KVM's numbers (linux/kvm.h); a reason without a name here is shown by its number. */
static const char *const exit_names[COUNTED_EXITS] = {
	[KVM_EXIT_UNKNOWN] = "unknown",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_IO] = "io",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug",
	[KVM_EXIT_HLT] = "hlt",
	[KVM_EXIT_MMIO] = "mmio",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq_window",
	[KVM_EXIT_SHUTDOWN] = "shutdown",
	[KVM_EXIT_FAIL_ENTRY] = "fail_entry",
	[KVM_EXIT_INTR] = "signal",
	[KVM_EXIT_NMI] = "nmi",
	[KVM_EXIT_INTERNAL_ERROR] = "internal_error",
	[KVM_EXIT_SYSTEM_EVENT] = "system_event",
	[COUNTED_EXITS - 1] = "other",
};

uint64_t measure_thread_us(int proc_fd, uint64_t thread)
{
	_cleanup_free_ char *path = xasprintf("task/%" PRIu64 "/schedstat", thread), *text = NULL;

	if (!thread || file_read_at(proc_fd, path, MAX_LINE, &text, NULL, NULL) < 0)
		return 0;
	return strtoull(text, NULL, 10) / 1000;
}

/* A line of /proc/PID/status in KiB. */
static uint64_t status_bytes(const char *status, const char *key)
{
	const char *at = strstr(status, key);

	return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

/* A private mapping's pages are anonymous once written, those of a memfd are always its own. */
static void measure_memory(int proc_fd, struct machine_stats *ret)
{
	_cleanup_free_ char *status = NULL;

	if (file_read_at(proc_fd, "status", MAX_STATUS, &status, NULL, NULL) < 0)
		return;
	ret->dirty_bytes = status_bytes(status, "\nRssAnon:") + status_bytes(status, "\nRssShmem:");
	ret->shared_bytes = status_bytes(status, "\nRssFile:");
}

void vm_measure(const struct vm_engine *engine, const struct vm_config *config, int proc_fd, bool stopped,
		struct machine_stats *ret)
{
	*ret = (struct machine_stats){ 0 };
	if (proc_fd < 0)
		return;
	measure_memory(proc_fd, ret);
	if (engine->measure)
		engine->measure(config, proc_fd, stopped, ret);
}

static void add_exits(struct machine_vcpu *ret, const struct vcpu_counters *c)
{
	ret->exits = xcalloc(COUNTED_EXITS, sizeof *ret->exits);
	for (unsigned i = 0; i < COUNTED_EXITS; i++)
		if (c->exits[i])
			ret->exits[ret->n_exits++] = (struct machine_exit){
				exit_names[i] ? xstrdup(exit_names[i]) : xasprintf("%u", i), c->exits[i] };
}

static char *plain_name(const struct device_counters *c)
{
	char *name = xcalloc(1, sizeof c->name + 1);

	for (size_t i = 0; i < sizeof c->name && c->name[i]; i++)
		name[i] = isalnum((unsigned char)c->name[i]) ? c->name[i] : '?';
	return name;
}

static void add_queues(struct machine_stats *ret, const struct device_counters *c)
{
	for (uint32_t i = 0; i < c->n_queues && i < COUNTED_QUEUES; i++) {
		const struct queue_counters *q = &c->queues[i];

		if (!q->notifications && !q->requests)
			continue; /* most are never used */
		ret->queues[ret->n_queues++] = (struct machine_queue){ plain_name(c), i, q->notifications, q->requests,
			q->descriptors, q->read_bytes, q->written_bytes, q->interrupts, q->throttled,
			q->throttled_us };
	}
}

void kvm_measure(const struct vm_config *config, int proc_fd, bool stopped, struct machine_stats *ret)
{
	_cleanup_free_ struct vm_counters *c = NULL;
	size_t vcpus = config->vcpus < COUNTED_VCPUS ? config->vcpus : COUNTED_VCPUS;

	if (!config->counters) {
		strv_push(&ret->not_counted, xstrdup("exits"));
		strv_push(&ret->not_counted, xstrdup("queues"));
		return;
	}
	c = xcalloc(1, sizeof *c);
	memcpy(c, config->counters, offsetof(struct vm_counters, vcpus) + vcpus * sizeof c->vcpus[0]);
	ret->returned_bytes = c->returned_bytes;
	ret->vcpus = xcalloc(vcpus, sizeof *ret->vcpus);
	for (size_t i = 0; i < vcpus; i++) {
		ret->vcpus[i].cpu_us = measure_thread_us(proc_fd, c->vcpus[i].thread);
		add_exits(&ret->vcpus[i], &c->vcpus[i]);
	}
	ret->n_vcpus = vcpus;
	ret->queues = xcalloc(COUNTED_DEVICES * COUNTED_QUEUES, sizeof *ret->queues);
	for (uint32_t i = 0; i < c->n_devices && i < COUNTED_DEVICES; i++)
		add_queues(ret, &c->devices[i]);
}
