/* SPDX-License-Identifier: Apache-2.0 */
/* Others that make containers, on equal terms. See bench_peers.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/launch/bench_columns.h"
#include "runtime/launch/bench_peers.h"

enum { CONFIG_MAX = 1 << 20 };

/* How each is told to run the bundle, or the root itself. ROOT, BUNDLE, SELF stand for what they say; NULL ends. */
struct peer {
	const char *name, *program;
	const char *words[20];
};
static const struct peer peers[] = {
	{ "bivalve run", "SELF", { "--root", "/run/bench-bivalve", "run", "-b", "BUNDLE", "bench-bivalve" } },
	{ "crun", "crun", { "--root", "/run/bench-crun", "run", "-b", "BUNDLE", "bench-crun" } },
	{ "runc", "runc", { "--root", "/run/bench-runc", "run", "-b", "BUNDLE", "bench-runc" } },
	{ "bwrap", "bwrap",
		{ "--unshare-all", "--ro-bind", "ROOT", "/", "--proc", "/proc", "--dev", "/dev", "/bivalve-bench",
			"true" } },
	{ "firecracker", "firecracker",
		{ NULL } }, /* its guest has no console port that our agent could speak through */
	{ NULL, NULL, { NULL } },
};

static int enter_own_mounts(struct error *err)
{
	struct stat unified, above;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0)
		return error_sys(err, "bench peers: needs root and a mount namespace of its own");
	if (stat("/sys/fs/cgroup/unified", &unified) == 0 && stat("/sys/fs/cgroup", &above) == 0 &&
			unified.st_dev != above.st_dev && umount2("/sys/fs/cgroup/unified", MNT_DETACH) < 0)
		return error_sys(err, "bench peers: cannot hide the unified hierarchy");
	return 0;
}

static char *find_in_path(const char *name)
{
	static const char *const folders[] = { "/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin",
		"/sbin" };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		char *path = xasprintf("%s/%s", folders[i], name);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

/* Replaces what is between two marks, once. The text is `bivalve spec`'s, whose form is ours. */
static int replace(char **text, const char *after, const char *until, const char *by, struct error *err)
{
	char *from = strstr(*text, after), *to = from ? strstr(from + strlen(after), until) : NULL, *made;

	if (!to)
		return error_set(err, EPROTO, "bench peers: config.json has no %s", after);
	from += strlen(after);
	made = xasprintf("%.*s%s%s", (int)(from - *text), *text, by, to);
	free(*text);
	*text = made;
	return 0;
}

static int make_bundle(const char *self, const char *dir, const char *root, struct error *err)
{
	char *argv[] = { (char *)(uintptr_t)self, (char *)"spec", (char *)"-b", (char *)(uintptr_t)dir, NULL };
	_cleanup_free_ char *config = xasprintf("%s/config.json", dir), *text = NULL;
	size_t len;
	int r = bench_run_quietly(argv, "make a bundle", err);

	if (r == 0)
		r = file_read_at(AT_FDCWD, config, CONFIG_MAX, &text, &len, err);
	if (r == 0)
		r = replace(&text, "\"terminal\": ", ",", "false", err);
	if (r == 0)
		r = replace(&text, "\"args\": [", "]", "\"/bivalve-bench\", \"true\"", err);
	if (r == 0)
		r = replace(&text, "\"ociVersion\": \"", "\"", "1.0.2", err); /* the latest that all of them know */
	if (r == 0)
		r = replace(&text, "\"path\": \"", "\"", root, err);
	return r < 0 ? r : file_write_atomic(AT_FDCWD, config, text, strlen(text), 0644, err);
}

static void add_peer(
	struct bench_context *c, const struct peer *p, const char *self, const char *bundle, const char *root)
{
	struct bench_column k = { .name = xstrdup(p->name), .kind = BENCH_PEER };
	char *program = !strcmp(p->program, "SELF") ? xstrdup(self) : find_in_path(p->program);

	if (!program)
		k.error = xasprintf("%s is not installed", p->program);
	else if (!p->words[0])
		k.error = xstrdup("no way to compare it on equal terms: its machine has no port for our agent");
	strv_push(&k.command, program ? program : xstrdup(p->program));
	for (size_t i = 0; p->words[i]; i++)
		strv_push(&k.command, xstrdup(!strcmp(p->words[i], "BUNDLE") ? bundle
					      : !strcmp(p->words[i], "ROOT") ? root
									     : p->words[i]));
	c->columns[c->n_columns++] = k;
}

int bench_make_peers(struct bench_context *c, const char *helper, const char *image, const char *dir, struct error *err)
{
	_cleanup_free_ char *folder = path_program_dir(), *self = xasprintf("%s/bivalve", folder ? folder : ".");
	const struct column_options launch = { .backends = "native,container,vm" };
	_cleanup_free_ char *store = store_dir(), *root = NULL;
	struct image loaded = { 0 };
	int r = image_load(store, image, &loaded, err);

	if (r == 0 && strv_len(loaded.layers) != 1)
		r = error_set(err, EPROTO, "bench peers: the image of the workloads has not one layer");
	if (r == 0)
		root = image_layer_path(store, loaded.layers[0]);
	record_release(&image_type, &loaded);
	if (r == 0)
		r = enter_own_mounts(err);
	if (r == 0)
		r = make_bundle(self, dir, root, err);
	if (r == 0)
		r = bench_make_columns(c, &launch, helper, image, err);
	for (const struct peer *p = peers; r == 0 && p->name; p++)
		add_peer(c, p, self, dir, root);
	if (r == 0)
		r = bench_make_microvm(&c->columns[c->n_columns++], helper, dir, err);
	return r;
}
