/* SPDX-License-Identifier: Apache-2.0 */
/* The store as a whole: listing images, removing them, and collecting what no image needs any more. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/collect.h"
#include "images/work.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/json.h"
#include "runtime/base/path.h"
#include "runtime/model/instance.h"

#define MANIFEST_MAX (4 * 1024 * 1024)

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct image *)a)->name, ((const struct image *)b)->name);
}

/* The name that a file in images/ stands for; NULL: none. The caller frees it. */
static char *name_of_file(const char *file)
{
	size_t len = strlen(file);
	_cleanup_free_ char *name = NULL, *back = NULL;
	char *to;

	if (len < 6 || strcmp(file + len - 5, ".json") != 0)
		return NULL;
	name = to = xcalloc(len, 1);
	for (const char *c = file; c < file + len - 5; c++) {
		if (strncmp(c, "%2F", 3) == 0 || strncmp(c, "%3A", 3) == 0) {
			*to++ = c[1] == '2' ? '/' : ':';
			c += 2;
		} else {
			*to++ = *c;
		}
	}
	if (image_name_check(name, NULL) < 0)
		return NULL;
	back = image_file_name(name);
	return strcmp(back, file) == 0 ? steal_ptr(name) : NULL;
}

int images_list(const char *store, struct image **ret, size_t *ret_n, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/images", store);
	DIR *d = opendir(path);
	struct image *images = NULL;
	struct dirent *e;
	size_t n = 0;
	int r = 0;

	if (!d && errno != ENOENT)
		return error_sys(err, "cannot list %s", path);
	while (d && r == 0 && (e = readdir(d))) {
		_cleanup_free_ char *name = name_of_file(e->d_name);

		if (!name)
			continue;
		images = xreallocarray(images, n + 1, sizeof *images);
		r = image_load(store, name, &images[n], err);
		if (r == 0)
			n++;
		else if (r == -ENOENT)
			r = 0; /* removed since */
	}
	if (d)
		(void)closedir(d);
	if (r < 0) {
		images_free(images, n);
		return r;
	}
	if (n)
		qsort(images, n, sizeof *images, by_name);
	*ret = images;
	*ret_n = n;
	return 0;
}

void images_free(struct image *images, size_t n)
{
	for (size_t i = 0; i < n; i++)
		record_release(&image_type, &images[i]);
	free(images);
}

/* The file names that must stay, per folder of the store. */
struct needed {
	char **layers, **disks, **blobs;
};

static bool contains(char *const *v, const char *s)
{
	strv_foreach(item, v) {
		if (strcmp(item, s) == 0)
			return true;
	}
	return false;
}

static void need(char ***v, char *owned)
{
	if (contains(*v, owned))
		free(owned);
	else
		strv_push(v, owned);
}

/* The configuration is known only to the manifest. */
static void need_blobs(const char *store, const struct image *image, struct needed *needed)
{
	_cleanup_free_ char *path = xasprintf("%s/blobs/%.6s/%s", store, image->digest, digest_hex(image->digest));
	_cleanup_json_ struct json *manifest = NULL;
	const char *config;

	need(&needed->blobs, xstrdup(digest_hex(image->digest)));
	if (json_parse_file(AT_FDCWD, path, MANIFEST_MAX, &manifest, NULL) < 0)
		return; /* a launch does not need it */
	config = json_string(json_get(manifest, "config"), "digest");
	if (config)
		need(&needed->blobs, xstrdup(digest_hex(config)));
}

static int find_needed(const char *store, struct needed *ret, struct error *err)
{
	struct image *images = NULL;
	size_t n = 0;
	int r = images_list(store, &images, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		strv_foreach(layer, images[i].layers) {
			need(&ret->layers, xstrdup(digest_hex(layer)));
			need(&ret->layers, xasprintf("%s.json", digest_hex(layer)));
		}
		need(&ret->disks, xasprintf("%s.erofs", digest_hex(images[i].digest)));
		need_blobs(store, &images[i], ret);
	}
	images_free(images, n);
	return 0;
}

