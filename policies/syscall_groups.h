/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_SYSCALL_GROUPS_H
#define BIVALVE_POLICIES_SYSCALL_GROUPS_H

#include <stddef.h>

/*
 * Groups of system calls, "@file-read", for the rules of a policy. Every call of the x86-64 table is in at least one;
 * a call can be in several. Groups may hold groups.
 */
struct syscall_group {
	const char *name;        /* with its "@" */
	const char *description;
	const char *members;     /* names and groups, separated by blanks */
};

/* All of them; ends with name NULL. Static. */
extern const struct syscall_group syscall_groups[];
/* NULL: there is none of this name. */
const struct syscall_group *syscall_group_find(const char *name);
/* Pushes the calls of the group and of the groups in it, each once, to the list (strv). 0 or -ENOENT. */
int syscall_group_expand(const char *name, char ***list);
/* The names of the groups, NULL-terminated, static. */
const char *const *syscall_group_names(void);

#endif
