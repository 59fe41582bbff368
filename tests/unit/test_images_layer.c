/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for names in archives, what may become of an entry beneath a layer's folder, and attributes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/entry_path.h"
#include "images/layer_dir.h"
#include "images/manifest.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"

static void test_clean(void)
{
	static const struct {
		const char *raw, *clean; /* NULL: refused */
	} rows[] = {
		{ "a", "a" }, { "a/b", "a/b" }, { "./a", "a" }, { "/a", "a" }, { "//a//b//", "a/b" },
		{ "a/./b/.", "a/b" },
		{ "", "" }, { ".", "" }, { "./", "" }, { "/", "" }, { "...", "..." }, { "..a", "..a" },
		{ "a..", "a.." },
		{ ".a", ".a" }, { " ", " " }, { "a\nb", "a\nb" },
		{ "..", NULL }, { "../a", NULL }, { "a/..", NULL }, { "a/../b", NULL }, { "/..", NULL },
		{ "./../a", NULL },
		{ "a/../../../../etc", NULL },
	};
	char path[ENTRY_PATH_MAX], raw[2 * ENTRY_PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *why = entry_path_clean(rows[i].raw, path);

		ok(rows[i].clean ? !why && strcmp(path, rows[i].clean) == 0 : why != NULL, "name \"%s\"",
			i == 15 ? "with a newline" : rows[i].raw);
	}
	memset(raw, 'x', sizeof raw);
	raw[256] = '\0';
	ok(entry_path_clean(raw, path) != NULL, "a component of 256 bytes is refused");
	ok(!entry_path_clean(raw + 1, path) && strlen(path) == 255, "one of 255 is not");
	raw[256] = 'x';
	for (size_t i = 0; i < sizeof raw; i++)
		raw[i] = i % 100 == 99 ? '/' : 'x';
	raw[4095] = '\0';
	ok(!entry_path_clean(raw, path) && strlen(path) == 4095, "4095 bytes are good");
	raw[4095] = 'x';
	raw[4096] = '\0';
	ok(entry_path_clean(raw, path) != NULL, "4096 bytes are refused");
	for (size_t i = 0; i < 2 * 257; i++)
		raw[i] = i % 2 ? '/' : 'd';
	raw[2 * 256] = '\0';
	ok(!entry_path_clean(raw, path), "256 folders are good");
	raw[2 * 256] = 'd';
	raw[2 * 256 + 1] = '\0';
	ok(entry_path_clean(raw, path) != NULL, "257 are refused");
}

static void test_show(void)
{
	char buf[8];

	ok(!strcmp(entry_path_show("a\nb\x1b", buf, sizeof buf), "a?b?"), "control characters are not shown");
	ok(!strcmp(entry_path_show("0123456789", buf, sizeof buf), "0123..."), "long names are cut");
	ok(!strcmp(entry_path_show("0123456", buf, sizeof buf), "0123456"), "what fits is not");
}

