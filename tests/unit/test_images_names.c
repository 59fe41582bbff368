/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images, where the store is, digests, and the file that a launch reads. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_names(void)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{ "busybox", true }, { "busybox:latest", true }, { "a", true }, { "9", true }, { "A.b_c-d", true },
		{ "registry:5000/a/b:1.0", true }, { "a@sha256:" HEX64, true },
		{ "", false }, { ".", false }, { "..", false }, { ".a", false }, { "-a", false }, { "_a", false },
		{ "/a", false }, { "a/", false }, { "a:", false }, { "a@", false }, { "a//b", false },
		{ "a..b", false },
		{ "a/../b", false }, { "a b", false }, { "a\n", false }, { "a%2Fb", false }, { "a\\b", false },
		{ "\xc3\xa4", false }, { "a\xc3\xa4", false }, { "a;b", false }, { "a*", false },
	};
	char longest[202];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error err = { 0 };
		int r = image_name_check(rows[i].name, &err);

		ok(rows[i].good ? r == 0 : r == -EINVAL && strstr(err.message, "image name"), "name %zu is %s", i,
			rows[i].good ? "good" : "refused");
	}
	memset(longest, 'x', sizeof longest);
	longest[200] = '\0';
	ok(image_name_check(longest, NULL) == 0, "200 characters are good");
	longest[200] = 'x';
	longest[201] = '\0';
	ok(image_name_check(longest, NULL) == -EINVAL, "201 characters are refused");
	for (size_t i = 0; i < 199; i++)
		longest[i] = i % 2 ? '/' : 'x';
	longest[199] = '\0';
	ok(image_name_check(longest, NULL) == -EINVAL, "a name that no file could have is refused");
}

static bool gives(char *owned, const char *wanted)
{
	bool same = strcmp(owned, wanted) == 0;

	if (!same)
		printf("# %s\n", owned);
	free(owned);
	return same;
}

static void test_full_names(void)
{
	ok(gives(image_name_full("a"), "a:latest"), "no tag means :latest");
	ok(gives(image_name_full("a:1"), "a:1"), "a tag stays");
	ok(gives(image_name_full("host:5000/a"), "host:5000/a:latest"), "a port is no tag");
	ok(gives(image_name_full("a@sha256:1"), "a@sha256:1"), "a digest needs no tag");
	ok(gives(image_file_name("a"), "a%3Alatest.json"), "file name without a tag");
	ok(gives(image_file_name("host:5000/a:1"), "host%3A5000%2Fa%3A1.json"), "file name of a name with everything");
}

static void test_digests(void)
{
	ok(digest_valid("sha256:" HEX64), "sha256");
	ok(digest_valid("sha512:" HEX64 HEX64), "sha512");
	ok(!digest_valid("sha512:" HEX64) && !digest_valid("sha256:" HEX64 "0"), "wrong lengths");
	ok(!digest_valid("md5:" HEX64) && !digest_valid(HEX64) && !digest_valid(""), "wrong algorithms");
	ok(!digest_valid("sha256:../../../../../../../../../../../../../../../../../../../../../x") &&
			!digest_valid("sha256:ABCDEF6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
		"no hexadecimal digits");
	ok(gives(image_layer_path("/s", "sha256:" HEX64), "/s/layers/" HEX64), "path of a layer");
	ok(gives(image_disk_path("/s", "sha256:" HEX64), "/s/disks/" HEX64 ".erofs"), "path of a disk");
}

static void test_places(void)
{
	_cleanup_free_ char *cwd = getcwd(NULL, 0), *relative = xasprintf("%s/here", cwd);

	(void)setenv("BIVALVE_STORE", "/x/y", 1);
	ok(gives(store_dir(), "/x/y"), "BIVALVE_STORE");
	(void)setenv("BIVALVE_STORE", "here", 1);
	ok(gives(store_dir(), relative), "a relative one becomes absolute");
	(void)setenv("BIVALVE_RUN", "/run/z", 1);
	ok(gives(store_run_dir(), "/run/z"), "BIVALVE_RUN");
	(void)unsetenv("BIVALVE_STORE");
	(void)unsetenv("BIVALVE_RUN");
	(void)setenv("XDG_DATA_HOME", "/d", 1);
	(void)setenv("XDG_RUNTIME_DIR", "/r", 1);
	ok(gives(store_dir(), geteuid() == 0 ? "/var/lib/bivalve" : "/d/bivalve"), "the user's store");
	ok(gives(store_run_dir(), geteuid() == 0 ? "/run/bivalve" : "/r/bivalve"), "the user's run-time folder");
}

/* Writes text as the image x of a store in dir and loads it. */
static int load(const char *dir, const char *text, struct image *image, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/images/x%%3Alatest.json", dir);

	*err = (struct error){ 0 };
	if (text && file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, NULL) < 0)
		return -EIO;
	return image_load(dir, "x", image, err);
}

static void test_load(const char *dir)
{
	_cleanup_free_ char *images = xasprintf("%s/images", dir);
	struct image image = { 0 };
	struct error err;

	ok(path_mkdirs(images, 0700, NULL) == 0, "a store");
	ok(load(dir, NULL, &image, &err) == -ENOENT && strstr(err.message, "bivalve image import SOURCE x"),
		"an image that is missing: advice");
	ok(load(dir,
		   "{\"name\":\"x:latest\",\"digest\":\"sha256:" HEX64 "\",\"layers\":[\"sha256:" HEX64
		   "\"],\"env\":[\"A=b\"],\"size_bytes\":5}",
		   &image, &err) == 0 &&
			image.size_bytes == 5 && strcmp(image.env[0], "A=b") == 0 && !image.cwd,
		"a good one");
	record_release(&image_type, &image);
	ok(load(dir, "{\"name\":\"x:latest\",\"digest\":\"sha256:" HEX64 "\",\"layers\":[\"sha256:../../x\"]}", &image,
		   &err) == -EINVAL &&
			strstr(err.message, "layers[0]"),
		"a layer that is a path is refused");
	ok(load(dir, "{\"name\":\"x:latest\",\"digest\":\"sha256:" HEX64 "\",\"layers\":[]}", &image, &err) == -EINVAL,
		"no layers is refused");
	ok(load(dir, "{\"name\":\"x:latest\",\"digest\":\"../x\",\"layers\":[\"sha256:" HEX64 "\"]}", &image, &err) ==
			   -EINVAL &&
			strstr(err.message, "digest"),
		"a digest that is a path is refused");
	ok(load(dir, "{", &image, &err) == -EINVAL, "no JSON is refused");
	ok(image_load(dir, "../x", &image, &err) == -EINVAL, "a bad name is refused");
}

int main(void)
{
	char dir[] = "/tmp/test_images_names.XXXXXX";

	test_names();
	test_full_names();
	test_digests();
	test_places();
	if (!mkdtemp(dir))
		return 1;
	test_load(dir);
	ok(path_remove_tree(AT_FDCWD, dir, NULL) == 0, "cleared up");
	return tap_done();
}
