/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers. A kernel's new call: a row here, and its group in policies/syscall_groups.c. */
#include <seccomp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/syscall_names.h"
#include "runtime/base/alloc.h"

/* Since 5.1 a new call has one number everywhere. Those that libseccomp 2.5 may not name yet, up to Linux 6.19. */
static const struct {
	int nr;
	const char *name;
} newer[] = {
	{ 450, "set_mempolicy_home_node" }, { 451, "cachestat" }, { 452, "fchmodat2" }, { 453, "map_shadow_stack" },
	{ 454, "futex_wake" }, { 455, "futex_wait" }, { 456, "futex_requeue" }, { 457, "statmount" },
	{ 458, "listmount" }, { 459, "lsm_get_self_attr" }, { 460, "lsm_set_self_attr" }, { 461, "lsm_list_modules" },
	{ 462, "mseal" }, { 463, "setxattrat" }, { 464, "getxattrat" }, { 465, "listxattrat" },
	{ 466, "removexattrat" }, { 467, "open_tree_attr" }, { 468, "file_getattr" }, { 469, "file_setattr" },
	{ 470, "listns" }, { 471, "rseq_slice_yield" },
};

int syscall_number(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	for (size_t i = 0; nr == __NR_SCMP_ERROR && i < ARRAY_LEN(newer); i++)
		if (!strcmp(newer[i].name, name))
			return newer[i].nr;
	return nr;
}

bool syscall_is_newer(int nr)
{
	_cleanup_free_ char *name = nr >= newer[0].nr ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr) : NULL;

	return nr >= newer[0].nr && !name;
}

const char *syscall_name(int nr, char *buf, size_t size)
{
	_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
	const char *found = name;

	for (size_t i = 0; !found && i < ARRAY_LEN(newer); i++)
		if (newer[i].nr == nr)
			found = newer[i].name;
	if (found)
		(void)snprintf(buf, size, "%s", found);
	else
		(void)snprintf(buf, size, "%d", nr);
	return buf;
}
