/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in the folder that the argument names: data (cached and O_DIRECT) and names. What was made is removed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/helper/helper.h"

enum { FILE_BYTES = 32 << 20, SEQUENTIAL = 1 << 20, RANDOM = 4096, NAMES = 64 };

struct job {
	int fd;
	bool write, random, sync;
	size_t block;
	uint64_t at, x;
	char *buffer;       /* aligned for O_DIRECT */
};

static int transfer(struct job *j)
{
	uint64_t blocks = FILE_BYTES / j->block;
	off_t offset;
	ssize_t n;

	if (j->random) {
		j->x ^= j->x << 13;
		j->x ^= j->x >> 7;
		j->x ^= j->x << 17;
	}
	offset = (off_t)((j->random ? j->x % blocks : j->at++ % blocks) * j->block);
	n = j->write ? pwrite(j->fd, j->buffer, j->block, offset) : pread(j->fd, j->buffer, j->block, offset);
	if (n >= 0 && n != (ssize_t)j->block)
		errno = EIO;
	if (n != (ssize_t)j->block)
		return -1;
	return j->sync ? fsync(j->fd) : 0;
}

static int transfer_batch(void *state, uint64_t n)
{
	while (n--)
		if (transfer(state) < 0)
			return -1;
	return 0;
}

/* The file, filled and on the disk, so that reading reads data and not holes. */
static int make_file(const char *path, char *buffer)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	for (size_t done = 0; done < FILE_BYTES; done += SEQUENTIAL)
		if (write(fd, buffer, SEQUENTIAL) != SEQUENTIAL)
			goto failed;
	if (fsync(fd) == 0)
		return fd;
failed:
	if (errno == 0)
		errno = ENOSPC;
	(void)close(fd);
	(void)unlink(path);
	return -1;
}

static int run_file(uint64_t ms, const char *dir, struct job j, bool direct, struct outcome *ret)
{
	char path[PATH_MAX];
	double ns = 0;
	int r;

	(void)snprintf(path, sizeof path, "%s/bivalve-bench.%d", *dir ? dir : "/tmp", (int)getpid());
	j.buffer = aligned_alloc(SEQUENTIAL, SEQUENTIAL);
	if (!j.buffer)
		return outcome_fail(ret, "memory");
	memset(j.buffer, 0x5a, SEQUENTIAL);
	j.x = 88172645463325252u;
	j.fd = make_file(path, j.buffer);
	if (j.fd < 0) {
		r = outcome_fail(ret, "making the file");
	} else if (direct && fcntl(j.fd, F_SETFL, O_DIRECT) < 0) {
		r = outcome_fail(ret, "O_DIRECT");
	} else {
		r = helper_measure(ms, transfer_batch, &j, &ns);
		if (r < 0)
			(void)outcome_fail(ret, j.sync ? "write and fsync" : j.write ? "write" : "read");
	}
	if (j.fd >= 0) {
		(void)close(j.fd); /* a file of no further use */
		(void)unlink(path);
	}
	free(j.buffer);
	if (r < 0)
		return -1;
	return outcome_value(ret, j.block == SEQUENTIAL ? SEQUENTIAL / ns * 1e9 / 1048576 : ns / 1e3);
}

#define FILE_WORKLOAD(name, direct, ...)                                                  \
	static int run_##name(uint64_t ms, const char *arg, struct outcome *ret)          \
	{                                                                                 \
		return run_file(ms, arg, (struct job){ __VA_ARGS__ }, direct, ret);       \
	}
FILE_WORKLOAD(seq_read, false, .block = SEQUENTIAL)
FILE_WORKLOAD(seq_write, false, .block = SEQUENTIAL, .write = true)
FILE_WORKLOAD(seq_read_direct, true, .block = SEQUENTIAL)
FILE_WORKLOAD(seq_write_direct, true, .block = SEQUENTIAL, .write = true)
FILE_WORKLOAD(random_read, false, .block = RANDOM, .random = true)
FILE_WORKLOAD(random_write, false, .block = RANDOM, .random = true, .write = true)
FILE_WORKLOAD(random_read_direct, true, .block = RANDOM, .random = true)
FILE_WORKLOAD(random_write_direct, true, .block = RANDOM, .random = true, .write = true)
FILE_WORKLOAD(fsync, false, .block = RANDOM, .random = true, .write = true, .sync = true)

static void name_of(char *path, size_t size, const char *dir, int i)
{
	(void)snprintf(path, size, "%s/bivalve-bench.%d.%d", *dir ? dir : "/tmp", (int)getpid(), i);
}

static int each_name(const char *dir, int (*one)(const char *path), uint64_t *ns)
{
	char path[PATH_MAX];
	uint64_t begin = helper_now_ns();

	for (int i = 0; i < NAMES; i++) {
		name_of(path, sizeof path, dir, i);
		if (one(path) < 0)
			return -1;
	}
	*ns += helper_now_ns() - begin;
	return 0;
}

static int create_one(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? -1 : close(fd);
}

static int stat_one(const char *path)
{
	struct stat st;

	return stat(path, &st);
}

static int run_names(uint64_t ms, const char *dir, struct outcome *ret)
{
	static int (*const steps[])(const char *) = { create_one, stat_one, unlink };
	static const char *const names[] = { "create", "stat", "unlink" };
	uint64_t begin = helper_now_ns(), ns[3] = { 0 }, rounds = 0;

	do {
		for (int s = 0; s < 3; s++) {
			uint64_t ignored = 0;

			if (each_name(dir, steps[s], &ns[s]) == 0)
				continue;
			(void)outcome_fail(ret, names[s]);
			(void)each_name(dir, unlink, &ignored); /* what there is; the failure is told already */
			return -1;
		}
		rounds++;
	} while (helper_now_ns() - begin < ms * 1000000);
	for (int s = 0; s < 3; s++)
		(void)outcome_value(ret, (double)ns[s] / (double)(rounds * NAMES) / 1e3);
	return 0;
}

const struct workload disk_workloads[] = {
	{ "seq-read", "MiB/s", run_seq_read },
	{ "seq-write", "MiB/s", run_seq_write },
	{ "seq-read-direct", "MiB/s", run_seq_read_direct },
	{ "seq-write-direct", "MiB/s", run_seq_write_direct },
	{ "random-read", "us for 4 KiB", run_random_read },
	{ "random-write", "us for 4 KiB", run_random_write },
	{ "random-read-direct", "us for 4 KiB", run_random_read_direct },
	{ "random-write-direct", "us for 4 KiB", run_random_write_direct },
	{ "fsync", "us for 4 KiB written and synchronised", run_fsync },
	{ "names", "us to create, us to stat, us to unlink a file", run_names },
	{ NULL, NULL, NULL },
};
