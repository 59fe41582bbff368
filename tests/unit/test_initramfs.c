/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel store and the initramfs: what is taken, what is refused, and the archive's bytes. */
#include <elf.h>
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
#include "vm-backend/arch/x86_64/kernel_image.h"
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
	if (path_mkdirs(folder, 0755, NULL) < 0 ||
		file_write_atomic(AT_FDCWD, path, data, len, 0644, NULL) < 0)
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
	"kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko "
	"kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/block/virtio_blk.ko.gz: kernel/drivers/virtio/virtio.ko "
	"kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko "
	"kernel/drivers/virtio/virtio_ring.ko\n"
	"kernel/drivers/char/virtio_console_other.ko:\n"
	"kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko\n"
	"kernel/lib/libcrc32c.ko:\n";

static void make_source(void)
{
	static const char *const plain[] = { "kernel/drivers/virtio/virtio_ring.ko",
		"kernel/drivers/virtio/virtio.ko", "kernel/drivers/virtio/virtio_mmio.ko",
		"kernel/drivers/char/hw_random/virtio-rng.ko", "kernel/fs/erofs/erofs.ko",
		"kernel/lib/libcrc32c.ko" };
	_cleanup_free_ char *gz =
		in_root("source/modules/6.1.0-test/kernel/drivers/block/virtio_blk.ko");
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
	put_text("source/modules/6.1.0-test/kernel/drivers/block/virtio_blk.ko",
		"a packed module\n");
	if (system(command) != 0)
		exit(99);
}

static void test_selection(void)
{
	static const char *const expected[] = { "kernel/drivers/virtio/virtio_ring.ko",
		"kernel/drivers/virtio/virtio.ko", "kernel/drivers/virtio/virtio_mmio.ko",
		"kernel/drivers/block/virtio_blk.ko.gz",
		"kernel/drivers/char/hw_random/virtio-rng.ko", "kernel/lib/libcrc32c.ko",
		"kernel/fs/erofs/erofs.ko" };
	_cleanup_free_ char *tree = in_root("source/modules/6.1.0-test"),
			    *no_tree = in_root("source");
	_cleanup_strv_ char **paths = NULL;
	struct error err = { 0 };
	bool same = true;

	ok(kernel_modules_select(tree, &paths, &err) == 0, "modules are selected (%s)",
		err.message);
	ok(strv_len(paths) == ARRAY_LEN(expected), "as many as needed");
	for (size_t i = 0; i < strv_len(paths) && i < ARRAY_LEN(expected); i++)
		same &= strcmp(paths[i], expected[i]) == 0;
	ok(same, "each after what it depends on");
	ok(kernel_modules_select(no_tree, &paths, &err) == -ENOENT, "no modules.dep: %s",
		err.message);
}

static void test_missing_module(void)
{
	_cleanup_free_ char *tree = in_root("poor");
	char **paths = NULL;
	struct error err = { 0 };

	put_text("poor/modules.dep", "kernel/virtio_mmio.ko:\n");
	put_text("poor/modules.builtin", "kernel/virtio_console.ko\n");
	ok(kernel_modules_select(tree, &paths, &err) == -ENOENT &&
			strstr(err.message, "virtio_blk"),
		"a missing module is named: %s", err.message);
}

