/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels in the store: import, list, load, remove. A kernel is made whole in the store's tmp/ and renamed, so
 * that readers need no lock: they see the old one, the new one or none.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "vm-backend/kernel/kernel.h"
#include "vm-backend/kernel/kernel_modules.h"
#include "vm-backend/kernel/kernel_unpack.h"

#define USED ".used" /* in <store>/kernels: the name that `kernel use` chose; no kernel's name begins with a dot */

enum { MAX_JSON_BYTES = 1 << 20, MAX_CONFIG_BYTES = 16 << 20, MAX_NAME = 64, MAX_KERNELS = 1000 };

#define ROW(member, field_kind) .key = #member, .kind = field_kind, .offset = offsetof(struct kernel, member)

static const struct field kernel_fields[] = {
	{ ROW(name, FIELD_STRING), .required = true },
	{ ROW(version, FIELD_STRING) },
	{ ROW(format, FIELD_STRING), .required = true },
	{ ROW(size_bytes, FIELD_UINT) },
	{ ROW(modules, FIELD_STRINGS) },
	{ ROW(share_modules, FIELD_STRINGS) },
	{ ROW(disk_modules, FIELD_STRINGS) },
	{ ROW(network_modules, FIELD_STRINGS) },
	{ ROW(unpacked, FIELD_BOOL) },
	{ ROW(no_acpi, FIELD_BOOL) },
	{ ROW(created_ns, FIELD_UINT) },
	{ 0 },
};
const struct record_type kernel_type = { "kernel", sizeof(struct kernel), kernel_fields };

static int check_name(const char *name, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(name);

	if (len == 0 || len > MAX_NAME || name[strspn(name, allowed)] || name[0] == '.' || name[0] == '-')
		return error_set(err, EINVAL, "kernel name \"%.80s\": expected 1 to %d of A-Z a-z 0-9 _ . -, "
				"not starting with . or -", name, MAX_NAME);
	return 0;
}

static int no_such_kernel(const char *store, const char *name, struct error *err)
{
	return error_set(err, ENOENT, "no kernel named %s in %s/kernels; see `bivalve kernel list`", name, store);
}

void kernel_release(struct kernel *kernel)
{
	free(steal_ptr(kernel->path));
	free(steal_ptr(kernel->vmlinux_path));
	record_release(&kernel_type, kernel);
}

void kernel_list_free(struct kernel *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kernel_release(&list[i]);
	free(list);
}

/* What an import gathers before the rename. */
struct import {
	const char *source;
	char *kernel_file; /* the file to copy */
	char *tree;        /* the folder with modules.dep; NULL: no modules */
	struct kernel kernel;
};

static void import_release(struct import *im)
{
	free(im->kernel_file);
	free(im->tree);
	kernel_release(&im->kernel);
}

