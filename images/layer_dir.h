/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_LAYER_DIR_H
#define BIVALVE_IMAGES_LAYER_DIR_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "images/xattrs.h"
#include "runtime/base/error.h"

/*
 * A layer's folder while it is filled. All paths come from entry_path_clean(): relative, without ".."; "" is the
 * layer's root. Nothing is ever reached through a symbolic link: whatever an archive says stays beneath the folder.
 * Later entries replace earlier ones of the same name.
 */
struct layer_dir;

struct layer_attrs {
	mode_t mode;             /* permission bits with set-id and sticky */
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	struct xattrs xattrs;    /* allowed ones only */
};

/* What could not be kept, for a note to the user. */
struct layer_losses {
	uint64_t devices, xattrs;
};

/*
 * Takes over dirfd, an empty folder with no access for others. lowers: folders of the layers below, lowest first (NULL:
 * none), where folders that the archive only implies get their attributes from. Sets the umask to 0.
 */
struct layer_dir *layer_dir_new(int dirfd, char *const *lowers);
/* Drops everything in memory; the files stay. NULL is fine. */
void layer_dir_free(struct layer_dir *d);
static inline void layer_dir_cleanup(struct layer_dir **d)
{
	layer_dir_free(*d);
}
#define _cleanup_layer_dir_ __attribute__((cleanup(layer_dir_cleanup)))

int layer_dir_folder(struct layer_dir *d, const char *path, const struct layer_attrs *attrs, struct error *err);
/* Makes an empty regular file. Returns an fd to write the content to, for layer_dir_file_done(), or -errno. */
int layer_dir_file(struct layer_dir *d, const char *path, const struct layer_attrs *attrs, struct error *err);
/* Gives the written file its attributes. The caller still closes fd. */
int layer_dir_file_done(struct layer_dir *d, int fd, const struct layer_attrs *attrs, struct error *err);
int layer_dir_symlink(struct layer_dir *d, const char *path, const char *target, const struct layer_attrs *attrs,
		struct error *err);
/* target: a clean path of a file that is in this layer already. */
int layer_dir_hardlink(struct layer_dir *d, const char *path, const char *target, struct error *err);
/* A device or FIFO: type is S_IFCHR, S_IFBLK or S_IFIFO. Not root: devices are left out. */
int layer_dir_node(struct layer_dir *d, const char *path, mode_t type, dev_t rdev, const struct layer_attrs *attrs,
		struct error *err);
/* The layers below have nothing at path any more. What this layer itself has there stays. */
int layer_dir_whiteout(struct layer_dir *d, const char *path, struct error *err);
/* The layers below have nothing in this folder any more. */
int layer_dir_opaque(struct layer_dir *d, const char *path, struct error *err);
/* After the last entry: folders get their modes and times. */
int layer_dir_finish(struct layer_dir *d, struct error *err);

const struct layer_losses *layer_dir_losses(const struct layer_dir *d);
/* Counts attributes that were left out before they came here. */
void layer_dir_lose_xattrs(struct layer_dir *d, uint64_t n);
/* How many whiteouts and opaque folders the layer has. */
uint64_t layer_dir_whiteouts(const struct layer_dir *d);

#endif
