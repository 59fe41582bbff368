/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image layouts: from index.json to one verified manifest (OCI image specification 1.1). */
#include <errno.h>
#include <string.h>

#include "images/digest.h"
#include "images/manifest.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/base/strbuf.h"

#define INDEX_DEPTH_MAX 4
#define REF_ANNOTATION  "org.opencontainers.image.ref.name"

enum media { MEDIA_UNKNOWN, MEDIA_INDEX, MEDIA_MANIFEST, MEDIA_CONFIG, MEDIA_LAYER };

/* How a layer is compressed is seen from its bytes, so that the types need no further distinction. */
static const struct {
	const char *name;
	enum media media;
} media_types[] = {
	{ "application/vnd.oci.image.index.v1+json", MEDIA_INDEX },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", MEDIA_INDEX },
	{ "application/vnd.oci.image.manifest.v1+json", MEDIA_MANIFEST },
	{ "application/vnd.docker.distribution.manifest.v2+json", MEDIA_MANIFEST },
	{ "application/vnd.oci.image.config.v1+json", MEDIA_CONFIG },
	{ "application/vnd.docker.container.image.v1+json", MEDIA_CONFIG },
	{ "application/vnd.oci.image.layer.v1.tar", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MEDIA_LAYER },
};

static enum media media_of(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(media_types); i++) {
		if (strcmp(media_types[i].name, name) == 0)
			return media_types[i].media;
	}
	return MEDIA_UNKNOWN;
}

/* Checks a descriptor's fields and gives its blob's name, digest and size. */
static int read_descriptor(const struct json *j, const char *doc, enum media want, struct manifest_layer *ret,
		struct error *err)
{
	const char *digest = json_string(j, "digest"), *type = json_string(j, "mediaType");
	const struct json *size = json_get(j, "size");
	char where[128];

	(void)json_path(j, where, sizeof where);
	if (!digest || !digest_valid(digest))
		return error_set(err, EINVAL, "%s: %s.digest: missing or not a sha256 or sha512 digest", doc, where);
	if (!size || size->type != JSON_INT || size->integer < 0)
		return error_set(err, EINVAL, "%s: %s.size: missing or not a size", doc, where);
	if (want != MEDIA_UNKNOWN && media_of(type) != want)
		return error_set(err, ENOTSUP, "%s: %s.mediaType: \"%s\" is not supported", doc, where,
			type ? type : "");
	ret->digest = xstrdup(digest);
	ret->size_bytes = (uint64_t)size->integer;
	ret->blob = xasprintf("blobs/%.6s/%s", digest, digest_hex(digest));
	return 0;
}

/* Reads the small blob that a descriptor points to and verifies it. */
static int read_blob(const struct blobs *b, const struct json *descriptor, const char *doc, enum media want, char **ret,
		size_t *ret_len, char **ret_digest, struct error *err)
{
	_cleanup_free_ char *text = NULL, *actual = NULL;
	struct manifest_layer d = { 0 };
	size_t len = 0;
	int r = read_descriptor(descriptor, doc, want, &d, err);

	if (r == 0)
		r = blob_read_text(b, d.blob, MANIFEST_TEXT_MAX, &text, &len, err);
	if (r == 0 && len != d.size_bytes)
		r = error_set(err, EBADMSG, "%s: blob %s has %zu bytes instead of %llu", b->shown, d.digest, len,
			(unsigned long long)d.size_bytes);
	if (r == 0) {
		actual = digest_of(text, len, d.digest);
		if (strcmp(actual, d.digest) != 0)
			r = error_set(err, EBADMSG, "%s: blob %s has the digest %s", b->shown, d.digest, actual);
	}
	if (r == 0) {
		*ret = steal_ptr(text);
		*ret_len = len;
		*ret_digest = steal_ptr(d.digest);
	}
	free(d.blob);
	free(d.digest);
	return r;
}

static const char *ref_of(const struct json *descriptor)
{
	return json_string(json_get(descriptor, "annotations"), REF_ANNOTATION);
}

/* "a, b" of what the index has: refs, or platforms. */
static void list_choices(const struct json *list, bool refs, struct strbuf *out)
{
	json_foreach(item, list) {
		const struct json *platform = json_get(item, "platform");
		const char *os = json_string(platform, "os"), *arch = json_string(platform, "architecture");
		const char *ref = ref_of(item);

		if (refs ? !ref : !os || !arch)
			continue;
		if (out->len)
			strbuf_puts(out, ", ");
		if (refs)
			strbuf_puts(out, ref);
		else
			strbuf_printf(out, "%s/%s", os, arch);
	}
	if (!out->len)
		strbuf_puts(out, "none");
}

