/* SPDX-License-Identifier: Apache-2.0 */
/* From a SOURCE as the user wrote it to an open folder or file of a known kind. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "images/entry_path.h"
#include "images/source.h"
#include "images/stream.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"

#define MEMBERS_MAX 100000

static const struct prefix {
	const char *text;
	enum source_kind kind;
	bool is_archive;
} prefixes[] = {
	{ "oci:", SOURCE_OCI, false },
	{ "oci-archive:", SOURCE_OCI, true },
	{ "docker-archive:", SOURCE_DOCKER, true },
};

/*
 * Splits PATH[:REF]. Both may hold colons: the shortest PATH that exists counts, if the whole text is none.
 * *ret_ref is NULL without a REF.
 */
static int split_ref(const char *text, char **ret_path, char **ret_ref, struct error *err)
{
	if (access(text, F_OK) == 0) {
		*ret_path = xstrdup(text);
		return 0;
	}
	for (const char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':')) {
		_cleanup_free_ char *path = xstrndup(text, (size_t)(colon - text));

		if (*path && colon[1] && access(path, F_OK) == 0) {
			*ret_path = steal_ptr(path);
			*ret_ref = xstrdup(colon + 1);
			return 0;
		}
	}
	return error_set(err, ENOENT, "%s: no such file or directory", text);
}

/* Whether the first component of a member's name occurs in an image archive. Most root file systems fail at once. */
static bool image_archive_name(const char *path)
{
	static const char *const known[] = { "blobs", "index.json", "oci-layout", "manifest.json", "repositories" };
	size_t len = strcspn(path, "/");

	if (len == 0)
		return true; /* "./" */
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strlen(known[i]) == len && strncmp(path, known[i], len) == 0)
			return true;
	}
	return strspn(path, "0123456789abcdef") == 64; /* "<hex>.json", "<hex>/layer.tar" */
}

/* Looks into a tar, compressed or not, for the files that tell what it is. */
static enum source_kind probe_tar(struct archive *a)
{
	enum source_kind kind = SOURCE_TARBALL;
	char path[ENTRY_PATH_MAX];
	struct archive_entry *e;

	for (unsigned n = 0; n < MEMBERS_MAX; n++) {
		int r = archive_read_next_header(a, &e);
		const char *raw;

		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			break;
		raw = archive_entry_pathname(e);
		if (!raw || entry_path_clean(raw, path) || !image_archive_name(path))
			return SOURCE_TARBALL;
		if (strcmp(path, "oci-layout") == 0)
			return SOURCE_OCI;
		if (strcmp(path, "manifest.json") == 0)
			kind = SOURCE_DOCKER; /* newer ones are OCI layouts as well: go on looking */
	}
	return kind;
}

/* Finds kind (unless known) and whether the file is compressed. */
static void probe_file(int fd, enum source_kind *kind, bool kind_known, bool *ret_compressed)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;

	*ret_compressed = false;
	(void)archive_read_support_filter_gzip(a); /* what libarchive was built without, it will not recognise */
	(void)archive_read_support_filter_bzip2(a);
	(void)archive_read_support_filter_xz(a);
	(void)archive_read_support_filter_zstd(a);
	(void)archive_read_support_format_tar(a);
	if (archive_read_open_fd(a, fd, 65536) == ARCHIVE_OK) {
		if (!kind_known)
			*kind = probe_tar(a);
		else
			(void)archive_read_next_header(a, &e); /* only to know the filters */
		*ret_compressed = archive_filter_count(a) > 1;
	}
	archive_read_free(a);
}

