/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_MOUNT_OPTIONS_H
#define BIVALVE_CONTAINER_MOUNT_OPTIONS_H

#include "runtime/model/plan.h"

enum { MOUNT_PROPAGATIONS = 4 };

/* mount(8) words as runc and crun take them, sorted into what each system call wants. */
struct mount_options {
	unsigned long flags;             /* MS_: mount(2) */
	uint64_t set, clear;             /* MOUNT_ATTR_ of this mount: mount_setattr(2) */
	uint64_t rec_set, rec_clear;     /* and of those below too: rro, rnosuid, … */
	unsigned long propagation[MOUNT_PROPAGATIONS]; /* MS_SHARED and so on, with MS_REC; in order */
	size_t n_propagation;
	bool bind, recursive;            /* "bind" or "rbind"; "rbind" */
	bool remount, copy_up, copy_symlink, source_nofollow, target_nofollow;
	bool idmap, idmap_recursive;
	char *data;                      /* the file system's own words, comma-separated; never NULL once parsed */
};

/* base: flags that hold unless a word takes them away. -EINVAL names the word, and ret needs no release then. */
int mount_options_parse(char *const *words, unsigned long base, struct mount_options *ret, struct error *err);
void mount_options_release(struct mount_options *o);
/* MS_SHARED and so on, with MS_REC, of "rshared"; 0: no such word. */
unsigned long mount_propagation(const char *word);

#endif
