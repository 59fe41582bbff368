/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_PATH_H
#define BIVALVE_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "runtime/base/error.h"

/* Makes path and its missing parents with mode. Returns 0 or -errno. */
int path_mkdirs(const char *path, mode_t mode, struct error *err);

/*
 * Reads a whole file (relative to dirfd, or AT_FDCWD) of at most max bytes into *ret_text (owned by the caller, with a
 * NUL after it). -EFBIG if it is larger. Returns 0 or -errno; err names the file.
 */
int file_read_at(int dirfd, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err);

/* Writes path by a temporary file beside it and rename(2): whole or not at all. Returns 0 or -errno. */
int file_write_atomic(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/*
 * The same for files that need not survive a crash of the host (state in a run-time folder): what is replaced is
 * swapped out and unlinked, since a rename over it makes ext4 flush the new data.
 */
int file_write_volatile(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/*
 * Whether a file can be made at path, the value of an option: what cannot be written should be known before anything
 * runs, not after. NULL and "-" always can. Returns 0 or -errno.
 */
int path_check_output(const char *option, const char *path, struct error *err);

/* One write(2) of a small control file (procfs, cgroupfs). Returns 0 or -errno. */
int file_write_once(int dirfd, const char *path, const char *text);

/*
 * openat2(2) with RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS: path is resolved as if dirfd were /, whatever its symbolic
 * links and ".." say. Linux 5.6. Returns an fd (CLOEXEC) or -errno.
 */
int path_open_in_root(int dirfd, const char *path, int flags, mode_t mode);
/* The same with RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS: any link or escape fails. */
int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/* Removes name under dirfd with all below it, on one file system, never following a link. ENOENT is success. */
int path_remove_tree(int dirfd, const char *name, struct error *err);

/* The folder of the running program (readlink of /proc/self/exe). The caller frees it; NULL if unknown. */
char *path_program_dir(void);

/* Whether path is folder or lies beneath it, by their texts alone. Both are absolute. */
bool path_beneath(const char *path, const char *folder);

#endif
