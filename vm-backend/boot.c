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
#include <malloc.h>
#include <pthread.h>
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

/* What the loading thread works on. The process is one machine (engine_kvm.c), so it exists once. */
static struct loader {
	struct machine *machine;
	const char *path;
	int kernel, initramfs;
	struct strbuf line;
	pthread_t thread;
	bool threaded, started;
	int result;
	struct error err;
} loader;

static void *load(void *arg)
{
	struct loader *l = arg;

	l->result = arch_load(l->machine, l->kernel, l->path, l->initramfs, l->line.text, &l->err);
	close_cleanup(&l->kernel);
	close_cleanup(&l->initramfs);
	strbuf_release(&l->line);
	return NULL;
}

static int open_images(const struct vm_config *config, struct loader *l, struct error *err)
{
	_cleanup_close_ int kernel = -1;
	_cleanup_close_ int initramfs = -1;

	l->path = config->vmlinux_path ? config->vmlinux_path : config->kernel_path;
	kernel = open_image(l->path);
	if (kernel < 0 && errno == ENOENT) /* somebody removed the unpacked form: that is allowed */
		kernel = open_image(l->path = config->kernel_path);
	if (kernel < 0)
		return error_sys(err, "kernel: %s", l->path);
	if (config->initramfs_path) {
		initramfs = open_image(config->initramfs_path);
		if (initramfs < 0)
			return error_sys(err, "initramfs: %s", config->initramfs_path);
	}
	l->kernel = steal_fd(&kernel);
	l->initramfs = steal_fd(&initramfs);
	return 0;
}

int boot_start(struct machine *machine, struct error *err)
{
	const struct vm_config *config = machine->config;
	struct loader *l = &loader;
	int r = open_images(config, l, err);

	if (r < 0)
		return r;
	l->machine = machine;
	l->started = true;
	boot_command_line(machine, boot_has_word(config->command_line ? config->command_line : "", "acpi=off") ||
			kernel_file_no_acpi(config->kernel_path), &l->line);
	(void)mallopt(M_ARENA_MAX, 1); /* the few bytes it asks for need no heap of its own */
	l->threaded = pthread_create(&l->thread, NULL, load, l) == 0;
	if (!l->threaded)
		(void)load(l); /* its result is asked for below */
	return 0;
}

int boot_await(struct error *err)
{
	struct loader *l = &loader;

	if (!l->started)
		return 0;
	if (l->threaded)
		(void)pthread_join(l->thread, NULL); /* our own, and joined once */
	l->started = l->threaded = false;
	return l->result < 0 ? error_set(err, l->err.code, "%s", l->err.message) : 0;
}
