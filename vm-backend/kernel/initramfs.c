/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's first root: /init (our PID 1), the modules of one kernel and the list of their order. Uncompressed:
 * copying a few megabytes is cheaper than unpacking them, above all where instructions are emulated. Cached under a
 * name that changes with the kernel's import and with the guest binary.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/base/strbuf.h"
#include "vm-backend/kernel/cpio.h"
#include "vm-backend/kernel/kernel.h"

static const char *const folders[] = { "dev", "proc", "sys", "run", "root", "modules" };

static int add_modules(struct cpio *c, const char *store, const struct kernel *kernel, char **modules,
		const char *list_path, struct error *err)
{
	_cleanup_strbuf_ struct strbuf list = { 0 };
	int r = 0;

	strv_foreach(name, modules) {
		_cleanup_free_ char *source = xasprintf("%s/kernels/%s/modules/%s", store, kernel->name, name);
		_cleanup_free_ char *path = xasprintf("modules/%s", name);

		strbuf_printf(&list, "%s\n", name);
		r = cpio_add_copy(c, path, 0644, source, err);
		if (r < 0)
			return r;
	}
	return cpio_add_file(c, list_path, 0644, list.text, list.len, err);
}

/* What goes into an archive. */
struct contents {
	const char *store, *guest;
	const struct kernel *kernel;
};

static int write_archive(int fd, const char *path, const void *what, struct error *err)
{
	const struct contents *in = what;
	const char *store = in->store;
	const struct kernel *kernel = in->kernel;
	struct cpio c = { .fd = fd, .inode = 1 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders) && r == 0; i++)
		r = cpio_add_folder(&c, folders[i], 0755, err);
	if (r == 0) /* standard input, output and error of /init */
		r = cpio_add_device(&c, "dev/console", 0600, 5, 1, err);
	if (r == 0) /* its log, for what goes wrong before there is a /dev */
		r = cpio_add_device(&c, "dev/kmsg", 0600, 1, 11, err);
	if (r == 0)
		r = cpio_add_copy(&c, "init", 0755, in->guest, err);
	if (r == 0 && kernel->modules)
		r = add_modules(&c, store, kernel, kernel->modules, "modules/list", err);
	if (r == 0 && kernel->share_modules)
		r = add_modules(&c, store, kernel, kernel->share_modules, "modules/list.shares", err);
	if (r == 0)
		r = add_modules(&c, store, kernel, kernel->disk_modules, "modules/list.disk", err);
	if (r == 0)
		r = add_modules(&c, store, kernel, kernel->network_modules, "modules/list.network", err);
	return r == 0 ? cpio_finish(&c, err) : r;
}

int kernel_initramfs(const char *store, const struct kernel *kernel, const char *guest_binary, char **ret_path,
		struct error *err)
{
	_cleanup_free_ char *dir = guest_binary ? NULL : path_program_dir();
	_cleanup_free_ char *guest = guest_binary ? xstrdup(guest_binary)
			: xasprintf("%s/bivalve-guest", dir ? dir : ".");
	_cleanup_free_ char *final = NULL;
	struct stat st;
	int r;

	if (stat(guest, &st) < 0)
		return error_sys(err, "cannot find the guest's init %s", guest);
	final = xasprintf("%s/initramfs/%s@%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx-%" PRIx64 ".cpio", store,
			kernel->name, kernel->created_ns, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec, (uint64_t)st.st_ino);
	if (access(final, R_OK) < 0) {
		r = store_make_file(store, final, 0755, 0644, write_archive,
				&(struct contents){ store, guest, kernel }, err);
		if (r < 0)
			return r;
	}
	*ret_path = steal_ptr(final);
	return 0;
}
