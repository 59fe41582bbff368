/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations, read and written (OCI image specification: config), and manifests for images without one. */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "images/digest.h"
#include "images/manifest.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"

#define STRINGS_MAX 10000

const char *platform_architecture(void)
{
	static const struct {
		const char *machine, *oci;
	} names[] = {
		{ "x86_64", "amd64" },	 { "aarch64", "arm64" },     { "riscv64", "riscv64" },
		{ "ppc64le", "ppc64le" }, { "s390x", "s390x" },
	};
	struct utsname u;

	for (size_t i = 0; uname(&u) == 0 && i < ARRAY_LEN(names); i++) {
		if (strcmp(u.machine, names[i].machine) == 0)
			return names[i].oci;
	}
	return "unknown";
}

/* An array of strings, or null or nothing. */
static int read_strings(const struct json *object, const char *key, char ***ret, struct error *err)
{
	const struct json *j = json_get(object, key);
	char where[128];

	if (!j || j->type == JSON_NULL)
		return 0;
	(void)json_path(j, where, sizeof where);
	if (j->type != JSON_ARRAY)
		return error_set(err, EINVAL, "%s: not an array of strings", where);
	if (j->n_items > STRINGS_MAX)
		return error_set(err, E2BIG, "%s: more than %d strings", where, STRINGS_MAX);
	json_foreach(item, j) {
		if (item->type != JSON_STRING)
			return error_set(err, EINVAL, "%s: not an array of strings", where);
		strv_push(ret, xstrdup(item->string));
	}
	return 0;
}

static char *read_string(const struct json *object, const char *key)
{
	const char *s = json_string(object, key);

	return s && *s ? xstrdup(s) : NULL;
}

/* The plan wants an absolute folder. */
static char *absolute(const char *dir)
{
	return !dir || !*dir ? NULL : *dir == '/' ? xstrdup(dir) : xasprintf("/%s", dir);
}

static int read_diff_ids(const struct json *doc, struct manifest *m, struct error *err)
{
	const struct json *ids = json_get(json_get(doc, "rootfs"), "diff_ids");
	size_t n = ids && ids->type == JSON_ARRAY ? ids->n_items : 0;

	if (n != m->n_layers)
		return error_set(err, EINVAL, "rootfs.diff_ids: %zu for %zu layers", n, m->n_layers);
	for (size_t i = 0; i < n; i++) {
		const struct json *id = ids->items[i];

		if (id->type != JSON_STRING || !digest_valid(id->string))
			return error_set(err, EINVAL, "rootfs.diff_ids[%zu]: not a digest", i);
		free(m->layers[i].diff_id);
		m->layers[i].diff_id = xstrdup(id->string);
	}
	return 0;
}

static int read_config(const struct json *doc, struct manifest *m, struct image *image, struct error *err)
{
	const struct json *config = json_get(doc, "config");
	const char *os = json_string(doc, "os"), *arch = json_string(doc, "architecture");
	int r;

	if (os && *os && strcmp(os, "linux") != 0)
		return error_set(err, ENOTSUP, "os: the image is for %s, not linux", os);
	if (arch && *arch && strcmp(arch, platform_architecture()) != 0)
		return error_set(err, ENOTSUP, "architecture: the image is for linux/%s, this host is linux/%s", arch,
			platform_architecture());
	r = read_diff_ids(doc, m, err);
	if (r == 0)
		r = read_strings(config, "Env", &image->env, err);
	if (r == 0)
		r = read_strings(config, "Entrypoint", &image->entrypoint, err);
	if (r == 0)
		r = read_strings(config, "Cmd", &image->command, err);
	if (r < 0)
		return r;
	image->architecture = xstrdup(platform_architecture());
	image->cwd = absolute(json_string(config, "WorkingDir"));
	image->user = read_string(config, "User");
	image->stop_signal = read_string(config, "StopSignal");
	return 0;
}

int manifest_read_config(struct manifest *m, struct image *image, struct error *err)
{
	_cleanup_free_ char *name = xasprintf("image configuration %.19s", m->config_digest);
	_cleanup_json_ struct json *doc = NULL;
	struct image read = { 0 };
	int r = json_parse(m->config, m->config_len, name, &doc, err);

	if (r < 0)
		return r;
	r = read_config(doc, m, &read, err);
	if (r < 0) {
		record_release(&image_type, &read);
		return error_prefix(err, "%s", name);
	}
	*image = read;
	return 0;
}

static void write_strings(struct json_writer *w, const char *key, char *const *v)
{
	if (!v)
		return;
	json_begin_array(w, key);
	strv_foreach(s, v)
		json_put_string(w, NULL, s);
	json_end(w);
}