static void test_whiteouts(void)
{
	static const struct {
		const char *base;
		enum entry_whiteout kind;
		const char *target;
	} rows[] = {
		{ "a", ENTRY_PLAIN, NULL },	     { ".wh", ENTRY_PLAIN, NULL },	   { "a.wh.b", ENTRY_PLAIN,
			NULL },
		{ ".wh.a", ENTRY_WHITEOUT, "a" },    { ".wh..a", ENTRY_WHITEOUT, ".a" },   { ".wh...a",
			ENTRY_WHITEOUT, "..a" },
		{ ".wh.", ENTRY_BAD, NULL },	     { ".wh..", ENTRY_BAD, NULL },	   { ".wh...", ENTRY_BAD,
			NULL },
		{ ".wh..wh..opq", ENTRY_OPAQUE, NULL }, { ".wh..wh.plnk", ENTRY_IGNORED, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *target = NULL;
		enum entry_whiteout kind = entry_whiteout_kind(rows[i].base, &target);

		ok(kind == rows[i].kind && (!rows[i].target || (target && !strcmp(target, rows[i].target))), "%s",
			rows[i].base);
	}
}

static int write_file(struct layer_dir *d, const char *path, const struct layer_attrs *attrs, struct error *err)
{
	_cleanup_close_ int fd = layer_dir_file(d, path, attrs, err);

	return fd < 0 ? fd : layer_dir_file_done(d, fd, attrs, err);
}

/* Entries in whatever order; nothing may be reached through a link. */
static void test_layer_dir(const char *dir)
{
	const struct layer_attrs attrs = { .mode = 0640, .uid = geteuid(), .gid = getegid(), .mtime = { 7, 8 } },
				 folder = { .mode = 0500, .uid = geteuid(), .gid = getegid(), .mtime = { 9, 0 } };
	struct error err = { 0 };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int look = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_layer_dir_ struct layer_dir *d = layer_dir_new(fd, NULL);
	struct stat st, other;

	ok(layer_dir_folder(d, "ro", &folder, &err) == 0, "a folder");
	ok(write_file(d, "ro/in/deep", &attrs, &err) == 0,
		"a file in a folder that is only implied, in a read-only one");
	ok(layer_dir_symlink(d, "link", "/etc", &attrs, &err) == 0, "a link out of the layer");
	ok(write_file(d, "link/x", &attrs, &err) == -ELOOP && strstr(err.message, "symbolic link"),
		"nothing is made behind it");
	ok(layer_dir_folder(d, "link/x/y", &attrs, &err) == -ELOOP, "no folder either");
	ok(layer_dir_symlink(d, "link/x", "y", &attrs, &err) == -ELOOP, "no link");
	ok(layer_dir_hardlink(d, "link/x", "ro/in/deep", &err) == -ELOOP, "no hard link");
	ok(layer_dir_node(d, "link/x", S_IFIFO, 0, &attrs, &err) == -ELOOP, "no FIFO");
	ok(layer_dir_whiteout(d, "link/passwd", &err) == -ELOOP, "no whiteout");
	ok(layer_dir_opaque(d, "link", &err) == -ELOOP, "no opaque folder");
	ok(layer_dir_hardlink(d, "y", "link/passwd", &err) == -ELOOP, "no hard link's target");
	ok(layer_dir_hardlink(d, "y", "nothing", &err) == -ENOENT, "none that is not there");
	ok(layer_dir_hardlink(d, "y", "ro", &err) == -EPERM, "none that is a folder");
	ok(write_file(d, "ro/in/deep/x", &attrs, &err) == -ENOTDIR, "nothing is made in a file");
	ok(layer_dir_hardlink(d, "y", "link", &err) == 0, "a link may have two names");
	ok(layer_dir_hardlink(d, "hard", "ro/in/deep", &err) == 0, "so may a file");
	ok(write_file(d, "hard2/x", &attrs, &err) == 0 && write_file(d, "hard2", &attrs, &err) == 0,
		"a file replaces a folder");
	ok(write_file(d, "hard2", &attrs, &err) == 0 && layer_dir_folder(d, "hard2", &attrs, &err) == 0,
		"and a folder a file");
	ok(layer_dir_node(d, "p", S_IFIFO, 0, &attrs, &err) == 0, "a FIFO");
	ok(layer_dir_finish(d, &err) == 0, "finished");
	ok(fstatat(look, "ro", &st, 0) == 0 && (st.st_mode & 07777) == 0500 && st.st_mtim.tv_sec == 9,
		"the folder's mode and time");
	ok(fstatat(look, "ro/in/deep", &st, 0) == 0 && (st.st_mode & 07777) == 0640 && st.st_mtim.tv_nsec == 8,
		"the file's mode and time");
	ok(fstatat(look, "hard", &other, 0) == 0 && other.st_ino == st.st_ino, "two names, one file");
	ok(fstatat(look, "y", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode), "two names, one link");
	ok(fstatat(look, "hard2", &st, 0) == 0 && S_ISDIR(st.st_mode), "the last one counts");
}

static void test_xattrs(void)
{
	struct xattrs x = { 0 };
	struct error err = { 0 };
	char name[300];

	ok(xattr_allowed("user.a") && xattr_allowed("security.capability") && xattr_allowed("trusted.a"), "allowed");
	ok(!xattr_allowed("trusted.overlay.redirect") && !xattr_allowed("user.overlay.opaque"), "none of overlayfs");
	ok(!xattr_allowed("security.selinux") && !xattr_allowed("system.other") && !xattr_allowed("x"), "no others");
	ok(xattrs_add(&x, "user.a", "1", 1, &err) == 0 && xattrs_add(&x, "user.a", "22", 2, &err) == 0 && x.n == 1 &&
			x.items[0].len == 2,
		"the later value counts");
	memset(name, 'x', sizeof name);
	name[299] = '\0';
	ok(xattrs_add(&x, name, "1", 1, &err) == -E2BIG && xattrs_add(&x, "user.b", name, 65537, &err) == -E2BIG,
		"limits");
	xattrs_release(&x);
}

static void test_digest(void)
{
	static const char abc256[] = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			  empty256[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	_cleanup_free_ char *a = digest_of("abc", 3, NULL), *b = digest_of("", 0, NULL), *c = digest_of("abc", 3,
		"sha512:");

	ok(!strcmp(a, abc256) && !strcmp(b, empty256), "sha256 of \"abc\" and of nothing (FIPS 180-4)");
	ok(!strncmp(c, "sha512:ddaf35a193617aba", 23) && digest_valid(c), "sha512 of \"abc\"");
}

static void test_changes(void)
{
	static const char *const bad[] = { "", "CMD", "CMD [1]", "CMD [\"a\"", "ENV", "ENV A", "ENV =x",
		"LABEL a=b", "RUN x" };
	struct image image = { 0 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(image_apply_change(&image, bad[i], &err) == -EINVAL, "--change \"%s\" is refused", bad[i]);
	ok(image_apply_change(&image, "cmd [\"a\",\"b c\"]", &err) == 0 && strv_len(image.command) == 2,
		"CMD as an array");
	ok(image_apply_change(&image, "CMD a b", &err) == 0 && strv_len(image.command) == 3 &&
			!strcmp(image.command[2], "a b"),
		"CMD for the shell");
	ok(image_apply_change(&image, "ENV A=1", &err) == 0 && image_apply_change(&image, "ENV AB 2", &err) == 0 &&
			image_apply_change(&image, "ENV A=3=4", &err) == 0 && strv_len(image.env) == 2 &&
			!strcmp(image.env[0], "A=3=4") && !strcmp(image.env[1], "AB=2"),
		"ENV");
	ok(image_apply_change(&image, "WORKDIR a", &err) == 0 && !strcmp(image.cwd, "/a"), "WORKDIR becomes absolute");
	record_release(&image_type, &image);
}

int main(void)
{
	char dir[] = "/tmp/test_images_layer.XXXXXX";

	test_clean();
	test_show();
	test_whiteouts();
	test_xattrs();
	test_digest();
	test_changes();
	if (!mkdtemp(dir))
		return 1;
	test_layer_dir(dir);
	ok(path_remove_tree(AT_FDCWD, dir, NULL) == 0, "cleared up");
	return tap_done();
}
