/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_IRQ_H
#define BIVALVE_VM_IRQ_H

#include <stdint.h>

#include "runtime/base/error.h"

/* An interrupt line into the guest: edge-triggered, raised by one write, lowered by the kernel at once. */
struct irq_line {
	unsigned gsi;
	int fd;         /* the irqfd; -1: nobody listens (tests) */
};

int irq_line_open(struct irq_line *line, int vm_fd, unsigned gsi, struct error *err);
/* From any thread. */
void irq_line_raise(const struct irq_line *line);

/* Makes KVM signal event_fd when the guest writes value to the 32-bit register at gpa, without leaving the kernel. */
int irq_notify_open(int vm_fd, int event_fd, uint64_t gpa, uint32_t value, struct error *err);

#endif
