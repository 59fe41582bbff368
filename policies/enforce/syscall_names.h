/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_SYSCALL_NAMES_H
#define BIVALVE_ENFORCE_SYSCALL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Names of system calls and their numbers on this machine: libseccomp's, and those of newer kernels, which would
 * otherwise slip past a rule that names them under an action of its own (all architectures number them alike).
 */
#define SYSCALL_UNKNOWN (-1) /* libseccomp's word for it too */

/* SYSCALL_UNKNOWN: no such name. Other negative numbers: of other architectures only. */
int syscall_number(const char *name);
/* Whether the number comes from our table: libseccomp cannot translate it to another ABI. */
bool syscall_is_newer(int nr);
/* Writes the name, or the number where there is none, into buf; returns buf. */
const char *syscall_name(int nr, char *buf, size_t size);
/* The largest number that syscall_number() can give. */
enum { SYSCALL_LAST = 511 };

#endif