static bool for_us(const struct json *descriptor)
{
	const struct json *platform = json_get(descriptor, "platform");
	const char *os = json_string(platform, "os"), *arch = json_string(platform, "architecture");

	return (!os || !strcmp(os, "linux")) && (!arch || !*arch || !strcmp(arch, platform_architecture()));
}

/* Chooses the one descriptor of an index. In the outermost index (top) an image has a name. */
static int choose(const struct json *index, const char *doc, const char *ref, bool top, const struct json **ret,
		struct error *err)
{
	const struct json *list = json_get(index, "manifests"), *found = NULL;
	_cleanup_strbuf_ struct strbuf choices = { 0 };
	bool named = false;

	json_foreach(item, list) {
		enum media media = media_of(json_string(item, "mediaType"));

		if (ref && (!ref_of(item) || strcmp(ref_of(item), ref) != 0))
			continue;
		named = true;
		if ((media != MEDIA_INDEX && media != MEDIA_MANIFEST) || !for_us(item))
			continue;
		if (found && top && !ref) {
			list_choices(list, true, &choices);
			return error_set(err, EINVAL, "%s has several images: name one by :REF (%s)", doc,
				choices.text);
		}
		if (!found)
			found = item;
	}
	if (ref && !named) {
		list_choices(list, true, &choices);
		return error_set(err, ENOENT, "%s has no image \"%s\" (it has: %s)", doc, ref, choices.text);
	}
	if (!found) {
		list_choices(list, false, &choices);
		return error_set(err, ENOENT, "%s has no image for linux/%s (it has: %s)", doc, platform_architecture(),
			choices.text);
	}
	*ret = found;
	return 0;
}

static int read_layers(const struct json *manifest, const char *doc, struct manifest *m, struct error *err)
{
	const struct json *layers = json_get(manifest, "layers");

	if (!layers || layers->type != JSON_ARRAY || layers->n_items == 0)
		return error_set(err, EINVAL, "%s: layers: none", doc);
	if (layers->n_items > MANIFEST_LAYERS_MAX)
		return error_set(err, E2BIG, "%s: more than %d layers", doc, MANIFEST_LAYERS_MAX);
	m->layers = xcalloc(layers->n_items, sizeof *m->layers);
	json_foreach(item, layers) {
		int r = read_descriptor(item, doc, MEDIA_LAYER, &m->layers[m->n_layers], err);

		if (r < 0)
			return r;
		m->n_layers++;
	}
	return 0;
}

static int read_manifest(const struct blobs *b, struct manifest *m, struct error *err)
{
	_cleanup_free_ char *doc = xasprintf("%s: manifest %.19s", b->shown, m->digest);
	_cleanup_json_ struct json *j = NULL;
	const struct json *config;
	int r = json_parse(m->text, m->text_len, doc, &j, err);

	if (r < 0)
		return r;
	config = json_get(j, "config");
	if (!config)
		return error_set(err, ENOTSUP, "%s: config: missing (docker's schema 1 is not supported)", doc);
	r = read_blob(b, config, doc, MEDIA_CONFIG, &m->config, &m->config_len, &m->config_digest, err);
	return r < 0 ? r : read_layers(j, doc, m, err);
}

int oci_manifest_read(const struct blobs *b, const char *ref, struct manifest *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL, *doc = xasprintf("%s: index.json", b->shown);
	struct manifest m = { 0 };
	size_t len;
	int r = blob_read_text(b, "index.json", MANIFEST_TEXT_MAX, &text, &len, err);

	for (int depth = 0; r == 0; depth++) {
		_cleanup_json_ struct json *index = NULL;
		const struct json *chosen = NULL;
		enum media media = MEDIA_UNKNOWN;

		if (depth > INDEX_DEPTH_MAX) {
			r = error_set(err, ELOOP, "%s: indexes within indexes", b->shown);
			break;
		}
		r = json_parse(text, len, doc, &index, err);
		if (r == 0)
			r = choose(index, doc, depth ? NULL : ref, depth == 0, &chosen, err);
		if (r < 0)
			break;
		media = media_of(json_string(chosen, "mediaType"));
		free(steal_ptr(m.text));
		free(steal_ptr(m.digest));
		r = read_blob(b, chosen, doc, MEDIA_UNKNOWN, &m.text, &m.text_len, &m.digest, err);
		if (r < 0 || media == MEDIA_MANIFEST)
			break;
		free(text);
		text = xmemdup(m.text, m.text_len);
		len = m.text_len;
	}
	if (r == 0)
		r = read_manifest(b, &m, err);
	if (r < 0)
		manifest_release(&m);
	else
		*ret = m;
	return r;
}
