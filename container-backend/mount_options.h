/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_MOUNT_OPTIONS_H
#define BIVALVE_CONTAINER_MOUNT_OPTIONS_H

#include "runtime/model/plan.h"

/* mount(8) words, sorted into what each system call wants. */
struct mount_options {
	unsigned long flags;       /* MS_: mount(2) */
	uint64_t set, clear;       /* MOUNT_ATTR_: mount_setattr(2) */
	bool recursive;            /* bind with what is mounted below the source; unless "bind" says otherwise */
	char data[512];            /* the file system's own words, comma-separated */
};

/* base: flags that hold unless a word takes them away. -EINVAL names the word. */
int mount_options_parse(char *const *words, unsigned long base, struct mount_options *ret, struct error *err);

#endif
