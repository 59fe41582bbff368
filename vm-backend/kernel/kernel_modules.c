/* SPDX-License-Identifier: Apache-2.0 */
/* The few modules of a distribution's kernel that a guest needs, with what they depend on. */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "vm-backend/kernel/kernel_modules.h"

enum { MAX_INDEX_BYTES = 16 << 20 };

extern char **environ;

/* In load order. A row more makes every boot slower: only what is needed before the workload starts. */
static const struct wanted {
	const char *name;
	bool optional;
} wanted[] = {
	{ .name = "virtio_mmio" },
	{ .name = "virtio_blk" },
	{ .name = "virtio_console" },
	{ .name = "virtio_rng", .optional = true },
	{ .name = "virtio_balloon", .optional = true },
	{ .name = "crc32c_intel", .optional = true }, /* before libcrc32c asks the crypto layer for crc32c */
	{ .name = "crc32c_generic", .optional = true },
	{ .name = "erofs" },
	{ .name = "overlay" },
};

/* Loaded after those, and only by a guest with host directories. */
static const struct wanted for_shares[] = {
	{ .name = "fuse", .optional = true },
	{ .name = "virtiofs", .optional = true },
};

/* Likewise by one with a disk for its writes. */
static const struct wanted for_disk[] = {
	{ .name = "ext4", .optional = true },
};

/* Likewise by one with a network card. */
static const struct wanted for_network[] = {
	{ .name = "virtio_net", .optional = true },
};

static const struct {
	const char *suffix, *program;
} packers[] = {
	{ ".xz", "xz" },
	{ ".zst", "zstd" },
	{ ".gz", "gzip" },
};

/* Whether the file name of path (up to len) is module name, with '-' and '_' alike and any ".ko…" behind. */
static bool is_module(const char *path, size_t len, const char *name)
{
	const char *base = memrchr(path, '/', len);
	size_t n = strlen(name);

	base = base ? base + 1 : path;
	if ((size_t)(path + len - base) < n + 3 || strncmp(base + n, ".ko", 3))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((base[i] == '-' ? '_' : base[i]) != name[i])
			return false;
	return true;
}

static void add_once(char ***list, const char *path, size_t len)
{
	strv_foreach(old, *list)
		if (strlen(old) == len && memcmp(old, path, len) == 0)
			return;
	strv_push(list, xstrndup(path, len));
}

/* One line of modules.dep, "path: dep dep…": the line names all dependencies, the deepest last. */
static void add_line(char ***list, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len), *end = line + len;

	while (end > colon + 1) {
		const char *space = memrchr(colon + 1, ' ', (size_t)(end - colon - 1));
		const char *word = space ? space + 1 : colon + 1;

		if (end > word)
			add_once(list, word, (size_t)(end - word));
		end = space ? space : colon;
	}
	add_once(list, line, (size_t)(colon - line));
}

/* The line of index that is about module name; NULL if there is none. */
static const char *find_line(const char *index, const char *name, size_t *ret_len)
{
	for (const char *line = index; *line;) {
		size_t len = strcspn(line, "\n");
		const char *colon = memchr(line, ':', len);

		if (is_module(line, colon ? (size_t)(colon - line) : len, name)) {
			*ret_len = len;
			return line;
		}
		line += len + (line[len] == '\n');
	}
	return NULL;
}

static int select_modules(const char *tree, const struct wanted *rows, size_t n, char ***ret_paths, struct error *err)
{
	_cleanup_free_ char *dep_path = xasprintf("%s/modules.dep", tree), *dep = NULL;
	_cleanup_free_ char *builtin_path = xasprintf("%s/modules.builtin", tree), *builtin = NULL;
	_cleanup_strv_ char **paths = NULL;
	int r = file_read_at(AT_FDCWD, dep_path, MAX_INDEX_BYTES, &dep, NULL, err);

	if (r == 0)
		r = file_read_at(AT_FDCWD, builtin_path, MAX_INDEX_BYTES, &builtin, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		size_t len;
		const char *line = find_line(dep, rows[i].name, &len);

		if (line && memchr(line, ':', len))
			add_line(&paths, line, len);
		else if (!find_line(builtin, rows[i].name, &len) && !rows[i].optional)
			return error_set(err, ENOENT, "%s: no module %s, neither in modules.dep nor in modules.builtin",
					tree, rows[i].name);
	}
	if (!paths)
		paths = xcalloc(1, sizeof *paths);
	*ret_paths = steal_ptr(paths);
	return 0;
}

int kernel_modules_select(const char *tree, char ***ret_paths, struct error *err)
{
	return select_modules(tree, wanted, ARRAY_LEN(wanted), ret_paths, err);
}

int kernel_modules_select_shares(const char *tree, char ***ret_paths, struct error *err)
{
	return select_modules(tree, for_shares, ARRAY_LEN(for_shares), ret_paths, err);
}