static void test_refusals(void)
{
	_cleanup_free_ char *text = in_root("text"), *object = in_root("object"),
			    *store = in_root("store");
	struct error err = { 0 };

	put_text("text", "#!/bin/sh\n");
	put("object", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\1\0\76\0", 20);
	ok(kernel_import(store, text, "k", &err) == -EINVAL &&
			strstr(err.message, "not a kernel: neither a bzImage (no HdrS magic) nor "
					    "an ELF vmlinux"),
		"a script: %s", err.message);
	ok(kernel_import(store, object, "k", &err) == -EINVAL &&
			strstr(err.message, "no x86-64 vmlinux"),
		"an object file: %s", err.message);
	ok(kernel_import(store, root, "k", &err) == -ENOENT, "an empty folder: %s", err.message);
	ok(kernel_import(store, "/nowhere", "k", &err) == -ENOENT, "no file: %s", err.message);
	ok(kernel_import(store, text, "../k", &err) == -EINVAL, "a bad name: %s", err.message);
	ok(kernel_load(store, NULL, &(struct kernel){ 0 }, &err) == -ENOENT &&
			strstr(err.message, "kernel import"),
		"an empty store: %s", err.message);
}

static uint32_t hex8(const char *text)
{
	char digits[9] = { 0 };

	memcpy(digits, text, 8);
	return (uint32_t)strtoul(digits, NULL, 16);
}

/* Walks the archive; returns the entry's data and size, or NULL. */
static const char *find_entry(
	const char *archive, size_t len, const char *name, uint32_t *ret_size, uint32_t *ret_mode)
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
	_cleanup_free_ char *guest = in_root("guest"), *path = NULL, *again = NULL, *other = NULL,
			    *archive = NULL;
	uint32_t size = 0, mode = 0;
	struct error err = { 0 };
	const char *data;
	size_t len = 0;

	put_text("guest", "the guest's init");
	ok(kernel_initramfs(store, kernel, guest, &path, &err) == 0, "an initramfs is made (%s)",
		err.message);
	ok(file_read_at(AT_FDCWD, path, 1 << 20, &archive, &len, &err) == 0 && len % 4 == 0,
		"and can be read");
	data = find_entry(archive, len, "init", &size, &mode);
	ok(data && size == 16 && memcmp(data, "the guest's init", 16) == 0 && mode == 0100755,
		"/init is the guest");
	data = find_entry(archive, len, "modules/virtio_blk.ko", &size, &mode);
	ok(data && size == 16 && memcmp(data, "a packed module\n", 16) == 0,
		"a packed module is unpacked");
	data = find_entry(archive, len, "modules/list", &size, &mode);
	ok(data && memcmp(data, "virtio_ring.ko\nvirtio.ko\n", 25) == 0, "the list has the order");
	data = find_entry(archive, len, "dev/console", &size, &mode);
	ok(data && mode == 020600, "there is a console");
	ok(find_entry(archive, len, "TRAILER!!!", &size, &mode), "the archive ends");
	ok(kernel_initramfs(store, kernel, guest, &again, &err) == 0 && strcmp(path, again) == 0,
		"it is cached");
	put_text("guest", "another init, of another size");
	ok(kernel_initramfs(store, kernel, guest, &other, &err) == 0 && strcmp(path, other) != 0,
		"another guest binary gives another one");
	ok(kernel_initramfs(store, kernel, "/nowhere", &other, &err) == -ENOENT, "no guest: %s",
		err.message);
}

static void test_store(void)
{
	_cleanup_free_ char *store = in_root("store"), *source = in_root("source"),
			    *single = in_root("single");
	struct kernel kernel = { 0 }, *list = NULL;
	struct error err = { 0 };
	size_t n = 0;

	ok(kernel_import(store, source, "first", &err) == 0, "a folder is imported (%s)",
		err.message);
	ok(kernel_load(store, "first", &kernel, &err) == 0, "and loaded (%s)", err.message);
	ok(kernel.version && strcmp(kernel.version, "6.1.0-test") == 0 &&
			strcmp(kernel.format, "bzImage") == 0 && strv_len(kernel.modules) == 7,
		"with version, format and modules");
	ok(kernel.no_acpi && kernel_file_no_acpi(kernel.path),
		"its configuration's lack of ACPI is known");
	test_archive(store, &kernel);
	kernel_release(&kernel);

	put_bzimage("single", "7.0-own (x)");
	ok(kernel_import(store, single, "second", &err) == 0, "a file is imported (%s)",
		err.message);
	ok(kernel_load(store, NULL, &kernel, &err) == 0 && strcmp(kernel.name, "second") == 0 &&
			strcmp(kernel.version, "7.0-own") == 0 && !kernel.no_acpi,
		"the newest import is preferred");
	kernel_release(&kernel);
	ok(kernel_import(store, single, "first", &err) == 0 &&
			kernel_load(store, "first", &kernel, &err) == 0 && !kernel.modules,
		"an import replaces what has the name (%s)", err.message);
	kernel_release(&kernel);
	ok(kernel_list(store, &list, &n, &err) == 0 && n == 2 && strcmp(list[0].name, "first") == 0,
		"both are listed");
	kernel_list_free(list, n);
	ok(kernel_use(store, "second", &err) == 0 && kernel_load(store, NULL, &kernel, &err) == 0 &&
			strcmp(kernel.name, "second") == 0,
		"one that is to be used is preferred to a newer one (%s)", err.message);
	kernel_release(&kernel);
	ok(kernel_list(store, &list, &n, &err) == 0 && n == 2 && strcmp(list[0].name, "second") == 0,
		"and listed first");
	kernel_list_free(list, n);
	ok(kernel_use(store, "third", &err) == -ENOENT && kernel_use(store, "../second", &err) == -EINVAL,
		"only one that is there: %s", err.message);
	ok(kernel_remove(store, "second", &err) == 0 && kernel_load(store, NULL, &kernel, &err) == 0 &&
			strcmp(kernel.name, "first") == 0,
		"when it is removed, the next is (%s)", err.message);
	kernel_release(&kernel);
	ok(kernel_remove(store, "first", &err) == 0 &&
			kernel_remove(store, "first", &err) == -ENOENT,
		"one is removed once: %s", err.message);
	ok(kernel_load(store, "first", &kernel, &err) == -ENOENT, "and gone");
}

