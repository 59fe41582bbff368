/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlays over folders of the host. Each has a folder in the scratch file system, which the workload never sees:
 *
 *      o<n>/lower    the host's folder, as a mount
 *      o<n>/upper    what is written: this is what is handed out in the end
 *      o<n>/work     overlayfs's own
 *      o<n>/merged   where it is mounted at first
 *
 * Every option is a short relative name, so that no path of the host shows in the workload's /proc/mounts and none has
 * to be escaped; that is what mount(2) can do on every kernel. Renamed folders are copied and metadata is never kept
 * apart from data: each entry of the upper stands for itself, which is what its reader relies on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/mountfd.h"
#include "container-backend/overlay.h"
#include "runtime/base/alloc.h"

#define LAYERS "lowerdir=lower,upperdir=upper,workdir=work"

/* What the merged folder looks like is what the upper looks like. */
static int make_upper(int folder, int lower)
{
	_cleanup_close_ int upper = -1;
	struct stat st;

	if (fstat(lower, &st) < 0 || mkdirat(folder, "upper", 0700) < 0)
		return -errno;
	upper = openat(folder, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0)
		return -errno;
	(void)!fchown(upper, st.st_uid, st.st_gid); /* EINVAL: nobody here has that id; it is root's then */
	return fchmod(upper, st.st_mode & 07777) < 0 ? -errno : 0;
}

/* The working folder becomes the overlay's. */
static int make_folders(int scratch, size_t nth, int lower)
{
	static const char *const names[] = { "lower", "work", "merged" };
	_cleanup_close_ int folder = -1, place = -1;
	char name[32];
	int r;

	(void)snprintf(name, sizeof name, "o%zu", nth); /* fits */
	if (mkdirat(scratch, name, 0700) < 0)
		return -errno;
	folder = openat(scratch, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0 || fchdir(folder) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (mkdir(names[i], 0700) < 0)
			return -errno;
	r = make_upper(folder, lower);
	if (r < 0)
		return r;
	place = open("lower", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return place < 0 ? -errno : mountfd_move(lower, place);
}

int overlay_place(int scratch, size_t nth, int lower, int target, bool user_ns, struct error *err)
{
	const char *options = user_ns ? LAYERS ",userxattr" : LAYERS ",redirect_dir=nofollow,metacopy=off,index=off";
	_cleanup_close_ int fd = -1;
	int r = make_folders(scratch, nth, lower);

	if (r < 0)
		return error_set(err, -r, "cannot prepare the overlay: %s", strerror(-r));
	if (mount("overlay", "merged", "overlay", MS_NOSUID | MS_NODEV, options) < 0)
		return error_sys(err, "cannot mount the overlay");
	fd = open("merged", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : mountfd_move(fd, target);
	return r < 0 ? error_set(err, -r, "cannot move the overlay to its place: %s", strerror(-r)) : 0;
}