int kernel_modules_select_disk(const char *tree, char ***ret_paths, struct error *err)
{
	return select_modules(tree, for_disk, ARRAY_LEN(for_disk), ret_paths, err);
}

int kernel_modules_select_network(const char *tree, char ***ret_paths, struct error *err)
{
	return select_modules(tree, for_network, ARRAY_LEN(for_network), ret_paths, err);
}

int kernel_copy_file(const char *source, int dirfd, const char *name, struct error *err)
{
	_cleanup_close_ int in = open(source, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = in < 0 ? -1 : openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t n;

	if (in < 0)
		return error_sys(err, "cannot open %s", source);
	if (out < 0)
		return error_sys(err, "cannot make a copy of %s", source);
	do
		n = sendfile(out, in, NULL, 1 << 30);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? error_sys(err, "cannot copy %s", source) : 0;
}

/* Runs `program -dc <source >dirfd/name`. */
static int unpack_file(const char *program, const char *source, int dirfd, const char *name, struct error *err)
{
	_cleanup_close_ int in = open(source, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = in < 0 ? -1 : openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"-dc", NULL };
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	if (in < 0)
		return error_sys(err, "cannot open %s", source);
	if (out < 0)
		return error_sys(err, "cannot make a copy of %s", source);
	(void)posix_spawn_file_actions_init(&actions); /* in glibc this cannot fail, nor can the next two */
	(void)posix_spawn_file_actions_adddup2(&actions, in, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out, 1);
	r = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r)
		return error_set(err, r, "%s: cannot run %s: %s", source, program, strerror(r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, "cannot wait for %s", program);
	if (status)
		return error_set(err, EINVAL, "%s: %s cannot unpack it", source, program);
	return 0;
}

/* Without the signature at its end; the new length. Documentation/admin-guide/module-signing.rst. */
static size_t cut_signature(const char *data, size_t len)
{
	static const char magic[] = "~Module signature appended~\n";
	enum { MAGIC = sizeof magic - 1, INFO = 12, LENGTH = 8 }; /* struct module_signature, its sig_len */
	uint32_t bytes;

	if (len < MAGIC + INFO || memcmp(data + len - MAGIC, magic, MAGIC))
		return len;
	memcpy(&bytes, data + len - MAGIC - INFO + LENGTH, sizeof bytes);
	bytes = be32toh(bytes);
	return bytes > len - MAGIC - INFO ? len : len - MAGIC - INFO - bytes;
}

/* Makes the headers of the sections with type information (BTF) those of empty sections without a name. */
static void hide_types(char *data, size_t len)
{
	Elf64_Ehdr elf;
	Elf64_Shdr names, section;

	if (len < sizeof elf)
		return;
	memcpy(&elf, data, sizeof elf);
	if (memcmp(elf.e_ident, ELFMAG, SELFMAG) || elf.e_shentsize != sizeof section || elf.e_shoff > len ||
			elf.e_shnum > (len - elf.e_shoff) / sizeof section || elf.e_shstrndx >= elf.e_shnum)
		return;
	memcpy(&names, data + elf.e_shoff + elf.e_shstrndx * sizeof names, sizeof names);
	if (names.sh_offset > len || names.sh_size > len - names.sh_offset)
		return;
	for (size_t i = 1; i < elf.e_shnum; i++) {
		char *at = data + elf.e_shoff + i * sizeof section;

		memcpy(&section, at, sizeof section);
		if (section.sh_name < names.sh_size && names.sh_size - section.sh_name >= sizeof ".BTF" &&
				memcmp(data + names.sh_offset + section.sh_name, ".BTF", sizeof ".BTF") == 0)
			memset(at, 0, sizeof section); /* type SHT_NULL */
	}
}

int kernel_module_trim(int dirfd, const char *name, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r = file_read_at(dirfd, name, MAX_INDEX_BYTES, &data, &len, err);

	if (r < 0)
		return r;
	len = cut_signature(data, len);
	hide_types(data, len);
	return file_write_atomic(dirfd, name, data, len, 0644, err);
}

int kernel_module_copy(const char *tree, const char *path, int dirfd, char **ret_name, struct error *err)
{
	_cleanup_free_ char *source = xasprintf("%s/%s", tree, path);
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *name = xstrdup(slash ? slash + 1 : path);
	const char *program = NULL;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(packers) && !program; i++) {
		size_t len = strlen(name), n = strlen(packers[i].suffix);

		if (len > n && strcmp(name + len - n, packers[i].suffix) == 0) {
			name[len - n] = '\0';
			program = packers[i].program;
		}
	}
	r = program ? unpack_file(program, source, dirfd, name, err) : kernel_copy_file(source, dirfd, name, err);
	if (r < 0)
		return r;
	*ret_name = steal_ptr(name);
	return 0;
}
