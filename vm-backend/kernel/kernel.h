/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_KERNEL_H
#define BIVALVE_VM_KERNEL_H

#include "runtime/base/record.h"

/*
 * Guest kernels in the store, <store>/kernels/<name>/:
 *
 *   kernel.json   struct kernel
 *   kernel        the bzImage or ELF vmlinux
 *   vmlinux       the same unpacked and reduced to what is loaded, if that could be made (kernel_unpack.h)
 *   modules/      what the guest loads before it can reach its disk and its agent port; flat, decompressed
 */
struct kernel {
	char *name;
	char *version;          /* as uname -r prints it; NULL: unknown */
	char *format;           /* "bzImage" or "vmlinux" */
	uint64_t size_bytes;    /* of the kernel file */
	char **modules;         /* file names in modules/, in load order; empty: all drivers are built in */
	char **share_modules;   /* as modules, for guests with host directories only, to be loaded after those */
	char **disk_modules;    /* likewise, for guests with a disk for their writes */
	char **network_modules; /* likewise, for guests with a network card */
	bool unpacked;          /* vmlinux is there */
	bool no_acpi;           /* its configuration has no ACPI: devices must stand on the command line */
	uint64_t created_ns;    /* wall clock, when it was imported */
	char *path;             /* the kernel file, absolute; not part of kernel.json, nor is the next */
	char *vmlinux_path;     /* NULL unless unpacked */
};
extern const struct record_type kernel_type;

enum kernel_format { KERNEL_BZIMAGE, KERNEL_VMLINUX };

/*
 * Looks into a file that should be a kernel. Returns 0 and what it is (and its version, owned by the caller, where the
 * file tells; both outputs may be NULL); -EINVAL "FILE: not a kernel: …"; or what opening it gave.
 */
int kernel_file_check(const char *path, enum kernel_format *ret_format, char **ret_version, struct error *err);

/*
 * Imports a kernel under name: 1 to 64 of [A-Za-z0-9_.-]. source is a folder as scripts/fetch-kernel leaves it
 * (vmlinuz, version, modules/VERSION/, config) or one kernel file with all drivers built in. An older kernel of the
 * name is replaced.
 */
int kernel_import(const char *store, const char *source, const char *name, struct error *err);

/*
 * All kernels: the preferred one first, then that named "default", then the newest import. Broken ones are left out.
 * Free with kernel_list_free.
 */
int kernel_list(const char *store, struct kernel **ret, size_t *ret_n, struct error *err);
void kernel_list_free(struct kernel *list, size_t n);

/* Makes name the preferred kernel until another is chosen or this one is removed. -ENOENT: no such kernel. */
int kernel_use(const char *store, const char *name, struct error *err);

/*
 * Reads one kernel; name NULL: the preferred one, the first of kernel_list.
 * -ENOENT with advice when there is none. Free with kernel_release.
 */
int kernel_load(const char *store, const char *name, struct kernel *ret, struct error *err);
void kernel_release(struct kernel *kernel);

/* Removes a kernel and the archives made for it. -ENOENT: no such kernel. */
int kernel_remove(const char *store, const char *name, struct error *err);

/*
 * The initramfs for this kernel with guest_binary as /init, made in <store>/initramfs/ when it is not there yet.
 * guest_binary NULL: `bivalve-guest` beside the running program. The path is owned by the caller.
 */
int kernel_initramfs(const char *store, const struct kernel *kernel, const char *guest_binary, char **ret_path,
		struct error *err);

/* The kernel.json beside a kernel file of the store: whether it says no_acpi. False for any other file. */
bool kernel_file_no_acpi(const char *path);

#endif
