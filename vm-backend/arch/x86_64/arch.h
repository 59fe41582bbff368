/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_ARCH_H
#define BIVALVE_VM_ARCH_H

#include <linux/audit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/strbuf.h"

/* What the portable part of the engine needs from an architecture. Nothing outside this folder knows x86. */

struct kvm_run;
struct machine;

/* RAM has a hole for devices; what does not fit below it continues at its end. */
#define ARCH_HOLE_START UINT64_C(0xc0000000)
#define ARCH_HOLE_END   UINT64_C(0x100000000)
/* The windows of virtio devices, one after the other. */
#define ARCH_DEVICE_BASE UINT64_C(0xd0000000)

/* What seccomp calls it. */
#define ARCH_AUDIT AUDIT_ARCH_X86_64

/* Interrupt of the n-th virtio window, n below ARCH_MAX_DEVICES. */
enum { ARCH_MAX_DEVICES = 18 };
unsigned arch_device_gsi(unsigned n);

/* The interrupt controllers and legacy devices; after the VM is created, before memory and vCPUs. */
int arch_vm_init(struct machine *machine, struct error *err);

/*
 * What the kernel is told about this machine on its command line, in front of all else. no_acpi: it is a kernel for
 * microVMs; quiet: nobody reads its log while it boots.
 */
void arch_command_line(const struct machine *machine, bool no_acpi, bool quiet, struct strbuf *line);

/*
 * A serial console without a driver: it is not looked for, has no interrupt and no terminal (/dev/console leads
 * nowhere), and is silent but for a panic and errors. Finding and setting up the driver's costs a boot many exits.
 * "quiet" stands first: the console repeats at once what was logged before it, as loud as is said by then, and each
 * character is two exits.
 */
#define ARCH_QUIET_CONSOLE " quiet 8250.nr_uarts=0 earlyprintk=serial,ttyS0,115200,keep console=ttynull"

/*
 * Loads kernel, initramfs, command line and tables into RAM and sets machine->entry.
 * -EINVAL, naming the file, if it is no kernel or does not fit.
 */
struct arch_entry {
	uint64_t rip, rsi, rbx;
	bool protected_mode;            /* 32-bit, by PVH; else 64-bit */
};
int arch_load(struct machine *machine, int kernel_fd, const char *kernel_path, int initramfs_fd,
		const char *command_line, struct error *err);

/*
 * Whether an open file is an unpacked kernel that can be entered by PVH, and whose notes are aligned as the ELF
 * specification has it: QEMU finds the entry only then.
 */
bool arch_kernel_pvh(int fd);

/* Gives a vCPU its identity. */
int arch_vcpu_init(struct machine *machine, unsigned index, int vcpu_fd, struct error *err);
/* Gives the first vCPU its registers at the kernel's entry, which arch_load found, and writes what they point to. */
int arch_vcpu_enter(const struct machine *machine, int fd, struct error *err);

/* Serves an exit that only this architecture has. False: none of its. */
bool arch_vcpu_exit(struct machine *machine, struct kvm_run *run);

/* Writes out what the serial port still holds. */
void arch_flush(struct machine *machine);

/*
 * The state of the machine (vcpu false) and of each of its processors, in items: numbers from 0 to arch_state_items()
 * - 1, to be saved and restored in that order. No item has more than ARCH_ITEM_MAX bytes.
 */
enum { ARCH_ITEM_MAX = 8192, ARCH_MSR_LIST = 1024 };
struct arch_msr_list { /* struct kvm_msr_list with room */
	uint32_t n;
	uint32_t indices[ARCH_MSR_LIST];
};
unsigned arch_state_items(bool vcpu);
/* Whether an item may have this size. Whatever is restored must have been asked here. */
bool arch_state_size_ok(bool vcpu, unsigned item, size_t bytes);
/* While machine->kvm_fd is open: asks what there is to be saved. */
int arch_state_prepare(struct machine *machine, struct error *err);
/* ret has room for ARCH_ITEM_MAX bytes. */
int arch_vm_save(struct machine *machine, unsigned item, void *ret, size_t *ret_bytes, struct error *err);
int arch_vm_restore(struct machine *machine, unsigned item, const void *data, struct error *err);
/* Before the first item of a processor. */
int arch_vcpu_save_begin(int fd, struct error *err);
int arch_vcpu_save(struct machine *machine, int fd, unsigned item, void *ret, size_t *ret_bytes, struct error *err);
int arch_vcpu_restore(int fd, unsigned item, const void *data, size_t bytes, struct error *err);
/* After the last. */
void arch_vcpu_restored(int fd);
/* The requests that saving makes, for the jail; ends with 0. */
extern const unsigned long arch_state_ioctls[];

/* The host's processor, its name and a checksum of its features; owned by the caller. */
char *arch_cpu_identity(void);

/* vm_engine.probe on an open /dev/kvm, see engine.h. */
int arch_probe(int kvm_fd, char *reason, size_t size);

#endif
