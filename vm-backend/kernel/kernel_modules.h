/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_KERNEL_MODULES_H
#define BIVALVE_VM_KERNEL_MODULES_H

#include "runtime/base/error.h"

/*
 * Which modules of a tree (lib/modules/VERSION, by modules.dep and modules.builtin) a guest must load before it can
 * reach its disk and its agent port: paths relative to tree, dependencies first, NULL-terminated and owned by the
 * caller. Built-in ones are left out; one that is nowhere is -ENOENT naming it, unless the guest can do without.
 */
int kernel_modules_select(const char *tree, char ***ret_paths, struct error *err);

/*
 * The same for what a guest loads only if it has host directories (virtio-fs), a disk for its writes (ext4), or a
 * network card; none where the tree lacks them.
 */
int kernel_modules_select_shares(const char *tree, char ***ret_paths, struct error *err);
int kernel_modules_select_disk(const char *tree, char ***ret_paths, struct error *err);
int kernel_modules_select_network(const char *tree, char ***ret_paths, struct error *err);

/*
 * Copies a module into the folder dirfd, decompressed, under its base name without ".xz", ".zst" or ".gz".
 * Returns that name, owned by the caller.
 */
int kernel_module_copy(const char *tree, const char *path, int dirfd, char **ret_name, struct error *err);

/*
 * Takes from a copied module what costs the guest time at each load and is of no use to it: the signature, which proves
 * nothing when the kernel that would judge it comes the same way, and the BTF, which only BPF programs about this very
 * module need. Not for a kernel that insists on signatures.
 */
int kernel_module_trim(int dirfd, const char *name, struct error *err);

/* Copies a whole file as dirfd/name, with holes filled and mode 0644. */
int kernel_copy_file(const char *source, int dirfd, const char *name, struct error *err);

#endif
