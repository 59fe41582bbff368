/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bivalve-image: everything that opens untrusted archives or changes the store of images. A program of its own, so that
 * neither libarchive nor libcrypto is part of the launcher; `bivalve image …` execs it.
 *
 * A new command: a row in commands[], its function here, its page in docs/ and tests/integration/images.bats.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "images/collect.h"
#include "images/disk.h"
#include "images/import.h"
#include "runtime/base/alloc.h"
#include "runtime/base/options.h"

#define EXIT_OWN_ERROR 125

/* "bivalve image" or "bivalve-image", whichever it was called. */
#define program program_invocation_short_name

struct command {
	const char *name;
	const char *arguments, *summary, *more;
	int (*run)(const struct command *c, int argc, char **argv, struct error *err);
};

static void usage(const struct command *c, const struct option_row *rows)
{
	(void)printf("Usage: %s %s %s\n\n%s\n", program, c->name, c->arguments, c->summary);
	if (c->more)
		(void)printf("\n%s\n", c->more);
	(void)printf("\nOptions:\n");
	options_print(rows, stdout);
}

/* Parses options; min and max are of the words after them (max -1: any number). 1: help was given. */
static int parse(const struct command *c, const struct option_row *rows, int argc, char **argv, int min, int max,
		char ***ret_words, struct error *err)
{
	bool help = false;
	int first = 1, r = options_parse(rows, argc, argv, &first, &help, err);

	if (r < 0)
		return r;
	if (help) {
		usage(c, rows);
		return 1;
	}
	if (argc - first < min || (max >= 0 && argc - first > max))
		return error_set(err, EINVAL, "%s: usage: %s %s %s", c->name, program, c->name, c->arguments);
	*ret_words = argv + first;
	return 0;
}

static int parse_number(const char *text, void *target, struct error *err)
{
	char *end;

	errno = 0;
	*(uint64_t *)target = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || *(uint64_t *)target == 0)
		return error_set(err, EINVAL, "\"%s\" is not a number above 0", text);
	return 0;
}

/* "64g": with a suffix k, m, g or t of 1024. */
static int parse_size(const char *text, void *target, struct error *err)
{
	static const char units[] = "kmgt";
	char *end;
	const char *unit;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (errno || end == text || *text == '-' || n == 0 || (*end && (!unit || end[1])))
		return error_set(err, EINVAL, "\"%s\" is not a size (4096, 512m, 64g)", text);
	if (unit && __builtin_mul_overflow(n, UINT64_C(1) << (10 * (unit - units + 1)), &n))
		return error_set(err, ERANGE, "\"%s\" is too large", text);
	*(uint64_t *)target = n;
	return 0;
}

static int limit_from_env(const char *name, int (*read)(const char *, void *, struct error *), uint64_t *target,
		struct error *err)
{
	const char *text = getenv(name);

	if (!text || !*text)
		return 0;
	return read(text, target, err) < 0 ? error_prefix(err, "%s", name) : 0;
}

static void put_image(const struct image *image)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	record_write(w, NULL, &image_type, image, true);
	text = json_writer_finish(w, NULL);
	(void)printf("%s\n", text);
}