/* The first line of <folder>/version names the module tree; a folder without it has no modules. */
static int inspect_folder(struct import *im, struct error *err)
{
	_cleanup_free_ char *version_path = xasprintf("%s/version", im->source), *version = NULL;
	int r;

	im->kernel_file = xasprintf("%s/vmlinuz", im->source);
	if (access(im->kernel_file, F_OK) < 0) {
		free(im->kernel_file);
		im->kernel_file = xasprintf("%s/vmlinux", im->source);
	}
	if (access(im->kernel_file, F_OK) < 0)
		return error_set(err, ENOENT, "%s: holds neither vmlinuz nor vmlinux", im->source);
	r = file_read_at(AT_FDCWD, version_path, 4096, &version, NULL, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_set(err, -r, "cannot read %s: %s", version_path, strerror(-r));
	version[strcspn(version, "\n")] = '\0';
	if (!*version || strchr(version, '/'))
		return error_set(err, EINVAL, "%s: not a kernel version", version_path);
	im->tree = xasprintf("%s/modules/%s", im->source, version);
	if (access(im->tree, F_OK) < 0)
		free(steal_ptr(im->tree));
	im->kernel.version = steal_ptr(version);
	return 0;
}

/* Whether the configuration beside the kernel is known and has not this line, which begins with a newline. */
static bool config_lacks(const char *source, const char *line)
{
	_cleanup_free_ char *path = xasprintf("%s/config", source), *text = NULL;

	if (file_read_at(AT_FDCWD, path, MAX_CONFIG_BYTES, &text, NULL, NULL) < 0)
		return false;
	return strstr(text, "CONFIG_") && !strstr(text, line);
}

static int inspect(struct import *im, const char *name, struct error *err)
{
	_cleanup_free_ char *version = NULL;
	enum kernel_format format;
	struct stat st;
	int r = 0;

	if (stat(im->source, &st) < 0)
		return error_sys(err, "cannot open %s", im->source);
	if (S_ISDIR(st.st_mode))
		r = inspect_folder(im, err);
	else
		im->kernel_file = xstrdup(im->source);
	if (r == 0)
		r = kernel_file_check(im->kernel_file, &format, &version, err);
	if (r < 0)
		return r;
	if (stat(im->kernel_file, &st) < 0)
		return error_sys(err, "cannot open %s", im->kernel_file);
	if (!im->kernel.version)
		im->kernel.version = steal_ptr(version);
	im->kernel.name = xstrdup(name);
	im->kernel.format = xstrdup(format == KERNEL_BZIMAGE ? "bzImage" : "vmlinux");
	im->kernel.size_bytes = (uint64_t)st.st_size;
	im->kernel.no_acpi = config_lacks(im->source, "\nCONFIG_ACPI=y");
	im->kernel.created_ns = clock_wall_ns();
	return 0;
}

static bool is_there(int dirfd, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *name = xstrdup(slash ? slash + 1 : path);
	char *ko = strstr(name, ".ko");

	if (ko)
		ko[3] = '\0';
	return faccessat(dirfd, name, F_OK, 0) == 0;
}

/* Copies those of paths that are not there yet, and adds their names to list. */
static int copy_modules(const struct import *im, char **paths, int modules, bool trim, char ***list,
		struct error *err)
{
	strv_foreach(path, paths) {
		char *name;
		int r = is_there(modules, path) ? 1 : kernel_module_copy(im->tree, path, modules, &name, err);

		if (r > 0)
			continue;
		if (r < 0)
			return r;
		strv_push(list, name);
		r = trim ? kernel_module_trim(modules, name, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_modules(struct import *im, int dirfd, struct error *err)
{
	_cleanup_strv_ char **paths = NULL, **shares = NULL, **network = NULL, **disk = NULL;
	_cleanup_close_ int modules = -1;
	bool trim = config_lacks(im->source, "\nCONFIG_MODULE_SIG_FORCE=y") &&
			config_lacks(im->source, "\nCONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y") &&
			config_lacks(im->source, "\nCONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY=y");
	int r = kernel_modules_select(im->tree, &paths, err);

	if (r < 0)
		return r;
	if (mkdirat(dirfd, "modules", 0755) < 0)
		return error_sys(err, "cannot make the folder modules");
	modules = openat(dirfd, "modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (modules < 0)
		return error_sys(err, "cannot open the folder modules");
	r = copy_modules(im, paths, modules, trim, &im->kernel.modules, err);
	if (r == 0)
		r = kernel_modules_select_shares(im->tree, &shares, err);
	if (r == 0)
		r = copy_modules(im, shares, modules, trim, &im->kernel.share_modules, err);
	if (r == 0)
		r = kernel_modules_select_disk(im->tree, &disk, err);
	if (r == 0)
		r = copy_modules(im, disk, modules, trim, &im->kernel.disk_modules, err);
	if (r == 0)
		r = kernel_modules_select_network(im->tree, &network, err);
	return r < 0 ? r : copy_modules(im, network, modules, trim, &im->kernel.network_modules, err);
}

/* Writes kernel, vmlinux, modules/ and kernel.json into the open folder. */
static int fill(struct import *im, int dirfd, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct json_writer *w;
	size_t len;
	int r = kernel_copy_file(im->kernel_file, dirfd, "kernel", err);

	if (r == 0)
		im->kernel.unpacked = kernel_unpack(im->kernel_file, dirfd, "vmlinux") == 0; /* else all boot kernel */
	if (r == 0 && im->tree)
		r = fill_modules(im, dirfd, err);
	if (r < 0)
		return r;
	w = json_writer_new(false);
	record_write(w, NULL, &kernel_type, &im->kernel, false);
	text = json_writer_finish(w, &len);
	return file_write_atomic(dirfd, "kernel.json", text, len, 0644, err);
}

/* Gives the finished folder its name; a kernel that has the name already is exchanged and removed. */
static int publish(const char *tmp, const char *final, struct error *err)
{
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, final, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST && renameat2(AT_FDCWD, tmp, AT_FDCWD, final, RENAME_EXCHANGE) == 0)
		return path_remove_tree(AT_FDCWD, tmp, err);
	return error_sys(err, "cannot rename %s to %s", tmp, final);
}

int kernel_import(const char *store, const char *source, const char *name, struct error *err)
{
	__attribute__((cleanup(import_release))) struct import im = { .source = source };
	_cleanup_free_ char *kernels = xasprintf("%s/kernels", store), *final = xasprintf("%s/%s", kernels, name);
	_cleanup_free_ char *tmp_dir = xasprintf("%s/tmp", store);
	_cleanup_free_ char *tmp = xasprintf("%s/kernel.XXXXXX", tmp_dir);
	_cleanup_close_ int dirfd = -1, lock = -1;
	int r = check_name(name, err);

	if (r == 0)
		r = inspect(&im, name, err);
	if (r == 0)
		r = path_mkdirs(kernels, 0755, err);
	if (r == 0)
		r = path_mkdirs(tmp_dir, 0755, err);
	if (r == 0)
		r = lock = store_lock(store, false, err);
	if (r < 0)
		return r;
	if (!mkdtemp(tmp))
		return error_sys(err, "cannot make a folder in %s", tmp_dir);
	dirfd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dirfd < 0 || fchmod(dirfd, 0755) < 0 ? error_sys(err, "cannot open %s", tmp) : 0;
	if (r == 0)
		r = fill(&im, dirfd, err);
	if (r == 0)
		r = publish(tmp, final, err);
	if (r < 0)
		(void)path_remove_tree(AT_FDCWD, tmp, NULL); /* the first error is the one to tell */
	return r;
}

static int read_kernel(const char *store, const char *name, struct kernel *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/kernels/%s/kernel.json", store, name);
	_cleanup_json_ struct json *j = NULL;
	struct kernel kernel = { 0 };
	int r = json_parse_file(AT_FDCWD, path, MAX_JSON_BYTES, &j, err);

	if (r == 0)
		r = record_read(j, &kernel_type, &kernel, err);
	if (r < 0)
		return r;
	strv_foreach(module, kernel.modules)
		if (strchr(module, '/') || module[0] == '.') {
			r = error_set(err, EINVAL, "%s: modules: not a file name: %.80s", path, module);
			kernel_release(&kernel);
			return r;
		}
	free(kernel.name);
	kernel.name = xstrdup(name); /* the folder's name counts: a user may have renamed it */
	kernel.path = xasprintf("%s/kernels/%s/kernel", store, name);
	if (kernel.unpacked)
		kernel.vmlinux_path = xasprintf("%s/kernels/%s/vmlinux", store, name);
	*ret = kernel;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct kernel *)a)->created_ns, y = ((const struct kernel *)b)->created_ns;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The name that `kernel use` wrote down, owned by the caller; NULL: none. */
static char *used_name(const char *store)
{
	_cleanup_free_ char *path = xasprintf("%s/kernels/" USED, store), *name = NULL;

	if (file_read_at(AT_FDCWD, path, MAX_NAME + 1, &name, NULL, NULL) < 0)
		return NULL;
	name[strcspn(name, "\n")] = '\0';
	return check_name(name, NULL) == 0 ? steal_ptr(name) : NULL;
}

static void move_to_front(struct kernel *list, size_t n, const char *name)
{
	for (size_t i = 0; name && i < n; i++)
		if (!strcmp(list[i].name, name)) {
			struct kernel first = list[i];

			memmove(list + 1, list, i * sizeof *list);
			list[0] = first;
			return;
		}
}

int kernel_list(const char *store, struct kernel **ret, size_t *ret_n, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/kernels", store), *used = used_name(store);
	struct kernel *list = NULL;
	struct dirent *e;
	size_t n = 0;
	DIR *dir = opendir(path);

	if (!dir && errno != ENOENT)
		return error_sys(err, "cannot list %s", path);
	while (dir && n < MAX_KERNELS && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		list = xreallocarray(list, n + 1, sizeof *list);
		if (read_kernel(store, e->d_name, &list[n], NULL) == 0)
			n++;
	}
	if (dir)
		(void)closedir(dir); /* nothing was written */
	if (n)
		qsort(list, n, sizeof *list, newest_first);
	move_to_front(list, n, "default");
	move_to_front(list, n, used);
	*ret = list;
	*ret_n = n;
	return 0;
}

/* What would stand first in kernel_list, which is only read when neither name is there. */
static int load_preferred(const char *store, struct kernel *ret, struct error *err)
{
	_cleanup_free_ char *used = used_name(store);
	struct kernel *list;
	size_t n;
	int r = used ? read_kernel(store, used, ret, err) : -ENOENT;

	if (r == -ENOENT)
		r = read_kernel(store, "default", ret, err);
	if (r != -ENOENT)
		return r;
	r = kernel_list(store, &list, &n, err);
	if (r < 0)
		return r;
	if (n == 0) {
		r = error_set(err, ENOENT, "no guest kernel in %s/kernels; import one: bivalve kernel import", store);
	} else {
		*ret = list[0];
		list[0] = (struct kernel){ 0 };
	}
	kernel_list_free(list, n);
	return r;
}

int kernel_use(const char *store, const char *name, struct error *err)
{
	_cleanup_free_ char *kernels = xasprintf("%s/kernels", store), *line = xasprintf("%s\n", name);
	_cleanup_close_ int dirfd = -1;
	struct kernel kernel = { 0 };
	int r = kernel_load(store, name, &kernel, err);

	if (r < 0)
		return r;
	kernel_release(&kernel);
	dirfd = open(kernels, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return error_sys(err, "cannot open %s", kernels);
	return file_write_atomic(dirfd, USED, line, strlen(line), 0644, err);
}

int kernel_load(const char *store, const char *name, struct kernel *ret, struct error *err)
{
	int r;

	if (!name)
		return load_preferred(store, ret, err);
	r = check_name(name, err);
	if (r == 0)
		r = read_kernel(store, name, ret, err);
	if (r == -ENOENT)
		return no_such_kernel(store, name, err);
	return r;
}

/* Removes the archives made for any import of the kernel. */
static void remove_archives(const char *store, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/initramfs", store), *prefix = xasprintf("%s@", name);
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			(void)path_remove_tree(dirfd(dir), e->d_name, NULL); /* a cache: what stays does no harm */
	if (dir)
		(void)closedir(dir);
}

int kernel_remove(const char *store, const char *name, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/kernels/%s", store, name);
	_cleanup_free_ char *tmp = xasprintf("%s/tmp/kernel-%s.%d", store, name, (int)getpid());
	_cleanup_close_ int lock = -1;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return no_such_kernel(store, name, err);
	lock = store_lock(store, true, err);
	if (lock < 0)
		return lock;
	remove_archives(store, name);
	if (rename(path, tmp) == 0) /* gone at once for readers, however long the removal takes */
		return path_remove_tree(AT_FDCWD, tmp, err);
	return path_remove_tree(AT_FDCWD, path, err);
}

bool kernel_file_no_acpi(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *json_path = NULL;
	_cleanup_json_ struct json *j = NULL;
	struct kernel kernel = { 0 };
	bool no_acpi;

	if (!slash)
		return false;
	json_path = xasprintf("%.*s/kernel.json", (int)(slash - path), path);
	if (json_parse_file(AT_FDCWD, json_path, MAX_JSON_BYTES, &j, NULL) < 0 ||
			record_read(j, &kernel_type, &kernel, NULL) < 0)
		return false;
	no_acpi = kernel.no_acpi;
	kernel_release(&kernel);
	return no_acpi;
}