static void write_config(struct manifest *m, const struct image *image)
{
	struct json_writer *w = json_writer_new(true);

	json_begin_object(w, NULL);
	json_put_string(w, "architecture", image->architecture);
	json_put_string(w, "os", "linux");
	json_begin_object(w, "config");
	write_strings(w, "Env", image->env);
	write_strings(w, "Entrypoint", image->entrypoint);
	write_strings(w, "Cmd", image->command);
	if (image->cwd)
		json_put_string(w, "WorkingDir", image->cwd);
	if (image->user)
		json_put_string(w, "User", image->user);
	if (image->stop_signal)
		json_put_string(w, "StopSignal", image->stop_signal);
	json_end(w);
	json_begin_object(w, "rootfs");
	json_put_string(w, "type", "layers");
	json_begin_array(w, "diff_ids");
	for (size_t i = 0; i < m->n_layers; i++)
		json_put_string(w, NULL, m->layers[i].diff_id);
	json_end(w);
	json_end(w);
	json_end(w);
	m->config = json_writer_finish(w, &m->config_len);
	m->config_digest = digest_of(m->config, m->config_len, NULL);
}

static void write_descriptor(struct json_writer *w, const char *key, const char *media_type, const char *digest,
		uint64_t size)
{
	json_begin_object(w, key);
	json_put_string(w, "mediaType", media_type);
	json_put_string(w, "digest", digest);
	json_put_uint(w, "size", size);
	json_end(w);
}

void manifest_compose(struct manifest *m, const struct image *image, const char *media_type)
{
	struct json_writer *w;

	if (!m->config)
		write_config(m, image);
	w = json_writer_new(true);
	json_begin_object(w, NULL);
	json_put_int(w, "schemaVersion", 2);
	json_put_string(w, "mediaType", "application/vnd.oci.image.manifest.v1+json");
	write_descriptor(w, "config", "application/vnd.oci.image.config.v1+json", m->config_digest, m->config_len);
	json_begin_array(w, "layers");
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct manifest_layer *layer = &m->layers[i];

		write_descriptor(w, NULL, media_type, layer->digest ? layer->digest : layer->diff_id,
			layer->size_bytes);
	}
	json_end(w);
	json_end(w);
	m->text = json_writer_finish(w, &m->text_len);
	m->digest = digest_of(m->text, m->text_len, NULL);
}

/* ["a","b"], or text for the shell. */
static int parse_command(const char *value, char ***ret, struct error *err)
{
	_cleanup_json_ struct json *j = NULL;
	_cleanup_strv_ char **v = NULL;
	int r;

	if (*value == '[') {
		r = json_parse(value, strlen(value), "--change", &j, err);
		if (r < 0)
			return r;
		json_foreach(item, j) {
			if (item->type != JSON_STRING)
				return error_set(err, EINVAL, "--change: not an array of strings: %s", value);
			strv_push(&v, xstrdup(item->string));
		}
	} else {
		strv_push(&v, xstrdup("/bin/sh"));
		strv_push(&v, xstrdup("-c"));
		strv_push(&v, xstrdup(value));
	}
	strv_free(*ret);
	*ret = steal_ptr(v);
	return 0;
}

/* "K=V" or "K V"; a later one of the same name takes the place of the earlier. */
static int change_env(struct image *image, const char *value, struct error *err)
{
	size_t len = strcspn(value, "= ");
	char *entry;

	if (len == 0 || !value[len])
		return error_set(err, EINVAL, "--change: ENV wants NAME=VALUE: %s", value);
	entry = xasprintf("%.*s=%s", (int)len, value, value + len + 1);
	for (char **e = image->env; e && *e; e++) {
		if (strncmp(*e, entry, len + 1) == 0) {
			free(*e);
			*e = entry;
			return 0;
		}
	}
	strv_push(&image->env, entry);
	return 0;
}

static void set_string(char **field, char *owned)
{
	free(*field);
	*field = owned;
}

int image_apply_change(struct image *image, const char *change, struct error *err)
{
	size_t len = strcspn(change, " \t=");
	const char *value = change + len + strspn(change + len, " \t=");
	_cleanup_free_ char *word = xstrndup(change, len);

	if (!*value)
		return error_set(err, EINVAL, "--change: wants INSTRUCTION VALUE: %s", change);
	if (!strcasecmp(word, "CMD"))
		return parse_command(value, &image->command, err);
	if (!strcasecmp(word, "ENTRYPOINT"))
		return parse_command(value, &image->entrypoint, err);
	if (!strcasecmp(word, "ENV"))
		return change_env(image, value, err);
	if (!strcasecmp(word, "WORKDIR"))
		set_string(&image->cwd, absolute(value));
	else if (!strcasecmp(word, "USER"))
		set_string(&image->user, xstrdup(value));
	else if (!strcasecmp(word, "STOPSIGNAL"))
		set_string(&image->stop_signal, xstrdup(value));
	else
		return error_set(err, EINVAL,
			"--change: \"%s\" is none of CMD ENTRYPOINT ENV WORKDIR USER STOPSIGNAL", word);
	return 0;
}

void manifest_release(struct manifest *m)
{
	for (size_t i = 0; i < m->n_layers; i++) {
		free(m->layers[i].blob);
		free(m->layers[i].digest);
		free(m->layers[i].diff_id);
	}
	free(m->layers);
	free(m->digest);
	free(m->text);
	free(m->config_digest);
	free(m->config);
	*m = (struct manifest){ 0 };
}
