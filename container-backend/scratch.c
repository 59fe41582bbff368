/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ext4 disk that takes a workload's writes.
 *
 *   store/scratch/N.ext4 --copy, no name--> file --loop device, autoclear--> ext4 --> detached mount --> child
 *
 * Nothing of it can be left behind: the file has no name, the loop device lets go of it when the file system is
 * unmounted, and the file system is unmounted with the last process of the workload's mount namespace. A SIGKILL at any
 * step ends the holder of the last descriptor.
 *
 * What is mounted was made by mke2fs a moment ago or lies in the store, which only its owner may write. A file system
 * that a guest wrote is never mounted here; a guest mounts its disk itself.
 *
 * The loop device bypasses the page cache of the host's file: what the workload has cached is there once, in its own
 * file system, and counted once.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/idmap.h"
#include "container-backend/mountfd.h"
#include "container-backend/scratch.h"
#include "runtime/base/alloc.h"
#include "runtime/base/copy.h"
#include "runtime/base/path.h"

#define LOOP_CONTROL "/dev/loop-control"

enum { TRIES = 64, LOOP_BLOCK = 4096 };

/* A user namespace that maps every id to itself is the first one, which alone may mount disks. */
static bool in_first_userns(void)
{
	_cleanup_free_ char *map = NULL;
	unsigned inside, outside, count;

	return file_read_at(AT_FDCWD, "/proc/self/uid_map", 4096, &map, NULL, NULL) >= 0 &&
		sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && !inside && !outside && count == ~0u;
}

const char *scratch_refusal(void)
{
	if (geteuid() != 0 || !in_first_userns())
		return "only root mounts disks";
	if (access(LOOP_CONTROL, R_OK | W_OK) < 0)
		return "no loop devices here (" LOOP_CONTROL ")";
	return NULL;
}

/* A free loop device with the file in it. Somebody else may be faster to take the one that we were told of. */
static int attach_loop(int file, char *name, size_t size, struct error *err)
{
	_cleanup_close_ int control = open(LOOP_CONTROL, O_RDWR | O_CLOEXEC);
	struct loop_config config = { .fd = (uint32_t)file, .block_size = LOOP_BLOCK,
		.info = { .lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO } };

	if (control < 0)
		return error_sys(err, "root.scratch: " LOOP_CONTROL);
	for (int i = 0; i < TRIES; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		_cleanup_close_ int loop = -1;

		if (n < 0)
			return error_sys(err, "root.scratch: no free loop device");
		(void)snprintf(name, size, "/dev/loop%d", n); /* fits */
		loop = open(name, O_RDWR | O_CLOEXEC);
		if (loop < 0)
			return error_sys(err, "root.scratch: %s", name);
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			return steal_fd(&loop);
		if (errno == EINVAL && config.info.lo_flags & LO_FLAGS_DIRECT_IO)
			config.info.lo_flags = LO_FLAGS_AUTOCLEAR; /* a file system that has no direct I/O */
		else if (errno != EBUSY)
			return error_sys(err, "root.scratch: cannot set up %s", name);
	}
	return error_set(err, EBUSY, "root.scratch: others took every loop device that was free");
}

/* The owner of the workload's files on the host: what its ids call 0. */
static uid_t root_of(const struct plan_id_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (maps[i].inside == 0)
			return (uid_t)maps[i].outside;
	return 0;
}

static int mount_device(const char *device, bool dies_with_us, struct error *err)
{
	_cleanup_close_ int fs = mountfd_fs_open("ext4"), fd = -1;
	int r = fs < 0 ? fs : mountfd_fs_set(fs, "source", device);

	if (r == 0) /* the inode tables are zero: nobody need write them in the background */
		r = mountfd_fs_set(fs, "noinit_itable", NULL);
	if (r == 0 && dies_with_us) /* no power failure finds it: waiting for the medium would be for nothing */
		r = mountfd_fs_set(fs, "barrier", "0");
	fd = r < 0 ? r : mountfd_fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (fd < 0)
		return mountfd_fs_error(fs, -fd, err, "root.scratch: cannot mount the disk of the root");
	return steal_fd(&fd);
}

int scratch_mount(const struct plan *plan, dev_t *ret_device, struct error *err)
{
	_cleanup_close_ int file = -1, loop = -1, fd = -1;
	const char *device = plan->root.scratch;
	struct stat st;
	char name[32];

	if (stat(device, &st) < 0)
		return error_sys(err, "root.scratch: %s", device);
	if (!S_ISBLK(st.st_mode)) {
		file = file_copy_unnamed(device, err);
		if (file < 0)
			return error_prefix(err, "root.scratch");
		loop = attach_loop(file, name, sizeof name, err);
		if (loop < 0)
			return -err->code;
		device = name;
	}
	fd = mount_device(device, file >= 0, err);
	if (fd < 0)
		return fd;
	if (plan->n_uid_maps && fchownat(fd, "", root_of(plan->uid_maps, plan->n_uid_maps),
			root_of(plan->gid_maps, plan->n_gid_maps), AT_EMPTY_PATH) < 0)
		return error_sys(err, "root.scratch: cannot give the disk to the user namespace");
	if (fstat(fd, &st) < 0)
		return error_sys(err, "root.scratch");
	if (ret_device)
		*ret_device = st.st_dev;
	return steal_fd(&fd);
}
