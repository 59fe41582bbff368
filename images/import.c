/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import: source -> manifest and configuration -> layers, each in the work folder -> the store. Nothing gets its final
 * name before all of it is there; the image's own file comes last, so that an image that has a name has its layers.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/import.h"
#include "images/manifest.h"
#include "images/source.h"
#include "images/stream.h"
#include "images/tree.h"
#include "images/work.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"

#define NEW_LAYER      "layers/new" /* until its diff id is known */
#define PROGRESS_NS    UINT64_C(200000000)
#define LAYER_INFO_MAX 4096

struct import {
	const struct import_options *o;
	struct work work;
	struct source source;
	struct layer_limits limits; /* what is left of them */
	struct manifest manifest;
	struct image old;           /* what has the name now; name NULL: nothing */
	char **lowers;              /* folders of the layers so far, lowest first */
	struct import_result *result;

	struct stream *stream;
	uint64_t stream_bytes, shown_ns;
};

static void show_progress(struct import *im, bool last)
{
	uint64_t now = im->o->progress ? clock_now_ns() : 0;

	if (!im->o->progress || (!last && now - im->shown_ns < PROGRESS_NS))
		return;
	im->shown_ns = now;
	(void)fprintf(stderr, "\r\033[K");
	if (!last)
		(void)fprintf(stderr, "unpacking, %llu MiB so far", (unsigned long long)(im->stream_bytes >> 20));
	(void)fflush(stderr);
}

/* layer_unpack()'s source of data. */
static ssize_t next_piece(void *ctx, const void **ret, struct error *err)
{
	struct import *im = ctx;
	ssize_t n = stream_next(im->stream, ret, err);

	im->stream_bytes += n > 0 ? (uint64_t)n : 0;
	show_progress(im, false);
	return n;
}

int layer_info_load(const char *store, const char *diff_id, struct layer_info *ret, struct error *err)
{
	_cleanup_free_ char *path = image_layer_path(store, diff_id), *file = xasprintf("%s.json", path);
	_cleanup_json_ struct json *doc = NULL;
	struct layer_info info = { 0 };
	int r;

	if (access(path, F_OK) < 0)
		return error_sys(err, "layer %s", diff_id);
	r = json_parse_file(AT_FDCWD, file, LAYER_INFO_MAX, &doc, err);
	if (r == 0)
		r = record_read(doc, &layer_info_type, &info, err);
	if (r == 0)
		*ret = info;
	return r;
}

static bool layer_stored(const struct import *im, const char *diff_id)
{
	struct layer_info info;

	return layer_info_load(im->work.store, diff_id, &info, NULL) == 0;
}

/* Whether an earlier layer of this very image has made it. */
static bool layer_made(const struct import *im, const char *diff_id)
{
	_cleanup_free_ char *path = xasprintf("layers/%s", digest_hex(diff_id));

	return faccessat(im->work.dir_fd, path, F_OK, 0) == 0;
}

static int save_info(const struct import *im, const char *diff_id, const struct layer_info *info, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("layers/%s.json", digest_hex(diff_id)), *text = NULL;
	struct json_writer *w = json_writer_new(false);
	size_t len;

	record_write(w, NULL, &layer_info_type, info, true);
	text = json_writer_finish(w, &len);
	return file_write_atomic(im->work.dir_fd, path, text, len, 0600, err);
}

static void add_losses(struct import *im, const struct layer_dir *dir)
{
	im->result->losses.devices += layer_dir_losses(dir)->devices;
	im->result->losses.xattrs += layer_dir_losses(dir)->xattrs;
}

static int new_layer_dir(struct import *im, struct layer_dir **ret, struct error *err)
{
	int fd;

	if (mkdirat(im->work.dir_fd, NEW_LAYER, 0700) < 0)
		return error_sys(err, "cannot make a folder in the store %s", im->work.store);
	fd = openat(im->work.dir_fd, NEW_LAYER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, "cannot open a folder in the store %s", im->work.store);
	*ret = layer_dir_new(fd, im->lowers);
	return 0;
}

/* The layer that was made as NEW_LAYER gets its name, still in the work folder. */
static int name_layer(struct import *im, const char *diff_id, const struct layer_info *info, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("layers/%s", digest_hex(diff_id));

	if (layer_stored(im, diff_id))
		return path_remove_tree(im->work.dir_fd, NEW_LAYER, err);
	if (renameat(im->work.dir_fd, NEW_LAYER, im->work.dir_fd, path) < 0)
		return error_sys(err, "cannot name a folder in the store %s", im->work.store);
	im->result->layers_new++;
	return save_info(im, diff_id, info, err);
}

