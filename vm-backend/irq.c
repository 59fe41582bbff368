/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts into and notifications out of the guest as eventfds, so that neither needs a system call of a vCPU. */
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/irq.h"

int irq_line_open(struct irq_line *line, int vm_fd, unsigned gsi, struct error *err)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd irqfd = { .gsi = gsi };

	if (fd < 0)
		return error_sys(err, "irq %u: eventfd", gsi);
	irqfd.fd = (uint32_t)fd;
	if (ioctl(vm_fd, KVM_IRQFD, &irqfd) < 0)
		return error_sys(err, "irq %u: KVM_IRQFD", gsi);
	*line = (struct irq_line){ gsi, steal_fd(&fd) };
	return 0;
}

void irq_line_raise(const struct irq_line *line)
{
	const uint64_t one = 1;

	if (line->fd >= 0 && write(line->fd, &one, sizeof one) < 0)
		return; /* only a full counter can fail it, and then an interrupt is pending anyway */
}

int irq_notify_open(int vm_fd, int event_fd, uint64_t gpa, uint32_t value, struct error *err)
{
	struct kvm_ioeventfd notify = {
		.datamatch = value,
		.addr = gpa,
		.len = sizeof value,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	if (ioctl(vm_fd, KVM_IOEVENTFD, &notify) < 0)
		return error_sys(err, "notification at %#llx: KVM_IOEVENTFD", (unsigned long long)gpa);
	return 0;
}
