/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scratch disks, by mke2fs.
 *
 * There is no journal: a scratch disk dies with its instance, and nobody recovers one. Nothing is written to the inode
 * tables, neither here nor by the kernel in the background: a new file is zeros, and the file system is told so
 * (assume_storage_prezeroed). An empty disk of any usual size thus has some 100 KiB of data; copying that is cheaper
 * than mke2fs by two orders of magnitude.
 *
 * What a limit says is room for data. How much of a disk the file system takes for itself is not computed but read from
 * the superblock of a first attempt, and made up for in the next.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/scratch.h"
#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

enum {
	BLOCK = 4096,
	INODE = 256,
	GROUP_BLOCKS = 8 * BLOCK,   /* one block of a bitmap's bits */
	OWN_INODES = 11,            /* reserved ones and lost+found */
	OWN_BLOCKS = 8,             /* for the folders that overlays want */
	ATTEMPTS = 4,
	BYTES_PER_INODE = 16384,
	LEAST_INODES = 1024,
};

uint64_t scratch_default_inodes(uint64_t bytes)
{
	return bytes / BYTES_PER_INODE > LEAST_INODES ? bytes / BYTES_PER_INODE : LEAST_INODES;
}

char *scratch_path(const char *store, uint64_t bytes, uint64_t inodes)
{
	return xasprintf("%s/scratch/%" PRIu64 "-%" PRIu64 ".ext4", store, bytes, inodes);
}

/* The child: becomes mke2fs. What it says on standard error is the user's to read. */
static _Noreturn void run_mke2fs(const char *path, uint64_t blocks, uint64_t inodes)
{
	/* The configuration file of a distribution does not decide what the two shells have. */
	static const char features[] = "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,"
			"huge_file,dir_nlink,extra_isize,metadata_csum";
	const char *found = getenv("PATH");
	_cleanup_free_ char *n_blocks = xasprintf("%" PRIu64, blocks), *n_inodes = xasprintf("%" PRIu64, inodes);
	_cleanup_free_ char *env = xasprintf("%s:/usr/sbin:/sbin", found ? found : "/usr/bin:/bin");
	const char *argv[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-N", n_inodes,
		"-O", features, "-E", "nodiscard,lazy_itable_init=1,assume_storage_prezeroed=1,root_owner=0:0",
		"-U", "62697661-6c76-4500-8000-736372617463", path, n_blocks, NULL };

	(void)dup2(STDERR_FILENO, STDOUT_FILENO); /* what it says is not the workload's output */
	(void)setenv("PATH", env, 1);             /* only where execvp looks */
	(void)execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static int make_once(const char *path, uint64_t blocks, uint64_t inodes, struct error *err)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		run_mke2fs(path, blocks, inodes);
	if (pid < 0)
		return error_sys(err, "cannot start mke2fs");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, "cannot wait for mke2fs");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(err, ENOENT, "disk.bytes: mke2fs is not installed (package e2fsprogs)");
	return status ? error_set(err, EIO, "disk.bytes: mke2fs cannot make a disk of %" PRIu64 " MiB with %" PRIu64
			" inodes: see the lines above", blocks / 256, inodes) : 0;
}

/* Free blocks, from the superblock of a file system that we just made. */
static int free_blocks(const char *path, uint64_t *ret, struct error *err)
{
	enum { SUPERBLOCK = 1024, FREE_LOW = 0x0c, FREE_HIGH = 0x158 };
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint32_t low, high;

	if (fd < 0 || pread(fd, &low, sizeof low, SUPERBLOCK + FREE_LOW) != sizeof low ||
			pread(fd, &high, sizeof high, SUPERBLOCK + FREE_HIGH) != sizeof high)
		return error_sys(err, "%s", path);
	*ret = (uint64_t)le32toh(high) << 32 | le32toh(low);
	return 0;
}

/* The kernel keeps a fiftieth of the disk, at most 4096 blocks, for what it has put off to allocate. */
static uint64_t kept_back(uint64_t blocks)
{
	return blocks / 50 < 4096 ? blocks / 50 : 4096;
}

static int make_disk(const char *path, uint64_t bytes, uint64_t inodes, struct error *err)
{
	uint64_t data = (bytes + BLOCK - 1) / BLOCK + OWN_BLOCKS, given = 0;
	uint64_t blocks = data + kept_back(data) + inodes / (BLOCK / INODE) + 16 + data / GROUP_BLOCKS * 4;

	for (int i = 0; i < ATTEMPTS; i++) {
		_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		uint64_t wanted = data + kept_back(blocks);
		int r;

		if (fd < 0 || ftruncate(fd, (off_t)(blocks * BLOCK)) < 0)
			return error_sys(err, "disk.bytes: a disk of %" PRIu64 " MiB in the store: %s", blocks / 256,
					path);
		r = make_once(path, blocks, inodes + OWN_INODES, err);
		if (r == 0)
			r = free_blocks(path, &given, err);
		if (r < 0)
			return r;
		if (given == wanted || (given > wanted && i + 1 == ATTEMPTS))
			return 0;
		blocks = blocks + wanted - given + (i + 2 == ATTEMPTS ? 8 : 0); /* the last one may have some more */
	}
	return error_set(err, EINVAL, "disk.bytes: %" PRIu64 ": no file system of that size comes out; another one may",
			bytes);
}

struct shape {
	uint64_t bytes, inodes;
};

static int write_disk(int fd, const char *path, const void *what, struct error *err)
{
	const struct shape *s = what;

	(void)fd; /* mke2fs wants the name */
	return make_disk(path, s->bytes, s->inodes, err);
}

int scratch_make(const char *store, uint64_t bytes, uint64_t inodes, struct error *err)
{
	_cleanup_free_ char *final = scratch_path(store, bytes, inodes);
	struct shape shape = { bytes, inodes };
	int r;

	if (access(final, F_OK) == 0)
		return 0;
	r = store_make_file(store, final, 0700, 0600, write_disk, &shape, err);
	return r < 0 ? r : 1;
}