enum {
	ELF_BYTES = 1 << 20,
	DATA_AT = 0x1000,
	GAP_AT = DATA_AT + 0x2000,
	TAIL_AT = GAP_AT + 0x40000
};

/* A vmlinux for address 16 MiB: two pages, 256 KiB of zeroes, a tail that ends within a page, 1 MiB of .bss. */
static void make_vmlinux(uint8_t *elf, uint16_t machine)
{
	const Elf64_Ehdr head = { .e_ident = ELFMAG "\2\1\1",
		.e_type = ET_EXEC,
		.e_machine = machine,
		.e_entry = 0x1000010,
		.e_phoff = sizeof head,
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1 };
	const Elf64_Phdr load = { .p_type = PT_LOAD,
		.p_offset = DATA_AT,
		.p_vaddr = 0xffffffff81000000,
		.p_paddr = 0x1000000,
		.p_filesz = TAIL_AT + 100 - DATA_AT,
		.p_memsz = 2 << 20 };

	memset(elf, 0, ELF_BYTES);
	memcpy(elf, &head, sizeof head);
	memcpy(elf + sizeof head, &load, sizeof load);
	memset(elf + DATA_AT, 0xaa, GAP_AT - DATA_AT);
	memset(elf + TAIL_AT, 0xbb, 100);
}

/* source/name as a bzImage whose payload is what `program` makes of the bytes. */
static void put_packed(
	const char *name, const char *program, const void *data, size_t bytes, uint32_t claimed)
{
	_cleanup_free_ char *plain = in_root("plain"), *packed = in_root("packed"), *command = NULL,
			    *payload = NULL;
	uint8_t *image = xcalloc(1, 2 * ELF_BYTES);
	const uint32_t offset = 0x300;
	size_t len;

	put("plain", data, bytes);
	command = xasprintf("%s -c <%s >%s", program, plain, packed);
	if (system(command) != 0 ||
		file_read_at(AT_FDCWD, packed, ELF_BYTES, &payload, &len, NULL) < 0)
		exit(99);
	if (strncmp(program, "gzip", 4))
		len += 4; /* the kernel's build notes the size behind it */
	memcpy(image + 0x202, "HdrS", 4);
	image[0x1fe] = 0x55;
	image[0x1ff] = 0xaa;
	image[0x1f1] = 1;
	image[0x206] = 0x0f;
	image[0x207] = 0x02;
	memcpy(image + 0x248, &offset, 4);
	memcpy(image + 0x24c, claimed ? &claimed : &(uint32_t){ (uint32_t)len }, 4);
	memcpy(image + 1024 + offset, payload, len - (strncmp(program, "gzip", 4) ? 4 : 0));
	put(name, image, 1024 + offset + len);
	free(image);
}

static void check_unpacked(const char *store, const char *source, const char *how)
{
	struct kernel kernel = { 0 };
	struct vm_memory memory;
	struct kernel_image image;
	struct error err = { 0 };
	const uint8_t *ram;
	struct stat st;
	int fd;

	ok(kernel_import(store, source, "packed", &err) == 0 &&
			kernel_load(store, "packed", &kernel, &err) == 0 && kernel.unpacked &&
			kernel.vmlinux_path,
		"%s: unpacked (%s)", how, err.message);
	fd = open(kernel.vmlinux_path ? kernel.vmlinux_path : "", O_RDONLY);
	ok(fd >= 0 && fstat(fd, &st) == 0 && st.st_size < 0x8000, "%s: without the zeroes", how);
	if (vm_memory_map(&memory, 64 << 20, &err) < 0)
		exit(99);
	ok(elf_load(fd, "vmlinux", &memory, &image, &err) == 1 && image.entry == 0x1000010 &&
			image.end == 0x1200000,
		"%s: loads (%s)", how, err.message);
	ram = vm_memory_at(&memory, 0x1000000, 2 << 20);
	ok(ram[0] == 0xaa && ram[0x1fff] == 0xaa && ram[0x2000] == 0 && ram[0x41fff] == 0 &&
			ram[0x42000] == 0xbb && ram[0x42063] == 0xbb && ram[0x42064] == 0,
		"%s: to the same bytes", how);
	vm_memory_release(&memory);
	kernel_release(&kernel);
	(void)close(fd); /* only read */
}