static int check_blob(const struct manifest_layer *want, const struct stream_result *got, struct error *err)
{
	if (want->digest && got->bytes != want->size_bytes)
		return error_set(err, EBADMSG, "has %llu bytes instead of %llu", (unsigned long long)got->bytes,
			(unsigned long long)want->size_bytes);
	if (want->digest && strcmp(got->digest, want->digest) != 0)
		return error_set(err, EBADMSG, "has the digest %s: damaged", got->digest);
	if (strcmp(got->diff_id, want->diff_id) != 0)
		return error_set(err, EBADMSG, "unpacks to %s, but the image's configuration says %s", got->diff_id,
			want->diff_id);
	return 0;
}

/*
 * Unpacks im->stream as NEW_LAYER and reads it to its end. want: what it must be; NULL: anything. A stream that is not
 * what it should be is reported as that, whatever else went wrong with it.
 */
static int unpack_stream(struct import *im, const struct manifest_layer *want, struct layer_info *ret_info,
		struct stream_result *ret, struct error *err)
{
	_cleanup_layer_dir_ struct layer_dir *dir = NULL;
	struct error stream_err = { 0 };
	int r = new_layer_dir(im, &dir, err), end;

	if (r < 0)
		return r;
	r = layer_unpack(next_piece, im, dir, &im->limits, ret_info, err);
	add_losses(im, dir);
	if (r == -ENOSPC || r == -EDQUOT || r == -EINTR || r == -EFBIG)
		return r;
	end = stream_finish(im->stream, ret, &stream_err);
	if (end == 0 && want) {
		end = check_blob(want, ret, &stream_err);
		if (end < 0)
			stream_result_release(ret);
	}
	if (end < 0 && (r == 0 || stream_err.code == EBADMSG)) {
		*err = stream_err;
		r = end;
	} else if (r < 0 && end == 0) {
		stream_result_release(ret);
	}
	return r;
}

static int unpack_blob(struct import *im, const struct blobs *blobs, const struct manifest_layer *layer,
		struct error *err)
{
	_cleanup_blob_ struct blob *blob = NULL;
	struct stream_source from = { .read = blob_read };
	struct stream_result result = { 0 };
	struct layer_info info;
	int r = blob_open(blobs, layer->blob, &blob, err);

	if (r < 0)
		return r;
	if (layer->digest && blob_size(blob) != layer->size_bytes)
		return error_set(err, EBADMSG, "layer %s: has %llu bytes instead of %llu", layer->digest,
			(unsigned long long)blob_size(blob), (unsigned long long)layer->size_bytes);
	from.ctx = blob;
	im->stream = stream_new(&from, layer->digest, layer->diff_id, im->o->limits.max_bytes);
	r = unpack_stream(im, layer, &info, &result, err);
	stream_free(steal_ptr(im->stream));
	if (r < 0)
		return error_prefix(err, "layer %s", layer->digest ? layer->digest : layer->diff_id);
	stream_result_release(&result);
	return name_layer(im, layer->diff_id, &info, err);
}

/*
 * OCI layouts and docker archives. A layer is unpacked once, whatever images it is part of; where it only implies a
 * folder, that folder looks as it does in the layers below in the first of these images.
 */
static int import_packed(struct import *im, struct error *err)
{
	const struct source *s = &im->source;
	const struct blobs blobs = { s->fd, s->is_archive, s->shown };
	struct manifest *m = &im->manifest;
	int r;

	if (im->o->changes && im->o->changes[0])
		return error_set(err, EINVAL, "--change: only for root file systems; %s has a configuration", s->shown);
	r = s->kind == SOURCE_OCI ? oci_manifest_read(&blobs, s->ref, m, err) :
				    docker_manifest_read(&blobs, s->ref, m, err);
	if (r == 0)
		r = manifest_read_config(m, &im->result->image, err);
	for (size_t i = 0; r == 0 && i < m->n_layers; i++) {
		const char *id = m->layers[i].diff_id;
		bool stored = layer_stored(im, id);

		if (!stored && !layer_made(im, id))
			r = unpack_blob(im, &blobs, &m->layers[i], err);
		strv_push(&im->lowers, stored ? image_layer_path(im->work.store, id) :
						xasprintf("%s/layers/%s", im->work.dir, digest_hex(id)));
	}
	return r;
}

/* An image without a configuration of its own: one layer, which becomes the manifest's only one. */
static int compose(struct import *im, char *owned_digest, uint64_t size, char *owned_diff_id, const char *media_type,
		struct error *err)
{
	struct image *image = &im->result->image;
	struct manifest *m = &im->manifest;

	m->layers = xcalloc(1, sizeof *m->layers);
	m->n_layers = 1;
	m->layers[0] = (struct manifest_layer){
		.digest = owned_digest, .size_bytes = size, .diff_id = owned_diff_id,
	};
	image->architecture = xstrdup(platform_architecture());
	strv_foreach(change, im->o->changes) {
		int r = image_apply_change(image, change, err);

		if (r < 0)
			return r;
	}
	manifest_compose(m, image, media_type);
	return 0;
}

