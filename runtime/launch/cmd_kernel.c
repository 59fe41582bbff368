/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve kernel build|import|list|use|remove`: guest kernels. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/options.h"
#include "runtime/base/path.h"
#include "runtime/launch/commands.h"
#include "vm-backend/kernel/kernel.h"

static const char usage[] =
	"Usage: bivalve kernel build [NAME]           build Linux for microVMs from Debian's source (minutes;\n"
	"                                             it is kept) and use it from now on; NAME: tuned\n"
	"       bivalve kernel import SOURCE [NAME]   a folder (vmlinuz or vmlinux, modules/VERSION/, config)\n"
	"                                             or a file; without NAME it is \"default\", and used from now on\n"
	"       bivalve kernel list [--json]          the first one is used unless --kernel says otherwise\n"
	"       bivalve kernel use NAME               use this one from now on\n"
	"       bivalve kernel remove NAME…\n";

enum { MAX_FOLDER = 4096 };

static int import(const char *store, int argc, char **argv, struct error *err)
{
	const char *name = argc > 2 ? argv[2] : "default";
	int r;

	if (argc < 2 || argc > 3)
		return error_set(err, EINVAL, "kernel import: expected SOURCE [NAME]");
	r = kernel_import(store, argv[1], name, err);
	if (r == 0 && argc == 2)
		r = kernel_use(store, name, err);
	if (r == 0)
		printf("%s\n", name);
	return r;
}

static int use(const char *store, int argc, char **argv, struct error *err)
{
	if (argc != 2)
		return error_set(err, EINVAL, "kernel use: expected NAME");
	return kernel_use(store, argv[1], err);
}

static int remove_all(const char *store, int argc, char **argv, struct error *err)
{
	int r = argc > 1 ? 0 : error_set(err, EINVAL, "kernel remove: expected NAME…");

	for (int i = 1; i < argc && r == 0; i++)
		r = kernel_remove(store, argv[i], err);
	return r;
}

/* The script that builds, beside an installed program or in the source tree that this one was built in. */
static char *find_script(struct error *err)
{
	static const char *const places[] = { "../share/bivalve/build-guest-kernel", "../scripts/build-guest-kernel" };
	_cleanup_free_ char *dir = path_program_dir();

	for (size_t i = 0; dir && i < ARRAY_LEN(places); i++) {
		char *path = xasprintf("%s/%s", dir, places[i]);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	(void)error_set(err, ENOENT, "kernel build: no build-guest-kernel beside this program; run "
			"scripts/build-guest-kernel of the source tree and import the folder that it prints");
	return NULL;
}

/* Runs the script, whose progress is on standard error, and returns the folder that it prints; owned by the caller. */
static char *run_script(const char *script, const char *cache, struct error *err)
{
	_cleanup_close_ int output = -1;
	char folder[MAX_FOLDER];
	int pipe_fds[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		(void)error_sys(err, "cannot run %s", script); /* the caller sees NULL */
		return NULL;
	}
	if (pid == 0) {
		if (dup2(pipe_fds[1], STDOUT_FILENO) == STDOUT_FILENO)
			execl(script, script, cache, (char *)NULL);
		_exit(127);
	}
	(void)close(pipe_fds[1]); /* the child has its own */
	output = pipe_fds[0];
	n = fd_read_full(output, folder, sizeof folder - 1);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n <= 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		(void)error_set(err, EIO, "kernel build: %s failed%s", script, n < 0 ? "" : ": see the lines above");
		return NULL;
	}
	folder[n] = '\0';
	folder[strcspn(folder, "\n")] = '\0';
	return xstrdup(folder);
}

static int build(const char *store, int argc, char **argv, struct error *err)
{
	const char *wanted = getenv("BIVALVE_KERNEL_CACHE"), *name = argc > 1 ? argv[1] : "tuned";
	_cleanup_free_ char *cache = wanted ? xstrdup(wanted) : xasprintf("%s/guest-kernel", store);
	_cleanup_free_ char *script = NULL, *folder = NULL;
	int r;

	if (argc > 2)
		return error_set(err, EINVAL, "kernel build: expected at most a NAME");
	script = find_script(err);
	folder = script ? run_script(script, cache, err) : NULL;
	if (!folder)
		return -err->code;
	r = kernel_import(store, folder, name, err);
	if (r == 0)
		r = kernel_use(store, name, err);
	if (r == 0)
		printf("%s\n", name);
	return r;
}

static void print_json(const struct kernel *list, size_t n)
{
	struct json_writer *w = json_writer_new(false);
	_cleanup_free_ char *text = NULL;

	json_begin_array(w, NULL);
	for (size_t i = 0; i < n; i++)
		record_write(w, NULL, &kernel_type, &list[i], false);
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
}

static int list(const char *store, int argc, char **argv, struct error *err)
{
	bool json = false, help;
	const struct option_row rows[] = { { 0, "json", OPTION_FLAG, &json, NULL, "print JSON", NULL }, { 0 } };
	struct kernel *kernels = NULL;
	size_t n = 0;
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r == 0)
		r = kernel_list(store, &kernels, &n, err);
	if (r < 0)
		return r;
	if (json) {
		print_json(kernels, n);
	} else {
		printf("%-20s %-28s %-8s %8s %8s\n", "NAME", "VERSION", "FORMAT", "MIB", "MODULES");
		for (size_t i = 0; i < n; i++)
			printf("%-20s %-28s %-8s %8.1f %8zu\n", kernels[i].name,
					kernels[i].version ? kernels[i].version : "unknown", kernels[i].format,
					(double)kernels[i].size_bytes / 1048576, strv_len(kernels[i].modules));
	}
	kernel_list_free(kernels, n);
	return 0;
}

int cmd_kernel(int argc, char **argv, struct error *err)
{
	static const struct {
		const char *verb;
		int (*run)(const char *store, int argc, char **argv, struct error *err);
	} verbs[] = {
		{ "build", build }, { "import", import }, { "list", list }, { "use", use }, { "remove", remove_all },
	};
	_cleanup_free_ char *store = store_dir();
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || (argc > 2 && !strcmp(argv[2], "--help"))) {
		fputs(usage, stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verb, verbs[i].verb))
			return verbs[i].run(store, argc - 1, argv + 1, err);
	return error_set(err, EINVAL, "kernel: expected build, import, list, use or remove: see "
			"`bivalve kernel --help`");
}
