/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_IMAGES_STORE_H
#define BIVALVE_IMAGES_STORE_H

#include <sys/types.h>

#include "runtime/base/record.h"

/*
 * The store of images and kernels, /var/lib/bivalve for root, else $XDG_DATA_HOME/bivalve; $BIVALVE_STORE overrides.
 *
 *   images/<name>.json        struct image: all that a launch reads, in one small file ('/' and ':' in names are %XX)
 *   layers/<hex of diff id>/  one unpacked layer, ready to be an overlay lower (whiteouts are 0:0 character devices,
 *                             opaque directories carry trusted.overlay.opaque, or user.overlay.opaque for non-root)
 *   layers/<hex>.json         struct layer_info: its size; a layer is there when both are
 *   disks/<hex>.erofs         the same content as one EROFS disk, made when a VM first needs it, by image digest
 *   scratch/<bytes>-<inodes>.ext4  empty disks for the writes of instances (images/scratch.h)
 *   blobs/sha256/<hex>        manifests and configurations as they came
 *   kernels/<name>/           kernel.json, kernel, modules/   (vm-backend/kernel)
 *   initramfs/                cached initramfs archives       (vm-backend/kernel)
 *   tmp/                      work in progress; anything here may be removed by whoever holds the store's lock alone
 *   lock                      flock(2): shared by whoever adds to the store, exclusive to whoever removes from it
 *
 * What has its final name is whole: everything is made in tmp/ and renamed. images, layers, disks, blobs and tmp are
 * closed to other users (0700): a layer holds the set-user-id programs of its image.
 */
struct image {
	char *name;
	char *digest;          /* "sha256:…" of the manifest */
	char **layers;         /* diff ids "sha256:…", lowest first, each once */
	char **env, **entrypoint, **command;
	char *cwd, *user;
	char *stop_signal;
	char *architecture;
	uint64_t size_bytes;   /* unpacked */
	uint64_t created_ns;   /* when it was imported */
};
extern const struct record_type image_type;

/* The store's folder (owned by the caller), always absolute. */
char *store_dir(void);
/* The run-time folder: /run/bivalve for root, else $XDG_RUNTIME_DIR/bivalve; $BIVALVE_RUN overrides. */
char *store_run_dir(void);
/*
 * Takes the store's lock and waits for it; closing the returned fd (CLOEXEC) gives it back. The store must exist.
 * Shared: nothing that is in the store or in tmp/ will be removed. Exclusive: nobody else adds or removes.
 */
int store_lock(const char *store, bool exclusive, struct error *err);
/*
 * Makes the file final of the store, whole or not at all: write() fills one in tmp/ (open as fd, for reading too, and
 * named path), which then gets mode and the final name. The folder of final is made with folder_mode if it is missing.
 * Waits for the store's lock, shared. 0, or what write() or the file system gives, as -errno; then nothing is left.
 */
typedef int (*store_write_fn)(int fd, const char *path, const void *what, struct error *err);
int store_make_file(const char *store, const char *final, mode_t folder_mode, mode_t mode, store_write_fn write,
		const void *what, struct error *err);

/* Reads images/<name>.json. -ENOENT with advice when there is none. "busybox" and "busybox:latest" are the same. */
int image_load(const char *store, const char *name, struct image *ret, struct error *err);
/* Absolute path of a layer's folder, of the image's EROFS disk. The caller frees them. */
char *image_layer_path(const char *store, const char *diff_id);
char *image_disk_path(const char *store, const char *digest);
/* 1 to 200 of [A-Za-z0-9._/:@-], starting with a letter or digit, no "..", no "//". 0 or -EINVAL. */
int image_name_check(const char *name, struct error *err);
/* The name with its tag: ":latest" is added where there is neither tag nor digest. The caller frees it. */
char *image_name_full(const char *name);
/* "<name with tag, '/' and ':' as %XX>.json". The caller frees it. */
char *image_file_name(const char *name);
/* Whether text is "sha256:" and 64, or "sha512:" and 128, lower-case hexadecimal digits. */
bool digest_valid(const char *text);
/* What follows the ':' of a valid digest. */
const char *digest_hex(const char *digest);

#endif