/* Not O_TMPFILE: some file systems have none. */
static int nameless_file(const struct work *work, struct error *err)
{
	int fd = openat(work->dir_fd, "spool", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_sys(err, "cannot make a file in the store %s", work->store);
	(void)unlinkat(work->dir_fd, "spool", 0); /* it goes with the work folder at the latest */
	return fd;
}

/* Replaces *fd by a file of its decompressed content. */
static int decompress(const struct work *work, uint64_t max_bytes, int *fd, struct error *err)
{
	const struct stream_source from = { stream_read_fd, fd };
	_cleanup_close_ int to = nameless_file(work, err);
	_cleanup_stream_ struct stream *s = NULL;
	const void *data;
	ssize_t n;

	if (to < 0)
		return to;
	s = stream_new(&from, NULL, NULL, max_bytes);
	while ((n = stream_next(s, &data, err)) > 0) {
		int r = fd_write_full(to, data, (size_t)n);

		if (r < 0)
			return error_set(err, -r, "cannot write into the store %s: %s", work->store, strerror(-r));
	}
	if (n < 0)
		return (int)n;
	stream_free(steal_ptr(s));
	(void)close(*fd);
	*fd = steal_fd(&to);
	return 0;
}

/* Keeps a pipe's content in a file: what it holds is only known from all of it. */
static int keep(const struct work *work, uint64_t max_bytes, int *fd, struct error *err)
{
	_cleanup_close_ int to = nameless_file(work, err);
	_cleanup_free_ char *buf = xcalloc(1, 1 << 20);
	uint64_t total = 0;
	ssize_t n;

	if (to < 0)
		return to;
	while ((n = stream_read_fd(fd, buf, 1 << 20, err)) > 0) {
		int r = stream_interrupted(err);

		if (r < 0)
			return r;
		total += (uint64_t)n;
		if (total > max_bytes)
			return error_set(err, EFBIG, "more than %llu bytes", (unsigned long long)max_bytes);
		r = fd_write_full(to, buf, (size_t)n);
		if (r < 0)
			return error_set(err, -r, "cannot write into the store %s: %s", work->store, strerror(-r));
	}
	if (n < 0)
		return (int)n;
	if (total == 0)
		return error_set(err, ENODATA, "empty");
	(void)close(*fd);
	*fd = steal_fd(&to);
	return 0;
}

static int open_folder(struct source *s, bool kind_known, struct error *err)
{
	if (kind_known) {
		if (s->is_archive)
			return error_set(err, EISDIR, "a folder, not an archive");
		return 0;
	}
	s->kind = faccessat(s->fd, "oci-layout", F_OK, 0) == 0 ? SOURCE_OCI : SOURCE_TREE;
	s->is_archive = false;
	return 0;
}

static int open_file(struct source *s, bool kind_known, bool regular, const struct work *work, uint64_t max_bytes,
		struct error *err)
{
	bool compressed;
	int r;

	if (kind_known && !s->is_archive)
		return error_set(err, ENOTDIR, "a file, not a folder (is it an oci-archive?)");
	if (!kind_known)
		s->kind = SOURCE_TARBALL; /* or the import says that it is none */
	if (!regular) {
		r = keep(work, max_bytes, &s->fd, err);
		if (r < 0)
			return r;
	}
	(void)lseek(s->fd, 0, SEEK_SET); /* cannot fail on a regular file */
	probe_file(s->fd, &s->kind, kind_known, &compressed);
	s->is_archive = s->kind != SOURCE_TARBALL;
	(void)lseek(s->fd, 0, SEEK_SET); /* as above */
	return s->is_archive && compressed ? decompress(work, max_bytes, &s->fd, err) : 0;
}

static int open_path(const char *text, struct source *s, bool *ret_kind_known, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r = 0;

	if (strcmp(text, "-") == 0) {
		s->shown = xstrdup("standard input");
		s->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		return s->fd < 0 ? error_sys(err, "standard input") : 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		const struct prefix *p = &prefixes[i];

		if (strncmp(text, p->text, strlen(p->text)) != 0)
			continue;
		*ret_kind_known = true;
		s->kind = p->kind;
		s->is_archive = p->is_archive;
		r = split_ref(text + strlen(p->text), &path, &s->ref, err);
		if (r < 0)
			return r;
	}
	if (!path)
		path = xstrdup(text);
	s->shown = xstrdup(path);
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 && (strstr(path, "://") || strncmp(path, "docker-daemon:", 14) == 0))
		return error_set(err, ENOTSUP,
			"%s: not a file: `skopeo copy %s oci:DIR` fetches it, then import oci:DIR", path, path);
	return s->fd < 0 ? error_sys(err, "%s", path) : 0;
}

int source_open(const char *text, const struct work *work, uint64_t max_bytes, struct source *ret, struct error *err)
{
	struct source s = { .fd = -1 };
	bool kind_known = false;
	struct stat st;
	int r = open_path(text, &s, &kind_known, err);

	if (r == 0) {
		if (fstat(s.fd, &st) < 0)
			r = error_sys(err, "cannot examine it");
		else
			r = S_ISDIR(st.st_mode) ? open_folder(&s, kind_known, err) :
						  open_file(&s, kind_known, S_ISREG(st.st_mode), work, max_bytes, err);
		if (r < 0)
			error_prefix(err, "%s", s.shown);
	}
	if (r < 0)
		source_release(&s);
	else
		*ret = s;
	return r;
}

void source_release(struct source *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s->shown);
	free(s->ref);
	*s = (struct source){ .fd = -1 };
}
