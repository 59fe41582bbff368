/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_WORK_H
#define BIVALVE_IMAGES_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/error.h"

/*
 * One piece of work on the store: the lock held and a folder of its own in tmp/. Everything is made in that folder and
 * given its final name by work_publish(); work_release() removes what is left. A killed process leaves only its folder,
 * which the next piece of work that is alone removes.
 */
struct work {
	char *store;
	int store_fd;
	int lock_fd;
	char *dir;  /* absolute; NULL: none */
	int dir_fd;
};
#define WORK_EMPTY { .store_fd = -1, .lock_fd = -1, .dir_fd = -1 }

/*
 * What is published is whole for every process of this host, but reaches the disk when the kernel sees fit: a power
 * failure within the next half minute may spoil it, and then it has to be removed and imported again. Waiting for the
 * disk (work_sync()) made imports 2 to 10 times slower, and every other writer of the file system paid for it too.
 */
int work_sync(const struct work *w, struct error *err);

/* Makes the store's folders if they are missing and opens it with the shared lock, with a work folder. */
int work_begin(const char *store, struct work *ret, struct error *err);
/* Opens the store with the exclusive lock, without a work folder, and empties tmp/. -ENOENT: there is no store. */
int work_begin_alone(const char *store, struct work *ret, struct error *err);
/* Removes the work folder and gives the lock back. Safe on WORK_EMPTY and twice. */
void work_release(struct work *w);

/* Renames name in the work folder to to_name in the store ("layers/<hex>"). A folder that is there already stays. */
int work_publish(const struct work *w, const char *name, const char *to_name, struct error *err);
/* Writes a file of the store, whole or not at all. */
int work_publish_text(const struct work *w, const char *to_name, const char *text, size_t len, struct error *err);
/* Takes name out of the store, first of all by its name, then the rest. */
int work_remove(const struct work *w, const char *name, struct error *err);
/* Moves err, when it says that a disk is full, to a line that names the store. Returns -err->code. */
int work_explain(const char *store, struct error *err);

#endif
