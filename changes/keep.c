/* SPDX-License-Identifier: Apache-2.0 */
/* The list and what was made, in a folder of the user's. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "changes/changes.h"
#include "changes/tree.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/json.h"
#include "runtime/base/path.h"

/* Makes folder and its parents beneath fd. Its descriptor or -errno. */
static int make_below(int fd, const char *folder)
{
	_cleanup_free_ char *path = xstrdup(folder);

	for (char *at = path; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (*path && mkdirat(fd, path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	if (mkdirat(fd, path, 0755) < 0 && errno != EEXIST)
		return -errno;
	return path_open_beneath(fd, path, O_PATH | O_DIRECTORY, 0);
}

/* For the kept tree all that is there was made, and nothing removed; parents that the list has not are made. */
static struct changes as_made(const struct changes *c)
{
	struct changes made = *c;

	made.list = xcalloc(c->n + 1, sizeof *made.list);
	made.n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].kind != CHANGE_DELETED && *c->list[i].path) {
			made.list[made.n] = c->list[i]; /* its strings stay the other's */
			made.list[made.n++].kind = CHANGE_CREATED;
		}
	return made;
}

/* Those of folders in the list too: to apply it does not mind. */
static int make_parents(const struct changes *made, const int *roots, struct error *err)
{
	_cleanup_free_ char *last = NULL;

	for (size_t i = 0; i < made->n; i++) {
		const struct change *e = &made->list[i];
		const char *slash = strrchr(e->path, '/');
		_cleanup_free_ char *folder = slash ? xstrndup(e->path, (size_t)(slash - e->path)) : NULL;
		_cleanup_close_ int fd = -1;

		if (!folder || (last && !strcmp(last, folder)))
			continue;
		fd = make_below(roots[e->nth], folder);
		if (fd < 0)
			return error_set(err, -fd, "cannot make the folder %s: %s", folder, strerror(-fd));
		free(last);
		last = steal_ptr(folder);
	}
	return 0;
}

static int write_list(const struct changes *c, char *const *places, int dir, struct error *err)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;
	size_t len;

	json_begin_object(w, NULL);
	json_put_bool(w, "complete", c->complete);
	json_begin_array(w, "changes");
	for (size_t i = 0; i < c->n; i++) {
		const struct change *e = &c->list[i];
		_cleanup_free_ char *path = change_path(e, places);

		json_begin_object(w, NULL);
		json_put_string(w, "path", path);
		json_put_string(w, "change", change_kind_name(e->kind));
		json_put_string(w, "type", change_type_name(e->kind == CHANGE_DELETED ? e->real_type : e->type));
		json_put_uint(w, "size", e->size);
		json_put_uint(w, "mode", e->mode);
		if (e->target)
			json_put_string(w, "target", e->target);
		json_end(w);
	}
	json_end(w);
	json_end(w);
	text = json_writer_finish(w, &len);
	return file_write_atomic(dir, "changes.json", text, len, 0644, err);
}

static int keep_files(const struct changes *c, char *const *places, int files, struct error *err)
{
	size_t n = strv_len(places), done = 0;
	_cleanup_free_ int *roots = xcalloc(n + 1, sizeof *roots);
	struct changes made = as_made(c);
	int r = 0;
	size_t i = 0;

	for (; r == 0 && i < n; i++) {
		roots[i] = make_below(files, places[i] + 1);
		if (roots[i] < 0) {
			r = error_set(
				err, -roots[i], "cannot make the folder of %s: %s", places[i], strerror(-roots[i]));
			break;
		}
	}
	if (r == 0)
		r = make_parents(&made, roots, err);
	if (r == 0)
		r = changes_apply(&made, roots, &done, err);
	while (i-- > 0)
		close_cleanup(&roots[i]);
	free(made.list);
	return r;
}

int changes_keep(const struct changes *c, char *const *places, const char *dir, struct error *err)
{
	_cleanup_close_ int fd = -1, files = -1;
	int r;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return error_sys(err, "--keep %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || mkdirat(fd, "files", 0755) < 0)
		return error_sys(err, "--keep %s", dir);
	files = openat(fd, "files", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = files < 0 ? error_sys(err, "files") : write_list(c, places, fd, err);
	if (r == 0)
		r = keep_files(c, places, files, err);
	return r < 0 ? error_prefix(err, "--keep %s", dir) : 0;
}