static const char *show_size(uint64_t bytes, char buf[static 32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes;
	size_t i = 0;

	while (n >= 1024 && i + 1 < ARRAY_LEN(units)) {
		n /= 1024;
		i++;
	}
	(void)snprintf(buf, 32, i ? "%.1f %s" : "%.0f %s", n, units[i]); /* always fits */
	return buf;
}

static void tell_losses(const struct layer_losses *l)
{
	if (l->devices)
		(void)fprintf(stderr, "bivalve: note: %llu devices left out: only root can make them\n",
			(unsigned long long)l->devices);
	if (l->xattrs)
		(void)fprintf(stderr,
			"bivalve: note: %llu extended attributes left out: not allowed in a layer, or not "
				      "possible here\n",
			(unsigned long long)l->xattrs);
}

static void tell_import(const struct import_result *result)
{
	const struct image *image = &result->image;
	char size[32];

	if (result->unchanged) {
		(void)printf("%s is unchanged: %s\n", image->name, image->digest);
		return;
	}
	(void)printf("%s imported: %s, %zu of %zu layers new, %s\n", image->name, image->digest, result->layers_new,
		strv_len(image->layers), show_size(image->size_bytes, size));
}

static int cmd_import(const struct command *c, int argc, char **argv, struct error *err)
{
	_cleanup_strv_ char **changes = NULL;
	_cleanup_free_ char *store = store_dir();
	struct import_options o = {
		.store = store, .limits = { LAYER_MAX_BYTES, LAYER_MAX_ENTRIES }, .progress = isatty(STDERR_FILENO),
	};
	struct import_result result;
	bool json = false;
	const struct option_row rows[] = {
		{ 'c', "change", OPTION_LIST, &changes, "INSTRUCTION",
			"CMD, ENTRYPOINT, ENV, WORKDIR, USER or STOPSIGNAL as in a Dockerfile", NULL },
		{ 0, "json", OPTION_FLAG, &json, NULL, "print the image as JSON", NULL },
		{ 0, "sync", OPTION_FLAG, &o.sync, NULL, "wait until it is on the disk, safe from power failures",
			NULL },
		{ 0, "max-bytes", OPTION_PARSED, &o.limits.max_bytes, "SIZE",
			"refuse images that unpack to more (64g; $BIVALVE_IMAGE_MAX_BYTES)", parse_size },
		{ 0, "max-entries", OPTION_PARSED, &o.limits.max_entries, "N",
			"refuse images of more files (10000000; $BIVALVE_IMAGE_MAX_ENTRIES)", parse_number },
		{ .name = NULL },
	};
	char **words;
	int r = limit_from_env("BIVALVE_IMAGE_MAX_BYTES", parse_size, &o.limits.max_bytes, err);

	if (r == 0)
		r = limit_from_env("BIVALVE_IMAGE_MAX_ENTRIES", parse_number, &o.limits.max_entries, err);
	if (r == 0)
		r = parse(c, rows, argc, argv, 2, 2, &words, err);
	if (r != 0)
		return r;
	o.changes = changes;
	o.source = words[0];
	o.name = words[1];
	r = image_import(&o, &result, err);
	if (r < 0)
		return r;
	tell_losses(&result.losses);
	if (json)
		put_image(&result.image);
	else
		tell_import(&result);
	record_release(&image_type, &result.image);
	return 0;
}

static void list_json(const struct image *images, size_t n)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_array(w, NULL);
	for (size_t i = 0; i < n; i++)
		record_write(w, NULL, &image_type, &images[i], true);
	json_end(w);
	text = json_writer_finish(w, NULL);
	(void)printf("%s\n", text);
}

static void list_table(const struct image *images, size_t n)
{
	int width = 4;

	for (size_t i = 0; i < n; i++)
		width = (int)strlen(images[i].name) > width ? (int)strlen(images[i].name) : width;
	(void)printf("%-*s  %-12s  %6s  %10s  %s\n", width, "NAME", "DIGEST", "LAYERS", "SIZE", "IMPORTED");
	for (size_t i = 0; i < n; i++) {
		time_t at = (time_t)(images[i].created_ns / UINT64_C(1000000000));
		char size[32], when[32] = "";
		struct tm tm;

		if (localtime_r(&at, &tm))
			(void)strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm); /* always fits */
		(void)printf("%-*s  %.12s  %6zu  %10s  %s\n", width, images[i].name, digest_hex(images[i].digest),
			strv_len(images[i].layers), show_size(images[i].size_bytes, size), when);
	}
}

static int cmd_list(const struct command *c, int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *store = store_dir();
	bool json = false, quiet = false;
	const struct option_row rows[] = {
		{ 0, "json", OPTION_FLAG, &json, NULL, "print an array of images as JSON", NULL },
		{ 'q', "quiet", OPTION_FLAG, &quiet, NULL, "print names only", NULL },
		{ .name = NULL },
	};
	struct image *images = NULL;
	size_t n = 0;
	char **words;
	int r = parse(c, rows, argc, argv, 0, 0, &words, err);

	if (r == 0)
		r = images_list(store, &images, &n, err);
	if (r != 0)
		return r;
	if (json)
		list_json(images, n);
	else if (!quiet)
		list_table(images, n);
	for (size_t i = 0; quiet && !json && i < n; i++)
		(void)printf("%s\n", images[i].name);
	images_free(images, n);
	return 0;
}

static int cmd_inspect(const struct command *c, int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { .name = NULL } };
	_cleanup_free_ char *store = store_dir();
	struct image image;
	char **words;
	int r = parse(c, rows, argc, argv, 1, 1, &words, err);

	if (r == 0)
		r = image_load(store, words[0], &image, err);
	if (r != 0)
		return r;
	put_image(&image);
	record_release(&image_type, &image);
	return 0;
}

