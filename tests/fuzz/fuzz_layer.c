/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever tar stream is unpacked, nothing outside the layer's folder changes, and what was unpacked can be removed.
 * The first byte chooses: the rest is the stream itself (few random streams get past the first checksum), or a recipe
 * of entries whose headers are right and whose names, links and types are not: "..", links to the canary beside the
 * layer, links to links, whiteouts, all on top of each other.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/layer.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCK   512
#define ENTRIES 24

static char base[] = "/tmp/fuzz_layer.XXXXXX"; /* base/layer is filled, base/canary must stay as it is */
static int base_fd = -1;
static struct stat canary;

static void clear_up(void)
{
	(void)path_remove_tree(AT_FDCWD, base, NULL); /* in /tmp: nothing else to be done */
}

static void set_up(void)
{
	int fd;

	if (!mkdtemp(base))
		abort();
	(void)atexit(clear_up); /* a folder left in /tmp is no failure */
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(base_fd, "canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "alive", 5) != 5 || fstat(fd, &canary) < 0)
		abort();
	(void)close(fd);
}

struct input {
	const uint8_t *data;
	size_t left;
};

static unsigned take(struct input *in, unsigned below)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++ % below;
}

/* A name of up to three parts, many of them alike so that entries meet. */
static void take_name(struct input *in, char *to, size_t size)
{
	static const char *const parts[] = {
		"a", "b", "c", "..", ".", "", "canary", "../canary", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh.",
			"layer", "etc",
	};
	unsigned n = 1 + take(in, 3);
	size_t used = 0;

	for (unsigned i = 0; i < n; i++)
		used += (size_t)snprintf(to + used, size - used, "%s%s", i ? "/" : "", parts[take(in,
			ARRAY_LEN(parts))]);
}

static size_t put_entry(struct input *in, unsigned char *to)
{
	static const char types[] = "000551112346xgL";
	unsigned content = take(in, 4) ? 0 : take(in, 200), sum = 0;
	char *h = (char *)to;

	memset(to, 0, 2 * BLOCK);
	take_name(in, h, 100);
	(void)snprintf(h + 100, 8, "%07o", take(in, 256) * 16);
	(void)snprintf(h + 108, 8, "%07o", take(in, 4));
	(void)snprintf(h + 116, 8, "%07o", take(in, 4));
	(void)snprintf(h + 124, 12, "%011o", content);
	(void)snprintf(h + 136, 12, "%011o", take(in, 256));
	h[156] = types[take(in, sizeof types - 1)];
	take_name(in, h + 157, 100);
	memcpy(h + 257, "ustar\00000", 8);
	(void)snprintf(h + 329, 8, "%07o", take(in, 2));
	(void)snprintf(h + 337, 8, "%07o", take(in, 4));
	for (unsigned i = 0; i < content; i++)
		to[BLOCK + i] = (unsigned char)take(in, 256);
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += to[i];
	(void)snprintf(h + 148, 8, "%06o", sum);
	return content ? 2 * BLOCK : BLOCK;
}

static ssize_t feed(void *ctx, const void **ret, struct error *err)
{
	struct input *in = ctx;
	size_t n = in->left;

	*ret = in->data;
	in->left = 0;
	return (ssize_t)n;
}

static void check_outside(void)
{
	struct stat now;
	unsigned names = 0;
	char text[6];
	int fd = openat(base_fd, "canary", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = opendir(base);

	if (fd < 0 || !d || fstat(fd, &now) < 0 || read(fd, text, sizeof text) != 5)
		abort();
	while (readdir(d))
		names++;
	(void)closedir(d);
	(void)close(fd);
	/* ".", "..", "canary", "layer" */
	if (names != 4 || memcmp(text, "alive", 5) != 0 || now.st_ino != canary.st_ino ||
		now.st_mode != canary.st_mode ||
		now.st_nlink != 1 || now.st_uid != canary.st_uid || now.st_mtim.tv_sec != canary.st_mtim.tv_sec ||
		now.st_mtim.tv_nsec != canary.st_mtim.tv_nsec)
		abort();
}

static void unpack(const void *data, size_t size)
{
	struct layer_limits limits = { .max_bytes = 1 << 20, .max_entries = 1000 };
	struct input stream = { data, size };
	struct layer_info info;
	struct layer_dir *dir;
	struct error err = { 0 };
	int fd;

	if (mkdirat(base_fd, "layer", 0700) < 0)
		abort();
	fd = openat(base_fd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	dir = layer_dir_new(fd, NULL);
	if (layer_unpack(feed, &stream, dir, &limits, &info, &err) < 0 && (!*err.message || strchr(err.message, '\n')))
		abort(); /* a refusal is one line */
	layer_dir_free(dir);
	check_outside();
	if (path_remove_tree(base_fd, "layer", &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char tar[(2 * ENTRIES + 2) * BLOCK];
	struct input in = { data, size };
	size_t len = 0;

	if (base_fd < 0)
		set_up();
	if (size == 0)
		return 0;
	if (take(&in, 8) == 0) {
		unpack(in.data, in.left);
		return 0;
	}
	for (int i = 0; i < ENTRIES && in.left; i++)
		len += put_entry(&in, tar + len);
	memset(tar + len, 0, 2 * BLOCK);
	unpack(tar, len + 2 * BLOCK);
	return 0;
}
