/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CHANGES_H
#define BIVALVE_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/base/error.h"

/*
 * What a workload did to the folders that it was shown as overlays: found in their uppers when it has ended, told to
 * the user, kept in a folder, or applied to the real files.
 *
 * An upper is the workload's: hostile. Nothing in it is opened but folders and regular files, no link is ever
 * followed, and its size is only believed up to the limits here. The same list comes from a guest as a stream; then
 * it is all of it the guest's word.
 */
enum change_type { CHANGE_FILE, CHANGE_FOLDER, CHANGE_LINK, CHANGE_FIFO, CHANGE_SOCKET, CHANGE_DEVICE, CHANGE_NOTHING,
	CHANGE_TYPES };
enum change_kind { CHANGE_NONE, CHANGE_CREATED, CHANGE_MODIFIED, CHANGE_DELETED };
enum { CHANGES_MAX = 200000, CHANGES_MAX_DEPTH = 128 };

struct change {
	size_t nth;              /* of which overlay */
	char *path;              /* below its folder; "": the folder itself */
	enum change_type type;   /* NOTHING: it was there and is not any more (a whiteout) */
	bool opaque;             /* FOLDER: what the real one held is gone */
	uint64_t mode;           /* permission bits with set-id and sticky ones */
	uint64_t size;           /* FILE: as it looks, holes and all */
	uint64_t mtime_ns;
	char *target;            /* LINK */
	uint64_t at;             /* FILE of a stream that holds contents: where its pieces begin */

	/* Set by changes_compare(). */
	enum change_kind kind;
	enum change_type real_type; /* unless CREATED */
	const char *conflict;    /* why it must not be applied; NULL: it may */
};

struct changes {
	struct change *list;     /* folders before what is in them */
	size_t n;
	uint64_t omitted;        /* there were more: too many, too deep, or not to be read */
	bool complete;           /* nothing was cut off */
	int source;              /* the scratch file system, or the stream's file; borrowed */
	bool streamed, contents; /* source is a stream's file; it holds contents */
};

void changes_release(struct changes *c);
/* Adds an empty one and returns it; NULL, and counted as omitted, when there are CHANGES_MAX already. */
struct change *changes_add(struct changes *c);

/* Lists the uppers of n overlays in a scratch file system whose writers are gone. Returns 0 or -errno. */
int changes_walk(int scratch, size_t n, struct changes *ret, struct error *err);

/* Writes the list to a pipe, with what the files hold if contents is set. Returns 0 or -errno. */
int changes_write(const struct changes *c, bool contents, int fd);
/*
 * Reads what changes_write() wrote on the other side of a channel from a regular file. -EPROTO: it is not of that form,
 * or names what cannot be; what came before is in *ret, which is never complete then.
 */
int changes_read(int file, size_t n, bool contents, struct changes *ret, struct error *err);

/*
 * Says of each entry what it means for the real files: places[nth] is the overlay's folder on this host. Entries that
 * mean nothing are dropped; what an opaque folder hides is added as deleted. What was changed on the host after
 * since_ns (wall clock) is a conflict. Returns 0 or -errno.
 */
int changes_compare(struct changes *c, char *const *places, uint64_t since_ns, struct error *err);

/* The bytes of a FILE, holes as holes, to an empty file. Returns 0 or -errno. */
int changes_copy(const struct changes *c, const struct change *change, int to, struct error *err);

/*
 * Saves all that was made or changed in the new or empty folder dir: files/<absolute path> without set-id bits, devices
 * and sockets, and changes.json with the whole list. Returns 0 or -errno.
 */
int changes_keep(const struct changes *c, char *const *places, const char *dir, struct error *err);

/* The first reason not to apply the list, or 0: what commit refuses before it has touched anything. */
int changes_check(const struct changes *c, char *const *places, struct error *err);
/*
 * Applies the list to the real files, each file whole or not at all. Every path is resolved beneath its folder without
 * links. Files get the owner that they had, new ones are the caller's; set-id bits are dropped; FIFOs, sockets and
 * devices are left out. *ret_done: how many were applied, also on failure. Returns 0 or -errno.
 */
int changes_commit(const struct changes *c, char *const *places, size_t *ret_done, struct error *err);

/* One line for each, "created  file  12 bytes  /path", unprintable bytes as \ooo. */
void changes_print(const struct changes *c, char *const *places, FILE *to);
const char *change_kind_name(enum change_kind kind);
const char *change_type_name(enum change_type type);
/* Its absolute path on this host; the caller frees it. */
char *change_path(const struct change *change, char *const *places);

#endif
