/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel store and the initramfs: what is taken, what is refused, and the archive's bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"
#include "vm-backend/kernel/cpio.h"
#include "vm-backend/kernel/kernel.h"
#include "vm-backend/kernel/kernel_modules.h"

static char root[] = "/tmp/bivalve-test.XXXXXX";

static char *in_root(const char *name)
{
	return xasprintf("%s/%s", root, name);
}

/* Writes root/name with its folders. */
static void put(const char *name, const void *data, size_t len)
{
	_cleanup_free_ char *path = in_root(name), *folder = xstrdup(path);

	*strrchr(folder, '/') = '\0';
	if (path_mkdirs(folder, 0755, NULL) < 0 || file_write_atomic(AT_FDCWD, path, data, len, 0644, NULL) < 0)
		exit(99);
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static void put_bzimage(const char *name, const char *version)
{
	uint8_t image[4096] = { 0 };

	memcpy(image + 0x202, "HdrS", 4);
	image[0x1fe] = 0x55;
	image[0x1ff] = 0xaa;
	image[0x20f] = 0x04; /* version string at 0x200 + 0x400 */
	memcpy(image + 0x600, version, strlen(version));
	put(name, image, sizeof image);
}

static const char dep[] =
	"kernel/drivers/virtio/virtio_ring.ko:\n"
	"kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/block/virtio_blk.ko.gz: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko "
	"kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/char/virtio_console_other.ko:\n"
	"kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko\n"
	"kernel/lib/libcrc32c.ko:\n";

static void make_source(void)
{
	static const char *const plain[] = { "kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko",
		"kernel/drivers/virtio/virtio_mmio.ko", "kernel/drivers/char/hw_random/virtio-rng.ko",
		"kernel/fs/erofs/erofs.ko", "kernel/lib/libcrc32c.ko" };
	_cleanup_free_ char *gz = in_root("source/modules/6.1.0-test/kernel/drivers/block/virtio_blk.ko");
	_cleanup_free_ char *command = xasprintf("gzip -f %s", gz);

	put_bzimage("source/vmlinuz", "6.1.0-test (someone) #1");
	put_text("source/version", "6.1.0-test\n");
	put_text("source/config", "CONFIG_64BIT=y\n# CONFIG_ACPI is not set\n");
	put_text("source/modules/6.1.0-test/modules.dep", dep);
	put_text("source/modules/6.1.0-test/modules.builtin",
			"kernel/drivers/char/virtio_console.ko\nkernel/fs/overlayfs/overlay.ko\n");
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		_cleanup_free_ char *path = xasprintf("source/modules/6.1.0-test/%s", plain[i]);

		put_text(path, "a module\n");
	}
	put_text("source/modules/6.1.0-test/kernel/drivers/block/virtio_blk.ko", "a packed module\n");
	if (system(command) != 0)
		exit(99);
}

static void test_selection(void)
{
	static const char *const expected[] = { "kernel/drivers/virtio/virtio_ring.ko",
		"kernel/drivers/virtio/virtio.ko", "kernel/drivers/virtio/virtio_mmio.ko",
		"kernel/drivers/block/virtio_blk.ko.gz", "kernel/drivers/char/hw_random/virtio-rng.ko",
		"kernel/lib/libcrc32c.ko", "kernel/fs/erofs/erofs.ko" };
	_cleanup_free_ char *tree = in_root("source/modules/6.1.0-test"), *no_tree = in_root("source");
	_cleanup_strv_ char **paths = NULL;
	struct error err = { 0 };
	bool same = true;

	ok(kernel_modules_select(tree, &paths, &err) == 0, "modules are selected (%s)", err.message);
	ok(strv_len(paths) == ARRAY_LEN(expected), "as many as needed");
	for (size_t i = 0; i < strv_len(paths) && i < ARRAY_LEN(expected); i++)
		same &= strcmp(paths[i], expected[i]) == 0;
	ok(same, "each after what it depends on");
	ok(kernel_modules_select(no_tree, &paths, &err) == -ENOENT, "no modules.dep: %s", err.message);
}

static void test_missing_module(void)
{
	_cleanup_free_ char *tree = in_root("poor");
	char **paths = NULL;
	struct error err = { 0 };

	put_text("poor/modules.dep", "kernel/virtio_mmio.ko:\n");
	put_text("poor/modules.builtin", "kernel/virtio_console.ko\n");
	ok(kernel_modules_select(tree, &paths, &err) == -ENOENT && strstr(err.message, "virtio_blk"),
			"a missing module is named: %s", err.message);
}

