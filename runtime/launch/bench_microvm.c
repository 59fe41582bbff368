/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's microvm machine with nothing of ours around it but the kernel: the program of the workloads is /init. When it
 * ends the
 * kernel has lost its first process, resets, and QEMU ends. No disk, no isolation in the guest and no agent, so it does
 * less than bivalve's machine: the least that QEMU takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/bench_peers.h"
#include "vm-backend/kernel/cpio.h"
#include "vm-backend/kernel/kernel.h"
#include "vm-backend/qemu_state.h"

static int write_initramfs(const char *path, const char *helper, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct cpio c = { .fd = fd, .inode = 1 };
	int r = fd < 0 ? error_sys(err, "cannot make %s", path) : 0;

	if (r == 0)
		r = cpio_add_folder(&c, "dev", 0755, err);
	if (r == 0)
		r = cpio_add_device(&c, "dev/console", 0600, 5, 1, err);
	if (r == 0)
		r = cpio_add_copy(&c, "init", 0755, helper, err);
	return r == 0 ? cpio_finish(&c, err) : r;
}

static void add(char ***argv, const char *option, const char *value)
{
	strv_push(argv, xstrdup(option));
	if (value)
		strv_push(argv, xstrdup(value));
}

static void fill_command(struct bench_column *k, const char *program, const char *kernel, const char *initramfs)
{
	/* The reset after the end of /init is what ends the machine: see above. */
	const struct vm_config config = { .kernel_path = kernel, .command_line = "panic=-1 reboot=t quiet -- true" };
	bool accelerated, acpi;
	_cleanup_free_ char *words = qemu_kernel_words(&config, &accelerated, &acpi);

	add(&k->command, program, NULL);
	add(&k->command, "-M", acpi ? "microvm,acpi=on,pit=on,pic=on,rtc=on,x-option-roms=off"
			: "microvm,acpi=off,pit=on,pic=on,rtc=on,x-option-roms=off");
	add(&k->command, "-nodefaults", NULL);
	add(&k->command, "-no-user-config", NULL);
	add(&k->command, "-no-reboot", NULL);
	add(&k->command, "-display", "none");
	add(&k->command, "-accel", accelerated ? "kvm" : "tcg,thread=multi,tb-size=64");
	add(&k->command, "-cpu", accelerated ? "host" : "max");
	add(&k->command, "-smp", "1");
	add(&k->command, "-m", "256M");
	add(&k->command, "-kernel", kernel);
	add(&k->command, "-initrd", initramfs);
	add(&k->command, "-append", words);
	add(&k->command, "-serial", "null");
}

int bench_make_microvm(struct bench_column *ret, const char *helper, const char *dir, struct error *err)
{
	_cleanup_free_ char *store = store_dir(), *initramfs = xasprintf("%s/microvm.cpio", dir);
	_cleanup_free_ char *program = qemu_find_program();
	struct kernel kernel = { 0 };
	struct error why = { 0 };
	int r = 0;

	*ret = (struct bench_column){ .name = xstrdup("qemu microvm"), .kind = BENCH_PEER, .machine = true };
	if (!program) {
		ret->error = xstrdup("qemu-system-x86_64 is not installed");
	} else if (kernel_load(store, NULL, &kernel, &why) < 0) {
		ret->error = xstrdup(why.message);
	} else {
		r = write_initramfs(initramfs, helper, err);
		fill_command(ret, program, kernel.vmlinux_path ? kernel.vmlinux_path : kernel.path, initramfs);
	}
	kernel_release(&kernel);
	if (!ret->command)
		strv_push(&ret->command, xstrdup("qemu-system-x86_64"));
	return r;
}