/* Removes all in a folder of the store but what is needed. */
static int sweep(const struct work *w, const char *folder, char *const *needed, uint64_t *count, struct error *err)
{
	int fd = openat(w->store_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return error_sys(err, "cannot list %s/%s", w->store, folder);
	}
	while (r == 0 && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", folder, e->d_name);
		size_t len = strlen(e->d_name);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || contains(needed, e->d_name))
			continue;
		r = work_remove(w, path, err);
		if (r == 0 && !(len > 5 && strcmp(e->d_name + len - 5, ".json") == 0))
			(*count)++;
	}
	(void)closedir(d);
	return r;
}

/* Empty scratch disks are made anew in no time. They are no part of an image, and not counted. */
static int sweep_scratch(const struct work *w, struct error *err)
{
	uint64_t uncounted;

	return faccessat(w->store_fd, "scratch", F_OK, 0) < 0 ? 0 : sweep(w, "scratch", NULL, &uncounted, err);
}

static int collect(const struct work *w, struct collected *ret, struct error *err)
{
	struct needed needed = { 0 };
	int r = find_needed(w->store, &needed, err);

	if (r == 0)
		r = sweep(w, "disks", needed.disks, &ret->disks, err);
	if (r == 0)
		r = sweep(w, "layers", needed.layers, &ret->layers, err);
	if (r == 0)
		r = sweep(w, "blobs/sha256", needed.blobs, &ret->blobs, err);
	if (r == 0)
		r = sweep(w, "blobs/sha512", needed.blobs, &ret->blobs, err);
	if (r == 0)
		r = sweep_scratch(w, err);
	strv_free(needed.layers);
	strv_free(needed.disks);
	strv_free(needed.blobs);
	return r;
}

/* Whether the instance was made from the image and its process is still there. */
static bool uses(const char *run_dir, const char *id, const char *name)
{
	_cleanup_free_ char *full = NULL;
	struct instance in;
	uint64_t start = 0;
	bool yes = false;

	instance_init(&in);
	if (instance_id_check(id, NULL) < 0 || instance_load(run_dir, id, &in, NULL) < 0)
		return false;
	if (in.image && image_name_check(in.image, NULL) == 0) {
		full = image_name_full(in.image);
		yes = strcmp(full, name) == 0 && in.pid && pid_start_time((pid_t)in.pid, &start) == 0 &&
		      start == in.pid_start;
	}
	instance_release(&in);
	return yes;
}

static int check_unused(const char *name, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	DIR *d = opendir(run_dir);
	struct dirent *e;
	int r = 0;

	while (d && r == 0 && (e = readdir(d))) {
		if (uses(run_dir, e->d_name, name))
			r = error_set(err, EBUSY, "image \"%s\" is used by %s: delete that first, or --force", name,
				e->d_name);
	}
	if (d)
		(void)closedir(d);
	return r;
}

static int remove_all(const struct work *w, char *const *names, bool force, struct collected *ret, struct error *err)
{
	strv_foreach(name, names) {
		_cleanup_free_ char *full = NULL;
		struct image image = { 0 };
		int r = image_load(w->store, name, &image, err);

		record_release(&image_type, &image);
		if (r < 0 && (r == -ENOENT || !force || image_name_check(name, NULL) < 0))
			return r;
		full = image_name_full(name);
		r = force ? 0 : check_unused(full, err);
		if (r < 0)
			return r;
	}
	strv_foreach(name, names) {
		_cleanup_free_ char *file = image_file_name(name), *path = xasprintf("images/%s", file);
		int r = work_remove(w, path, err);

		if (r < 0)
			return r;
		ret->images++;
	}
	return collect(w, ret, err);
}

int images_remove(const char *store, char *const *names, bool force, struct collected *ret, struct error *err)
{
	struct work w = WORK_EMPTY;
	int r = work_begin_alone(store, &w, err);

	if (r == 0)
		r = remove_all(&w, names, force, ret, err);
	work_release(&w);
	return r;
}

int images_prune(const char *store, struct collected *ret, struct error *err)
{
	struct work w = WORK_EMPTY;
	int r = work_begin_alone(store, &w, err);

	if (r == -ENOENT)
		return 0; /* no store, nothing to do */
	if (r == 0)
		r = collect(&w, ret, err);
	work_release(&w);
	return r;
}