static void test_refusals(void)
{
	_cleanup_free_ char *text = in_root("text"), *object = in_root("object"), *store = in_root("store");
	struct error err = { 0 };

	put_text("text", "#!/bin/sh\n");
	put("object", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\1\0\76\0", 20);
	ok(kernel_import(store, text, "k", &err) == -EINVAL && strstr(err.message,
			"not a kernel: neither a bzImage (no HdrS magic) nor an ELF vmlinux"), "a script: %s",
			err.message);
	ok(kernel_import(store, object, "k", &err) == -EINVAL && strstr(err.message, "no x86-64 vmlinux"),
			"an object file: %s", err.message);
	ok(kernel_import(store, root, "k", &err) == -ENOENT, "an empty folder: %s", err.message);
	ok(kernel_import(store, "/nowhere", "k", &err) == -ENOENT, "no file: %s", err.message);
	ok(kernel_import(store, text, "../k", &err) == -EINVAL, "a bad name: %s", err.message);
	ok(kernel_load(store, NULL, &(struct kernel){ 0 }, &err) == -ENOENT && strstr(err.message, "kernel import"),
			"an empty store: %s", err.message);
}

static uint32_t hex8(const char *text)
{
	char digits[9] = { 0 };

	memcpy(digits, text, 8);
	return (uint32_t)strtoul(digits, NULL, 16);
}

/* Walks the archive; returns the entry's data and size, or NULL. */
static const char *find_entry(const char *archive, size_t len, const char *name, uint32_t *ret_size, uint32_t *ret_mode)
{
	for (size_t at = 0; at + 110 <= len && memcmp(archive + at, "070701", 6) == 0;) {
		uint32_t size = hex8(archive + at + 54), name_size = hex8(archive + at + 94);
		size_t data = (at + 110 + name_size + 3) & ~(size_t)3;

		if (strcmp(archive + at + 110, name) == 0) {
			*ret_size = size;
			*ret_mode = hex8(archive + at + 14);
			return archive + data;
		}
		at = (data + size + 3) & ~(size_t)3;
	}
	return NULL;
}

static void test_archive(const char *store, const struct kernel *kernel)
{
	_cleanup_free_ char *guest = in_root("guest"), *path = NULL, *again = NULL, *other = NULL, *archive = NULL;
	uint32_t size = 0, mode = 0;
	struct error err = { 0 };
	const char *data;
	size_t len = 0;

	put_text("guest", "the guest's init");
	ok(kernel_initramfs(store, kernel, guest, &path, &err) == 0, "an initramfs is made (%s)", err.message);
	ok(file_read_at(AT_FDCWD, path, 1 << 20, &archive, &len, &err) == 0 && len % 4 == 0, "and can be read");
	data = find_entry(archive, len, "init", &size, &mode);
	ok(data && size == 16 && memcmp(data, "the guest's init", 16) == 0 && mode == 0100755, "/init is the guest");
	data = find_entry(archive, len, "modules/virtio_blk.ko", &size, &mode);
	ok(data && size == 16 && memcmp(data, "a packed module\n", 16) == 0, "a packed module is unpacked");
	data = find_entry(archive, len, "modules/list", &size, &mode);
	ok(data && memcmp(data, "virtio_ring.ko\nvirtio.ko\n", 25) == 0, "the list has the order");
	data = find_entry(archive, len, "dev/console", &size, &mode);
	ok(data && mode == 020600, "there is a console");
	ok(find_entry(archive, len, "TRAILER!!!", &size, &mode), "the archive ends");
	ok(kernel_initramfs(store, kernel, guest, &again, &err) == 0 && strcmp(path, again) == 0, "it is cached");
	put_text("guest", "another init, of another size");
	ok(kernel_initramfs(store, kernel, guest, &other, &err) == 0 && strcmp(path, other) != 0,
			"another guest binary gives another one");
	ok(kernel_initramfs(store, kernel, "/nowhere", &other, &err) == -ENOENT, "no guest: %s", err.message);
}

static void test_store(void)
{
	_cleanup_free_ char *store = in_root("store"), *source = in_root("source"), *single = in_root("single");
	struct kernel kernel = { 0 }, *list = NULL;
	struct error err = { 0 };
	size_t n = 0;

	ok(kernel_import(store, source, "first", &err) == 0, "a folder is imported (%s)", err.message);
	ok(kernel_load(store, "first", &kernel, &err) == 0, "and loaded (%s)", err.message);
	ok(kernel.version && strcmp(kernel.version, "6.1.0-test") == 0 && strcmp(kernel.format, "bzImage") == 0 &&
			strv_len(kernel.modules) == 7, "with version, format and modules");
	ok(kernel.no_acpi && kernel_file_no_acpi(kernel.path), "its configuration's lack of ACPI is known");
	test_archive(store, &kernel);
	kernel_release(&kernel);

	put_bzimage("single", "7.0-own (x)");
	ok(kernel_import(store, single, "second", &err) == 0, "a file is imported (%s)", err.message);
	ok(kernel_load(store, NULL, &kernel, &err) == 0 && strcmp(kernel.name, "second") == 0 &&
			strcmp(kernel.version, "7.0-own") == 0 && !kernel.no_acpi, "the newest import is preferred");
	kernel_release(&kernel);
	ok(kernel_import(store, single, "first", &err) == 0 && kernel_load(store, "first", &kernel, &err) == 0 &&
			!kernel.modules, "an import replaces what has the name (%s)", err.message);
	kernel_release(&kernel);
	ok(kernel_list(store, &list, &n, &err) == 0 && n == 2 && strcmp(list[0].name, "first") == 0, "both are listed");
	kernel_list_free(list, n);
	ok(kernel_remove(store, "first", &err) == 0 && kernel_remove(store, "first", &err) == -ENOENT,
			"one is removed once: %s", err.message);
	ok(kernel_load(store, "first", &kernel, &err) == -ENOENT, "and gone");
}

int main(void)
{
	if (!mkdtemp(root))
		return 99;
	make_source();
	test_selection();
	test_missing_module();
	test_refusals();
	test_store();
	(void)path_remove_tree(AT_FDCWD, root, NULL); /* a left-over in /tmp is no failure */
	return tap_done();
}