static int hash_file(int fd, char **ret, struct error *err)
{
	_cleanup_hasher_ struct hasher *h = hasher_new(NULL);
	_cleanup_free_ char *buf = xcalloc(1, 1 << 20);
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = stream_read_fd(&fd, buf, 1 << 20, err)) != 0) {
		if (n < 0)
			return (int)n;
		hasher_add(h, buf, (size_t)n);
		r = stream_interrupted(err);
	}
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = error_sys(err, "cannot seek");
	if (r == 0)
		*ret = hasher_finish(steal_ptr(h));
	return r;
}

/*
 * Whether a tarball is the one that the image of this name was made from: then there is nothing to unpack. Costs
 * nothing unless the sizes are equal. Returns 1 with the parts of compose(), 0, or -errno.
 */
static int same_tarball(struct import *im, char **ret_digest, uint64_t *ret_size, char **ret_diff_id, char **ret_type,
		struct error *err)
{
	_cleanup_free_ char *path = NULL, *digest = NULL;
	_cleanup_json_ struct json *doc = NULL;
	const struct json *layers, *size;
	struct stat st;
	int r;

	if (!im->old.name || strv_len(im->old.layers) != 1 || !layer_stored(im, im->old.layers[0]))
		return 0;
	path = xasprintf("%s/blobs/%.6s/%s", im->work.store, im->old.digest, digest_hex(im->old.digest));
	if (json_parse_file(AT_FDCWD, path, MANIFEST_TEXT_MAX, &doc, NULL) < 0)
		return 0;
	layers = json_get(doc, "layers");
	if (!layers || layers->n_items != 1)
		return 0;
	size = json_get(layers->items[0], "size");
	if (fstat(im->source.fd, &st) < 0 || !size || size->type != JSON_INT || size->integer != st.st_size)
		return 0;
	r = hash_file(im->source.fd, &digest, err);
	if (r < 0)
		return r;
	if (!json_string(layers->items[0], "digest") || !json_string(layers->items[0], "mediaType") ||
		strcmp(json_string(layers->items[0], "digest"), digest) != 0)
		return 0;
	*ret_digest = steal_ptr(digest);
	*ret_size = (uint64_t)st.st_size;
	*ret_diff_id = xstrdup(im->old.layers[0]);
	*ret_type = xstrdup(json_string(layers->items[0], "mediaType"));
	return 1;
}

static int import_tarball(struct import *im, struct error *err)
{
	const struct stream_source from = { stream_read_fd, &im->source.fd };
	struct stream_result result = { 0 };
	_cleanup_free_ char *type = NULL;
	struct layer_info info;
	int r;

	r = same_tarball(im, &result.digest, &result.bytes, &result.diff_id, &type, err);
	if (r < 0)
		return error_prefix(err, "%s", im->source.shown);
	if (r == 0) {
		im->stream = stream_new(&from, NULL, NULL, im->o->limits.max_bytes);
		r = unpack_stream(im, NULL, &info, &result, err);
		stream_free(steal_ptr(im->stream));
		if (r < 0)
			return error_prefix(err, "%s", im->source.shown);
		type = xasprintf("application/vnd.oci.image.layer.v1.tar%s%s", *result.compression ? "+" : "",
			result.compression);
		r = name_layer(im, result.diff_id, &info, err);
	}
	if (r < 0) {
		stream_result_release(&result);
		return r;
	}
	return compose(im, result.digest, result.bytes, result.diff_id, type, err);
}

static int import_tree(struct import *im, struct error *err)
{
	_cleanup_layer_dir_ struct layer_dir *dir = NULL;
	_cleanup_free_ char *diff_id = NULL;
	struct layer_limits limits = im->limits;
	struct layer_info info = { 0 };
	int r = 0;

	/* What was imported by this name before may be the same: reading is cheaper than copying. */
	if (im->old.name)
		r = tree_import(im->source.fd, im->source.shown, NULL, &limits, &diff_id, &info, err);
	if (r == 0 && (!diff_id || !layer_stored(im, diff_id))) {
		free(steal_ptr(diff_id));
		r = new_layer_dir(im, &dir, err);
		if (r == 0)
			r = tree_import(im->source.fd, im->source.shown, dir, &im->limits, &diff_id, &info, err);
		if (r == 0) {
			add_losses(im, dir);
			r = name_layer(im, diff_id, &info, err);
		}
	}
	if (r < 0)
		return r;
	return compose(im, NULL, info.size_bytes, steal_ptr(diff_id), "application/vnd.bivalve.tree.v1", err);
}

