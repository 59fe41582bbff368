/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a template's guest should have in memory before it is saved: names (the kernel's directory cache) and contents
 * (its page cache) of programs. The image is hostile: only regular files are read, and everything has a limit.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/preload.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

/* Newer than the headers of older C libraries: Linux 5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum { MAX_MAPS_BYTES = 64 * 1024, MAX_WRITTEN_BYTES = 128 * 1024 }; /* the latter of each mapping */
enum { MAX_BYTES = 16 << 20, MAX_FILE_BYTES = 4 << 20, MAX_NAMES = 4096, CHUNK = 64 * 1024 };

/* In this order, until the limit. */
static const struct {
	const char *path;
	bool libraries; /* only the loader's and the C library's files; and in the folders of an architecture, too */
} folders[] = {
	{ "/lib64", true }, { "/lib", true }, { "/usr/lib64", true }, { "/usr/lib", true }, { "/bin", false },
	{ "/usr/bin", false }, { "/usr/local/bin", false }, { "/sbin", false }, { "/usr/sbin", false },
	{ "/usr/local/sbin", false },
};

struct preload {
	size_t names, bytes;
	ino_t last;         /* read last: some programs have hundreds of names */
	char *chunk;
};

static void read_file(struct preload *p, int folder, const char *name)
{
	_cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t n;

	while (fd >= 0 && p->bytes < MAX_BYTES && (n = read(fd, p->chunk, CHUNK)) > 0)
		p->bytes += (size_t)n;
}

static bool is_basic_library(const char *name)
{
	return !strncmp(name, "ld-", 3) || !strncmp(name, "libc.", 5) || !strncmp(name, "libc-", 5);
}

static void look_into(struct preload *p, int fd, bool libraries, unsigned depth);
static void look_at(struct preload *p, int folder, const char *name, bool libraries, unsigned depth)
{
	struct stat st;

	if (libraries && !is_basic_library(name) && (depth > 0 || !strstr(name, "-linux-")))
		return;
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISLNK(st.st_mode)) {
		(void)fstatat(folder, name, &st, 0); /* the link and its target are known now; that is all */
		return;
	}
	if (libraries && depth == 0 && S_ISDIR(st.st_mode))
		look_into(p, openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), true, 1);
	else if (S_ISREG(st.st_mode) && st.st_size <= MAX_FILE_BYTES && st.st_ino != p->last) {
		p->last = st.st_ino;
		read_file(p, folder, name);
	}
}

/* Takes fd. */
static void look_into(struct preload *p, int fd, bool libraries, unsigned depth)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir) {
		close_cleanup(&fd);
		return;
	}
	while (p->names < MAX_NAMES && (e = readdir(dir))) {
		p->names++;
		if (e->d_name[0] != '.')
			look_at(p, dirfd(dir), e->d_name, libraries, depth);
	}
	(void)closedir(dir); /* only read */
}

void preload_root(void)
{
	struct preload p = { .chunk = malloc(CHUNK) };

	if (!p.chunk)
		return;
	read_file(&p, AT_FDCWD, "/bin/sh");
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		look_into(&p, open(folders[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), folders[i].libraries, 0);
	free(p.chunk);
}

/* One line of /proc/self/maps. */
static void preload_mapping(const char *line)
{
	unsigned long start, end;
	char access[5];
	bool written;

	if (sscanf(line, "%lx-%lx %4s", &start, &end, access) != 3 || access[0] != 'r' || access[3] != 'p' ||
			strstr(line, "[v")) /* the kernel's own */
		return;
	written = access[1] == 'w';
	if (written && end - start > MAX_WRITTEN_BYTES) {
		if (strstr(line, "[stack]")) /* its end is what is in use */
			start = end - MAX_WRITTEN_BYTES;
		else
			end = start + MAX_WRITTEN_BYTES;
	}
	/* EINVAL on kernels that lack it, EFAULT behind the end of a file */
	(void)madvise((void *)start, end - start, written ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

void preload_self(void)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (file_read_at(AT_FDCWD, "/proc/self/maps", MAX_MAPS_BYTES, &text, NULL, NULL) < 0)
		return;
	for (rest = text; (line = strsep(&rest, "\n"));)
		preload_mapping(line);
}
