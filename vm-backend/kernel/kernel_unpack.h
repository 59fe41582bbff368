/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_KERNEL_UNPACK_H
#define BIVALVE_VM_KERNEL_UNPACK_H

/*
 * Writes dirfd/name: an ELF vmlinux with what the kernel file source (a bzImage, or an ELF vmlinux with its symbols)
 * loads, and no more. It has been loaded once for trial. Returns 0; or -errno, and no file: the packing is unknown, its
 * program (gzip, xz, lz4, zstd, bzip2, lzop) is missing, or the content is no kernel that our loader takes.
 */
int kernel_unpack(const char *source, int dirfd, const char *name);

#endif
