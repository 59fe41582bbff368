/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting: what is loaded, and how the kernel learns of its devices. The tables always describe them. A kernel without
 * ACPI cannot read those, and is told on its command line; a kernel with both would find each device twice (the second
 * is refused, with an error in its log). So the command line lists them only for a kernel whose record in the store
 * says "no ACPI", or when the caller's words say acpi=off.
 *
 * Of a kernel's two forms the unpacked one is taken: reading 30 MB costs less than unpacking 14 in the guest. The price
 * is KASLR in the guest, which a bzImage does while it unpacks itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "runtime/base/alloc.h"
#include "vm-backend/boot.h"
#include "vm-backend/kernel/kernel.h"

bool boot_has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = words; (at = strstr(at, word)); at += len)
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

void boot_command_line(const struct machine *machine, bool no_acpi, struct strbuf *line)
{
	const struct devices *devices = &machine->devices;
	const char *words = machine->config->command_line ? machine->config->command_line : "";

	arch_command_line(machine, no_acpi, boot_has_word(words, "quiet"), line);
	for (size_t i = 0; no_acpi && i < devices->n_windows; i++)
		strbuf_printf(line, " virtio_mmio.device=4K@%#llx:%u", (unsigned long long)devices->windows[i].base,
				devices->windows[i].gsi);
	if (*words)
		strbuf_printf(line, " %s", words);
}

/*
 * A file that is read once, into the guest. On FUSE, virtiofs above all, the cache is on the other side, and one here
 * would cost a second copy; local file systems are read through the cache, for the next guest's sake.
 */
static int open_image(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct statfs fs;

	if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC)
		(void)fcntl(fd, F_SETFL, O_DIRECT); /* refused: then by the cache */
	return fd;
}

int boot_load(struct machine *machine, struct error *err)
{
	const struct vm_config *config = machine->config;
	const char *path = config->vmlinux_path ? config->vmlinux_path : config->kernel_path;
	_cleanup_close_ int kernel = open_image(path);
	_cleanup_close_ int initramfs = -1;
	_cleanup_strbuf_ struct strbuf line = { 0 };

	if (kernel < 0 && errno == ENOENT) /* somebody removed the unpacked form: that is allowed */
		kernel = open_image(path = config->kernel_path);
	if (kernel < 0)
		return error_sys(err, "kernel: %s", path);
	if (config->initramfs_path) {
		initramfs = open_image(config->initramfs_path);
		if (initramfs < 0)
			return error_sys(err, "initramfs: %s", config->initramfs_path);
	}
	boot_command_line(machine, boot_has_word(config->command_line ? config->command_line : "", "acpi=off") ||
			kernel_file_no_acpi(config->kernel_path), &line);
	return arch_load(machine, kernel, path, initramfs, line.text, err);
}