/* A layer that an image has twice counts where it is uppermost: there it hides all that it brought before. */
static void set_layers(struct import *im)
{
	const struct manifest *m = &im->manifest;

	for (size_t i = 0; i < m->n_layers; i++) {
		bool again = false;

		for (size_t k = i + 1; k < m->n_layers; k++)
			again = again || strcmp(m->layers[i].diff_id, m->layers[k].diff_id) == 0;
		if (!again)
			strv_push(&im->result->image.layers, xstrdup(m->layers[i].diff_id));
	}
}

static int publish_blob(struct import *im, const char *digest, const char *text, size_t len, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("blobs/%.6s/%s", digest, digest_hex(digest));

	return work_publish_text(&im->work, path, text, len, err);
}

static int publish_layers(struct import *im, struct error *err)
{
	int r = 0;

	strv_foreach(id, im->result->image.layers) {
		_cleanup_free_ char *dir = xasprintf("layers/%s", digest_hex(id)), *file = xasprintf("%s.json", dir);
		struct layer_info info;

		if (layer_made(im, id)) {
			r = work_publish(&im->work, file, file, err);
			if (r == 0)
				r = work_publish(&im->work, dir, dir, err);
		}
		if (r == 0)
			r = layer_info_load(im->work.store, id, &info, err);
		if (r < 0)
			return r;
		im->result->image.size_bytes += info.size_bytes;
	}
	return 0;
}

static int publish(struct import *im, struct error *err)
{
	_cleanup_free_ char *file = image_file_name(im->o->name), *path = xasprintf("images/%s", file), *text = NULL;
	struct image *image = &im->result->image;
	const struct manifest *m = &im->manifest;
	struct json_writer *w;
	size_t len;
	int r;

	image->name = image_name_full(im->o->name);
	image->digest = xstrdup(m->digest);
	image->created_ns = clock_wall_ns();
	set_layers(im);
	r = im->o->sync ? work_sync(&im->work, err) : 0;
	if (r == 0)
		r = publish_layers(im, err);
	if (r == 0)
		r = publish_blob(im, m->config_digest, m->config, m->config_len, err);
	if (r == 0)
		r = publish_blob(im, m->digest, m->text, m->text_len, err);
	if (r < 0)
		return r;
	if (im->old.name && !im->result->layers_new && strcmp(im->old.digest, image->digest) == 0) {
		im->result->unchanged = true;
		image->created_ns = im->old.created_ns;
		return 0;
	}
	w = json_writer_new(false);
	record_write(w, NULL, &image_type, image, false);
	text = json_writer_finish(w, &len);
	r = work_publish_text(&im->work, path, text, len, err);
	return r == 0 && im->o->sync ? work_sync(&im->work, err) : r;
}

/* A copy of the store into itself would never end. */
static int check_store_outside(const struct import *im, struct error *err)
{
	_cleanup_free_ char *tree = realpath(im->source.shown, NULL), *store = realpath(im->work.store, NULL);
	size_t len = tree ? strlen(tree) : 0;

	while (len && tree[len - 1] == '/')
		len--;
	if (tree && store && strncmp(store, tree, len) == 0 && (store[len] == '/' || store[len] == '\0'))
		return error_set(err, EINVAL, "the store %s is inside %s", im->work.store, im->source.shown);
	return 0;
}

static int import(struct import *im, struct error *err)
{
	int r = source_open(im->o->source, &im->work, im->o->limits.max_bytes, &im->source, err);

	if (r < 0)
		return r;
	switch (im->source.kind) {
	case SOURCE_OCI:
	case SOURCE_DOCKER:
		r = import_packed(im, err);
		break;
	case SOURCE_TARBALL:
		r = import_tarball(im, err);
		break;
	case SOURCE_TREE:
		r = check_store_outside(im, err);
		if (r == 0)
			r = import_tree(im, err);
		break;
	}
	show_progress(im, true);
	return r < 0 ? r : publish(im, err);
}

int image_import(const struct import_options *o, struct import_result *ret, struct error *err)
{
	struct import_result result = { 0 };
	struct import im = {
		.o = o, .work = WORK_EMPTY, .source.fd = -1, .limits = o->limits, .result = &result,
	};
	sigset_t stop;
	int r = image_name_check(o->name, err);

	if (r == 0)
		r = work_begin(o->store, &im.work, err);
	if (r < 0)
		return work_explain(o->store, err);
	(void)sigemptyset(&stop); /* cannot fail on valid numbers, nor can the next */
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	(void)image_load(o->store, o->name, &im.old, NULL); /* none, or one that cannot be read: then it is replaced */
	r = import(&im, err);
	work_release(&im.work);
	source_release(&im.source);
	manifest_release(&im.manifest);
	record_release(&image_type, &im.old);
	strv_free(im.lowers);
	if (r < 0) {
		record_release(&image_type, &result.image);
		return work_explain(o->store, err);
	}
	*ret = result;
	return 0;
}