static void tell_collected(const struct collected *n)
{
	(void)printf("removed %llu images, %llu layers, %llu disks\n", (unsigned long long)n->images,
		(unsigned long long)n->layers, (unsigned long long)n->disks);
}

static int cmd_remove(const struct command *c, int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *store = store_dir();
	struct collected collected = { 0 };
	bool force = false;
	const struct option_row rows[] = {
		{ 'f', "force", OPTION_FLAG, &force, NULL, "even if an instance uses it, or if it cannot be read",
			NULL },
		{ .name = NULL },
	};
	char **words;
	int r = parse(c, rows, argc, argv, 1, -1, &words, err);

	if (r == 0)
		r = images_remove(store, words, force, &collected, err);
	if (r == 0)
		tell_collected(&collected);
	return r;
}

static int cmd_prune(const struct command *c, int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { .name = NULL } };
	_cleanup_free_ char *store = store_dir();
	struct collected collected = { 0 };
	char **words;
	int r = parse(c, rows, argc, argv, 0, 0, &words, err);

	if (r == 0)
		r = images_prune(store, &collected, err);
	if (r == 0)
		tell_collected(&collected);
	return r;
}

static int cmd_disk(const struct command *c, int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { .name = NULL } };
	_cleanup_free_ char *store = store_dir(), *path = NULL;
	struct image image;
	char **words;
	int r = parse(c, rows, argc, argv, 1, 1, &words, err);

	if (r == 0)
		r = image_load(store, words[0], &image, err);
	if (r != 0)
		return r;
	r = image_disk_make(store, &image, &path, err);
	record_release(&image_type, &image);
	if (r < 0)
		return r;
	(void)printf("%s\n", path);
	return 0;
}

static const struct command commands[] = {
	{ "import", "[OPTION…] SOURCE NAME", "Bring an image into the store.",
		"SOURCE is one of\n"
		"  DIR                             a root file system, or an OCI layout\n"
		"  FILE                            a tar of a root file system, an oci-archive or a docker-archive;\n"
		"                                  plain or compressed by gzip, zstd, xz or bzip2\n"
		"  -                               the same, from standard input\n"
		"  oci:DIR[:REF]                   an OCI layout\n"
		"  oci-archive:FILE[:REF]          a tar of one\n"
		"  docker-archive:FILE[:NAME:TAG]  from docker save or podman save\n"
		"Of an image for several platforms, the one for this host is taken.",
		cmd_import },
	{ "list", "[OPTION…]", "List the images in the store.", NULL, cmd_list },
	{ "inspect", "NAME", "Print an image as JSON.", NULL, cmd_inspect },
	{ "remove", "[OPTION…] NAME…", "Remove images, with the layers and disks that no other image uses.", NULL,
		cmd_remove },
	{ "prune", "", "Remove what interrupted imports left and what no image uses.", NULL, cmd_prune },
	{ "disk", "NAME", "Print the path of the image's EROFS disk; make it if it is missing.", NULL, cmd_disk },
};

static int help(FILE *to)
{
	(void)fprintf(to, "Usage: %s COMMAND [OPTION…] [ARGUMENT…]\n\nImages that bivalve runs.\n\nCommands:\n",
		program);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
	(void)fprintf(to, "\n`%s COMMAND --help` tells more.\n", program);
	return 0;
}

static int run(int argc, char **argv, struct error *err)
{
	const char *name = argc > 1 ? argv[1] : "--help";

	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
		return help(stdout);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(&commands[i], argc - 1, argv + 1, err);
	}
	return error_set(err, EINVAL, "image: unknown command \"%s\" (%s --help lists them)", name, program);
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	struct rlimit files;
	int r;

	/* Names in archives are UTF-8, whatever the user's locale is; without this libarchive drops them in "C". */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		(void)setlocale(LC_CTYPE, ""); /* the next best */
	(void)umask(022);
	(void)signal(SIGPIPE, SIG_IGN); /* a reader that left shows as a write error below */
	(void)signal(SIGXFSZ, SIG_IGN); /* a file size limit shows as EFBIG */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files); /* removing deep trees keeps many folders open */
	}
	r = run(argc, argv, &err);
	if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = error_sys(&err, "cannot write the result");
	if (r < 0) {
		(void)fprintf(stderr, "bivalve: %s\n", err.message);
		return EXIT_OWN_ERROR;
	}
	return 0;
}
