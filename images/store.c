/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading side of the store: where it is, what an image is called and what a launch needs to know of it. Part of
 * the launcher, hence lean: one small JSON file is read, no archive or digest library is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/base/path.h"
#include "runtime/base/userns.h"

#define IMAGE_FILE_MAX (1024 * 1024)
#define NAME_LEN_MAX   200
#define FILE_NAME_MAX  255 /* of any Linux file system */

#define F(k, t, member) .key = k, .kind = t, .offset = offsetof(struct image, member)
static const struct field image_fields[] = {
	{ F("name", FIELD_STRING, name), .required = true },
	{ F("digest", FIELD_STRING, digest), .required = true },
	{ F("layers", FIELD_STRINGS, layers), .required = true },
	{ F("env", FIELD_STRINGS, env) },
	{ F("entrypoint", FIELD_STRINGS, entrypoint) },
	{ F("command", FIELD_STRINGS, command) },
	{ F("cwd", FIELD_STRING, cwd) },
	{ F("user", FIELD_STRING, user) },
	{ F("stop_signal", FIELD_STRING, stop_signal) },
	{ F("architecture", FIELD_STRING, architecture) },
	{ F("size_bytes", FIELD_UINT, size_bytes) },
	{ F("created_ns", FIELD_UINT, created_ns) },
	{ .key = NULL },
};
#undef F
const struct record_type image_type = { "image", sizeof(struct image), image_fields };

static char *absolute(const char *dir)
{
	_cleanup_free_ char *cwd = NULL;

	if (*dir == '/')
		return xstrdup(dir);
	cwd = getcwd(NULL, 0);
	return xasprintf("%s/%s", cwd ? cwd : "", dir);
}

static const char *env_get(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* Root of a user's own namespace (podman's, without root) is that user: the host's folders are not his. */
static bool is_host_root(void)
{
	return geteuid() == 0 && !(env_get("XDG_RUNTIME_DIR") && userns_is_nested());
}

char *store_dir(void)
{
	const char *dir = env_get("BIVALVE_STORE");

	if (dir)
		return absolute(dir);
	if (is_host_root())
		return xstrdup("/var/lib/bivalve");
	dir = env_get("XDG_DATA_HOME");
	if (dir && *dir == '/') /* a relative one is to be ignored: XDG base directory specification */
		return xasprintf("%s/bivalve", dir);
	dir = env_get("HOME");
	/* Without a home there is no good place; root's gives an error that names it. */
	return dir ? xasprintf("%s/.local/share/bivalve", dir) : xstrdup("/var/lib/bivalve");
}

char *store_run_dir(void)
{
	const char *dir = env_get("BIVALVE_RUN");

	if (dir)
		return absolute(dir);
	if (is_host_root())
		return xstrdup("/run/bivalve");
	dir = env_get("XDG_RUNTIME_DIR");
	return dir && *dir == '/' ? xasprintf("%s/bivalve", dir)
				  : xasprintf("/run/user/%u/bivalve", (unsigned)geteuid());
}

int store_lock(const char *store, bool exclusive, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/lock", store);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_sys(err, "cannot open the store's lock %s", path);
	while (flock(fd, exclusive ? LOCK_EX : LOCK_SH) < 0) {
		if (errno != EINTR)
			return error_sys(err, "cannot lock %s", path);
	}
	return steal_fd(&fd);
}

int store_make_file(const char *store, const char *final, mode_t folder_mode, mode_t mode, store_write_fn write,
		const void *what, struct error *err)
{
	_cleanup_free_ char *folder = xstrndup(final, (size_t)(strrchr(final, '/') - final));
	_cleanup_free_ char *tmp_dir = xasprintf("%s/tmp", store), *tmp = xasprintf("%s/file.XXXXXX", tmp_dir);
	_cleanup_close_ int fd = -1, lock = -1;
	int r = path_mkdirs(folder, folder_mode, err);

	if (r == 0)
		r = path_mkdirs(tmp_dir, 0700, err);
	if (r == 0)
		r = lock = store_lock(store, false, err);
	if (r < 0)
		return r;
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, "cannot make a file in %s", tmp_dir);
	r = write(fd, tmp, what, err);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = error_sys(err, "cannot set the mode of %s", tmp);
	if (r == 0 && rename(tmp, final) < 0)
		r = error_sys(err, "cannot rename %s to %s", tmp, final);
	if (r < 0)
		(void)unlink(tmp); /* the first error is the one to tell */
	return r;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._/:@-", c));
}

