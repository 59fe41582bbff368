/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of `docker save` and `podman save`: manifest.json names a configuration and layers, each a file in it. */
#include <errno.h>
#include <string.h>

#include "images/digest.h"
#include "images/manifest.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/base/strbuf.h"

/* "docker.io/library/busybox", "busybox" and "busybox:latest" are one. The caller frees it. */
static char *plain_tag(const char *tag)
{
	static const char *const defaults[] = { "docker.io/", "library/" };

	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		if (strncmp(tag, defaults[i], strlen(defaults[i])) == 0)
			tag += strlen(defaults[i]);
	}
	return image_name_full(tag);
}

static bool has_tag(const struct json *item, const char *ref)
{
	_cleanup_free_ char *wanted = plain_tag(ref);

	json_foreach(tag, json_get(item, "RepoTags")) {
		_cleanup_free_ char *name = tag->type == JSON_STRING ? plain_tag(tag->string) : NULL;

		if (name && strcmp(name, wanted) == 0)
			return true;
	}
	return false;
}

static void list_tags(const struct json *list, struct strbuf *out)
{
	json_foreach(item, list) {
		json_foreach(tag, json_get(item, "RepoTags")) {
			if (tag->type == JSON_STRING)
				strbuf_printf(out, "%s%s", out->len ? ", " : "", tag->string);
		}
	}
	if (!out->len)
		strbuf_puts(out, "none");
}

static int choose(const struct json *list, const char *shown, const char *ref, const struct json **ret,
		struct error *err)
{
	_cleanup_strbuf_ struct strbuf tags = { 0 };

	list_tags(list, &tags);
	if (!ref) {
		if (list->type == JSON_ARRAY && list->n_items == 1) {
			*ret = list->items[0];
			return 0;
		}
		return error_set(err, EINVAL, "%s has %zu images: name one by :NAME:TAG (%s)", shown, list->n_items,
			tags.text);
	}
	json_foreach(item, list) {
		if (has_tag(item, ref)) {
			*ret = item;
			return 0;
		}
	}
	return error_set(err, ENOENT, "%s has no image \"%s\" (it has: %s)", shown, ref, tags.text);
}

/* A configuration is called by its digest, "<hex>.json" or "blobs/sha256/<hex>": then it must have it. */
static int check_config(const char *shown, const char *name, const struct manifest *m, struct error *err)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	size_t len = strspn(base, "0123456789abcdef");

	if (len == 64 && strncmp(base, digest_hex(m->config_digest), 64) != 0)
		return error_set(err, EBADMSG, "%s: configuration %s has the digest %s", shown, name, m->config_digest);
	return 0;
}

static int read_layers(const struct blobs *b, const struct json *layers, struct manifest *m, struct error *err)
{
	if (!layers || layers->type != JSON_ARRAY || layers->n_items == 0)
		return error_set(err, EINVAL, "%s: manifest.json: Layers: none", b->shown);
	if (layers->n_items > MANIFEST_LAYERS_MAX)
		return error_set(err, E2BIG, "%s: manifest.json: more than %d layers", b->shown, MANIFEST_LAYERS_MAX);
	m->layers = xcalloc(layers->n_items, sizeof *m->layers);
	json_foreach(item, layers) {
		_cleanup_blob_ struct blob *blob = NULL;
		struct manifest_layer *layer = &m->layers[m->n_layers];
		int r;

		if (item->type != JSON_STRING)
			return error_set(err, EINVAL, "%s: manifest.json: Layers: not strings", b->shown);
		r = blob_open(b, item->string, &blob, err);
		if (r < 0)
			return r;
		layer->blob = xstrdup(item->string);
		layer->size_bytes = blob_size(blob);
		m->n_layers++;
	}
	return 0;
}

static int read_item(const struct blobs *b, const struct json *item, struct manifest *m, struct error *err)
{
	const char *config = json_string(item, "Config");
	struct image image = { 0 };
	int r;

	if (!config)
		return error_set(err, EINVAL, "%s: manifest.json: Config: missing", b->shown);
	r = blob_read_text(b, config, MANIFEST_TEXT_MAX, &m->config, &m->config_len, err);
	if (r < 0)
		return r;
	m->config_digest = digest_of(m->config, m->config_len, NULL);
	r = check_config(b->shown, config, m, err);
	if (r == 0)
		r = read_layers(b, json_get(item, "Layers"), m, err);
	if (r == 0)
		r = manifest_read_config(m, &image, err);
	if (r == 0)
		manifest_compose(m, &image, "application/vnd.oci.image.layer.v1.tar");
	record_release(&image_type, &image);
	return r;
}

int docker_manifest_read(const struct blobs *b, const char *ref, struct manifest *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL, *doc = xasprintf("%s: manifest.json", b->shown);
	_cleanup_json_ struct json *list = NULL;
	const struct json *item = NULL;
	struct manifest m = { 0 };
	size_t len;
	int r = blob_read_text(b, "manifest.json", MANIFEST_TEXT_MAX, &text, &len, err);

	if (r == 0)
		r = json_parse(text, len, doc, &list, err);
	if (r == 0)
		r = choose(list, b->shown, ref, &item, err);
	if (r == 0)
		r = read_item(b, item, &m, err);
	if (r < 0)
		manifest_release(&m);
	else
		*ret = m;
	return r;
}
