/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work on the store. Whoever adds holds the lock shared, so that several imports run side by side, each in a folder of
 * its own; whoever removes holds it alone. A process that finds itself alone at its start knows that everything in tmp/
 * was left behind by one that was killed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "images/store.h"
#include "images/work.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

#define OURS           "image-"
#define FOREIGN_AGE_S  (24 * 60 * 60)

static const char *const folders[] = { "images", "layers", "disks", "blobs", "blobs/sha256", "blobs/sha512", "tmp" };

static int open_store(const char *store, int *ret_fd, struct error *err)
{
	*ret_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_sys(err, "cannot open the store %s", store);
	return 0;
}

static int make_folders(const char *store, int fd, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
			return error_sys(err, "cannot write to the store %s", store);
	}
	if (faccessat(fd, "tmp", W_OK | X_OK, AT_EACCESS) < 0)
		return error_sys(err, "cannot write to the store %s", store);
	return 0;
}

/*
 * Removes what killed processes left in tmp/. The lock must be held alone. Entries that other parts of the project
 * made (kernels) may be in use without the lock: they go when they are old.
 */
static int clean_tmp(int store_fd, struct error *err)
{
	int fd = openat(store_fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return errno == ENOENT ? 0 : error_sys(err, "cannot list the store's tmp");
	}
	while (r == 0 && (e = readdir(d))) {
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (strncmp(e->d_name, OURS, strlen(OURS)) != 0 &&
			(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
				st.st_mtime > time(NULL) - FOREIGN_AGE_S))
			continue;
		r = path_remove_tree(fd, e->d_name, err);
	}
	(void)closedir(d);
	return r;
}

/* Shared from the start if others work; else alone for as long as cleaning takes. */
static int lock_shared(struct work *w, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/lock", w->store);
	int r;

	w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->lock_fd < 0)
		return error_sys(err, "cannot write to the store %s", w->store);
	if (flock(w->lock_fd, LOCK_EX | LOCK_NB) == 0) {
		r = clean_tmp(w->store_fd, err);
		if (r < 0)
			return r;
	}
	/* The change from one to the other is not atomic; nothing was made yet that a prune in between could take. */
	while (flock(w->lock_fd, LOCK_SH) < 0) {
		if (errno != EINTR)
			return error_sys(err, "cannot lock %s", path);
	}
	return 0;
}

static int begin(const char *store, struct work *w, struct error *err)
{
	int r = path_mkdirs(store, 0755, err);

	if (r < 0)
		return error_prefix(err, "cannot write to the store %s", store);
	w->store = xstrdup(store);
	r = open_store(store, &w->store_fd, err);
	if (r == 0)
		r = make_folders(store, w->store_fd, err);
	if (r == 0)
		r = lock_shared(w, err);
	if (r < 0)
		return r;
	w->dir = xasprintf("%s/tmp/" OURS "XXXXXX", store);
	if (!mkdtemp(w->dir)) {
		free(steal_ptr(w->dir));
		return error_sys(err, "cannot write to the store %s", store);
	}
	w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->dir_fd < 0 || mkdirat(w->dir_fd, "layers", 0700) < 0)
		return error_sys(err, "cannot write to the store %s", store);
	return 0;
}

int work_begin(const char *store, struct work *ret, struct error *err)
{
	int r = begin(store, ret, err);

	if (r < 0)
		work_release(ret);
	return r;
}

int work_begin_alone(const char *store, struct work *ret, struct error *err)
{
	int r;

	if (access(store, F_OK) < 0 && errno == ENOENT)
		return error_set(err, ENOENT, "no store in %s", store);
	ret->store = xstrdup(store);
	r = open_store(store, &ret->store_fd, err);
	if (r == 0)
		r = make_folders(store, ret->store_fd, err);
	if (r == 0) {
		ret->lock_fd = store_lock(store, true, err);
		r = ret->lock_fd < 0 ? ret->lock_fd : clean_tmp(ret->store_fd, err);
	}
	if (r < 0)
		work_release(ret);
	return r;
}

void work_release(struct work *w)
{
	if (w->dir)
		(void)path_remove_tree(AT_FDCWD, w->dir, NULL); /* the next piece of work tries again */
	if (w->dir_fd >= 0)
		(void)close(w->dir_fd);
	if (w->store_fd >= 0)
		(void)close(w->store_fd);
	if (w->lock_fd >= 0)
		(void)close(w->lock_fd);
	free(w->dir);
	free(w->store);
	*w = (struct work)WORK_EMPTY;
}

int work_sync(const struct work *w, struct error *err)
{
	return syncfs(w->store_fd) < 0 ? error_sys(err, "cannot write the store %s to its disk", w->store) : 0;
}

int work_publish(const struct work *w, const char *name, const char *to_name, struct error *err)
{
	if (renameat(w->dir_fd, name, w->store_fd, to_name) == 0)
		return 0;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return 0; /* somebody else made the same in the meantime: content-addressed, hence equal */
	return error_sys(err, "cannot move to %s/%s", w->store, to_name);
}

int work_publish_text(const struct work *w, const char *to_name, const char *text, size_t len, struct error *err)
{
	int r = file_write_atomic(w->dir_fd, "text", text, len, 0600, err);

	return r < 0 ? r : work_publish(w, "text", to_name, err);
}

int work_remove(const struct work *w, const char *name, struct error *err)
{
	_cleanup_free_ char *doomed = xasprintf("tmp/" OURS "removed.%d", (int)getpid());

	if (renameat(w->store_fd, name, w->store_fd, doomed) < 0)
		return errno == ENOENT ? 0 : error_sys(err, "cannot remove %s/%s", w->store, name);
	return path_remove_tree(w->store_fd, doomed, err);
}

int work_explain(const char *store, struct error *err)
{
	if (err->code == ENOSPC || err->code == EDQUOT)
		return error_set(err, err->code, "no space left in the store %s", store);
	return -err->code;
}