int image_name_check(const char *name, struct error *err)
{
	size_t len = strlen(name), file_len;

	if (len == 0)
		return error_set(err, EINVAL, "image name: empty");
	if (len > NAME_LEN_MAX)
		return error_set(err, EINVAL, "image name: longer than %d characters", NAME_LEN_MAX);
	if (!name_char(*name) || strchr("._/:@-", *name))
		return error_set(err, EINVAL, "image name \"%.80s\": must start with a letter or a digit", name);
	file_len = len + strlen(":latest") + strlen(".json");
	for (const char *c = name; *c; c++) {
		if (!name_char(*c))
			return error_set(err, EINVAL, "image name \"%.80s\": only letters, digits and . _ / : @ - are "
					"allowed", name);
		file_len += *c == '/' || *c == ':' ? 2 : 0;
	}
	if (strstr(name, "..") || strstr(name, "//"))
		return error_set(err, EINVAL, "image name \"%s\": \"..\" and \"//\" are not allowed", name);
	if (strchr("/:@", name[len - 1]))
		return error_set(err, EINVAL, "image name \"%s\": must not end with \"%c\"", name, name[len - 1]);
	if (file_len + 2 > FILE_NAME_MAX)
		return error_set(err, EINVAL, "image name \"%s\": too many \"/\" and \":\"", name);
	return 0;
}

char *image_name_full(const char *name)
{
	const char *slash = strrchr(name, '/');

	if (strchr(name, '@') || strchr(slash ? slash : name, ':'))
		return xstrdup(name);
	return xasprintf("%s:latest", name);
}

char *image_file_name(const char *name)
{
	_cleanup_free_ char *full = image_name_full(name);
	char *file = xcalloc(3 * strlen(full) + sizeof ".json", 1), *to = file; /* at most three characters for one */

	for (const char *c = full; *c; c++) {
		if (*c == '/' || *c == ':')
			to += sprintf(to, "%%%02X", (unsigned)*c);
		else
			*to++ = *c;
	}
	strcpy(to, ".json");
	return file;
}

bool digest_valid(const char *text)
{
	size_t hex_len;

	if (strncmp(text, "sha256:", 7) == 0)
		hex_len = 64;
	else if (strncmp(text, "sha512:", 7) == 0)
		hex_len = 128;
	else
		return false;
	return strlen(text + 7) == hex_len && strspn(text + 7, "0123456789abcdef") == hex_len;
}

const char *digest_hex(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

/* Digests become paths: none is taken on trust. */
static int check_digests(const struct image *image, const char *file, struct error *err)
{
	if (!digest_valid(image->digest))
		return error_set(err, EINVAL, "%s: digest: not a digest", file);
	if (!image->layers || !image->layers[0])
		return error_set(err, EINVAL, "%s: layers: none", file);
	for (size_t i = 0; image->layers[i]; i++) {
		if (!digest_valid(image->layers[i]))
			return error_set(err, EINVAL, "%s: layers[%zu]: not a digest", file, i);
	}
	return 0;
}

int image_load(const char *store, const char *name, struct image *ret, struct error *err)
{
	_cleanup_free_ char *file = NULL, *path = NULL;
	_cleanup_json_ struct json *doc = NULL;
	struct image image = { 0 };
	int r;

	r = image_name_check(name, err);
	if (r < 0)
		return r;
	file = image_file_name(name);
	path = xasprintf("%s/images/%s", store, file);
	r = json_parse_file(AT_FDCWD, path, IMAGE_FILE_MAX, &doc, err);
	if (r == -ENOENT)
		return error_set(err, ENOENT, "no image \"%s\" in %s: import one with `bivalve image import SOURCE %s`",
			name, store, name);
	if (r < 0)
		return r;
	r = record_read(doc, &image_type, &image, err);
	if (r < 0)
		return r;
	r = check_digests(&image, path, err);
	if (r < 0) {
		record_release(&image_type, &image);
		return r;
	}
	*ret = image;
	return 0;
}

char *image_layer_path(const char *store, const char *diff_id)
{
	return xasprintf("%s/layers/%s", store, digest_hex(diff_id));
}

char *image_disk_path(const char *store, const char *digest)
{
	return xasprintf("%s/disks/%s.erofs", store, digest_hex(digest));
}
