/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Too much of everything: processes, memory of each kind, disk, inodes, descriptors, output. A flood stops by itself a
 * little beyond the bounds of the presets, so that "allowed" means "not bounded there", and nothing worse.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

enum {
	MIB = 1 << 20,
	MAX_PROCESSES = 2200, MAX_MEMORY = 640, MAX_OUTPUT = 4, MAX_INODES = 5000, MAX_DESCRIPTORS = 1 << 20,
};

/* The out-of-memory killer shall take the flood, not who reports on it. */
static void die_first(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1000", 4) != 4)
		fprintf(stderr, "probes: oom_score_adj: %m\n");
	if (fd >= 0)
		close(fd);
}

static struct result raise_rlimits(const struct settings *settings)
{
	static const int resources[] = { RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_MSGQUEUE };
	int error = 0;

	for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++) {
		struct rlimit limit;

		if (getrlimit((__rlimit_resource_t)resources[i], &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
			continue;
		limit.rlim_max++;
		if (setrlimit((__rlimit_resource_t)resources[i], &limit) == 0)
			return allowed("limit %d raised", resources[i]);
		error = errno;
	}
	return error ? blocked(error, "no hard limit can be raised") : allowed("there are no limits to raise");
}

static struct result fork_bomb(const struct settings *settings)
{
	for (int i = 0; i < MAX_PROCESSES; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return blocked(errno, "after %d processes", i);
		if (pid == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	return allowed("%d processes", MAX_PROCESSES);
}

static struct result memory(const struct settings *settings)
{
	die_first();
	for (int i = 0; i < MAX_MEMORY; i++) {
		char *block = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
			-1, 0);

		if (block == MAP_FAILED)
			return blocked(errno, "after %d MiB", i);
		block[0] = 1;
	}
	return allowed("%d MiB", MAX_MEMORY);
}

/* Fills a file by whole MiBs of zeroes. */
static struct result fill(int fd)
{
	static char zeroes[MIB];

	for (int i = 0; i < MAX_MEMORY; i++) {
		ssize_t n = write(fd, zeroes, sizeof(zeroes));

		if (n != MIB)
			return blocked(n < 0 ? errno : ENOSPC, "after %d MiB", i);
	}
	return allowed("%d MiB", MAX_MEMORY);
}

static struct result fill_path(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct result result;

	if (fd < 0)
		return blocked(errno, "nothing to write to");
	(void)unlink(path); /* so that it is gone however this ends */
	die_first();
	result = fill(fd);
	close(fd);
	return result;
}

/* Memory of files that have no name, on a tmpfs that no mount bounds. */
static struct result memory_of_files(const struct settings *settings)
{
	int fd = memfd_create("flood", MFD_CLOEXEC);

	if (fd < 0)
		return blocked(errno, "memfd_create");
	die_first();
	return fill(fd);
}

static struct result memory_of_tmpfs(const struct settings *settings)
{
	return fill_path("/dev/shm/flood");
}

/* Pages of a file, of which nothing is on the disk: they must be given back rather than counted as too much. */
static struct result page_cache(const struct settings *settings)
{
	static char block[MIB];
	char path[200];
	int fd;

	if (strcmp(settings->on, "vm") == 0)
		return not_run("the pages are the guest's, of the machine's own memory");
	(void)snprintf(path, sizeof(path), "%s/sparse", settings->fixed);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return blocked(errno, "a large file to read");
	die_first();
	while (read(fd, block, sizeof(block)) > 0)
		continue;
	return allowed("a file larger than the memory is read to its end");
}

static struct result disk_of_root(const struct settings *settings)
{
	return fill_path("/flood");
}

static struct result inodes(const struct settings *settings)
{
	static const char *const folders[] = { "/flood", "/dev/shm/flood" };
	char path[64];

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		int made = 0;

		if (mkdir(folders[i], 0700) < 0 || chdir(folders[i]) < 0)
			continue;
		for (; made < MAX_INODES; made++) {
			int fd;

			(void)snprintf(path, sizeof(path), "%d", made);
			fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0)
				break;
			close(fd);
		}
		int error = errno;

		for (int j = 0; j < made; j++) {
			(void)snprintf(path, sizeof(path), "%d", j);
			(void)unlink(path);
		}
		(void)rmdir(folders[i]);
		return made < MAX_INODES ? blocked(error, "after %d files", made) : allowed("%d files", made);
	}
	return blocked(errno, "nothing to write to");
}

static struct result descriptors(const struct settings *settings)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* as far as it may */
	}
	for (int i = 0; i < MAX_DESCRIPTORS; i++)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return blocked(errno, "after %d descriptors", i);
	return allowed("%d descriptors", MAX_DESCRIPTORS);
}

/* Lines, so that what reads them can throw them away one by one. */
static struct result output(const struct settings *settings)
{
	static char block[65536];

	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < sizeof(block); i += 128)
		block[i + 127] = '\n';
	for (size_t i = 0; i < MAX_OUTPUT * (MIB / sizeof(block)); i++)
		for (size_t at = 0; at < sizeof(block); ) {
			ssize_t n = write(1, block + at, sizeof(block) - at);

			if (n < 0)
				return blocked(errno, "after %zu KiB", i * sizeof(block) / 1024);
			at += (size_t)n;
		}
	return allowed("%d MiB", MAX_OUTPUT);
}

/* A grandchild in a session of its own that ignores what can be ignored, holds a lock and never ends. */
int stage_linger(const struct settings *settings)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/lingers", settings->share);
	if (fork() == 0) {
		(void)setsid();
		if (fork() != 0)
			_exit(0);
		for (int signo = 1; signo < SIGRTMIN; signo++)
			(void)signal(signo, SIG_IGN);
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		if (open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0)
			_exit(1);
	}
	for (;;)
		pause();
}

const struct probe flood_probes[] = {
	{ "raise-rlimits", raise_rlimits, 0 },
	{ "page-cache", page_cache, PROBE_HARMFUL },
	{ "fork-bomb", fork_bomb, PROBE_HARMFUL },
	{ "memory", memory, PROBE_HARMFUL },
	{ "memory-of-files", memory_of_files, PROBE_HARMFUL },
	{ "memory-of-tmpfs", memory_of_tmpfs, PROBE_HARMFUL },
	{ "disk-of-root", disk_of_root, PROBE_HARMFUL },
	{ "inodes", inodes, PROBE_HARMFUL },
	{ "descriptors", descriptors, PROBE_HARMFUL },
	{ "output", output, PROBE_HARMFUL },
	{ NULL, NULL, 0 },
};