static void test_unpacking(void)
{
	static const char *const programs[] = { "gzip", "xz --check=crc32", "lz4 -l", "zstd",
		"bzip2", "lzop" };
	_cleanup_free_ char *store = in_root("store"), *packed = in_root("bz"),
			    *elf = xcalloc(1, ELF_BYTES);
	struct kernel kernel = { 0 };
	struct error err = { 0 };

	make_vmlinux((uint8_t *)elf, EM_X86_64);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		_cleanup_free_ char *is_there = xasprintf(
			"command -v %.*s >/dev/null", (int)strcspn(programs[i], " "), programs[i]);

		if (system(is_there) != 0) {
			skip("no %s", programs[i]);
			continue;
		}
		put_packed("bz", programs[i], elf, ELF_BYTES, 0);
		check_unpacked(store, packed, programs[i]);
	}
	put("bz", elf, ELF_BYTES);
	check_unpacked(store, packed, "an ELF");

	put_packed("bz", "gzip", elf, ELF_BYTES, 0x7fffffff);
	ok(kernel_import(store, packed, "packed", &err) == 0 &&
			kernel_load(store, "packed", &kernel, &err) == 0 && !kernel.unpacked &&
			!kernel.vmlinux_path,
		"a payload beyond the end: only the bzImage is kept");
	kernel_release(&kernel);
	put_packed("bz", "gzip", elf + DATA_AT, 0x1000, 0);
	ok(kernel_import(store, packed, "packed", &err) == 0 &&
			kernel_load(store, "packed", &kernel, &err) == 0 && !kernel.unpacked,
		"a payload that is no ELF: likewise");
	kernel_release(&kernel);
	make_vmlinux((uint8_t *)elf, EM_AARCH64);
	put_packed("bz", "gzip", elf, ELF_BYTES, 0);
	ok(kernel_import(store, packed, "packed", &err) == 0 &&
			kernel_load(store, "packed", &kernel, &err) == 0 && !kernel.unpacked,
		"another machine's: likewise");
	kernel_release(&kernel);
}

static void test_trimming(void)
{
	static const char signature[] = "SIG\0\0\0\0\0\0\0\0\0\0\0\3~Module signature appended~\n";
	static const char names[] = "\0.BTF\0.text\0.BTF_ids";
	const Elf64_Ehdr head = { .e_ident = ELFMAG "\2\1\1",
		.e_shoff = 0x40 + sizeof names,
		.e_shnum = 5,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shstrndx = 4 };
	const Elf64_Shdr sections[5] = { { 0 }, { .sh_name = 1, .sh_type = SHT_PROGBITS },
		{ .sh_name = 6, .sh_type = SHT_PROGBITS },
		{ .sh_name = 12, .sh_type = SHT_PROGBITS },
		{ .sh_type = SHT_STRTAB, .sh_offset = 0x40, .sh_size = sizeof names } };
	enum { BODY = 0x40 + sizeof names + sizeof sections };
	_cleanup_free_ char *text = NULL, *path = in_root("trim/m.ko");
	char module[BODY + sizeof signature - 1];
	struct error err = { 0 };
	Elf64_Shdr after[5];
	size_t len;

	memcpy(module, &head, sizeof head);
	memcpy(module + 0x40, names, sizeof names);
	memcpy(module + 0x40 + sizeof names, sections, sizeof sections);
	memcpy(module + BODY, signature, sizeof signature - 1);
	put("trim/m.ko", module, sizeof module);
	ok(kernel_module_trim(AT_FDCWD, path, &err) == 0 &&
			file_read_at(AT_FDCWD, path, 1 << 20, &text, &len, &err) == 0 &&
			len == BODY,
		"a module's signature is cut off (%s)", err.message);
	memcpy(after, text + 0x40 + sizeof names, sizeof after);
	ok(after[1].sh_type == SHT_NULL && after[1].sh_name == 0 &&
			after[2].sh_type == SHT_PROGBITS && after[3].sh_type == SHT_PROGBITS &&
			after[4].sh_type == SHT_STRTAB,
		"its BTF is hidden, and no more");
	free(steal_ptr(text));
	module[sizeof module - 30] = 0x7f; /* a signature longer than the file */
	module[sizeof module - 31] = 0x7f;
	module[sizeof module - 32] = 0x7f;
	put("trim/m.ko", module, sizeof module);
	ok(kernel_module_trim(AT_FDCWD, path, &err) == 0 &&
			file_read_at(AT_FDCWD, path, 1 << 20, &text, &len, &err) == 0 &&
			len == sizeof module,
		"a signature of a false length stays");
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
	test_unpacking();
	test_trimming();
	(void)path_remove_tree(AT_FDCWD, root, NULL); /* a left-over in /tmp is no failure */
	return tap_done();
}
