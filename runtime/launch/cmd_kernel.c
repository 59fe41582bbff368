/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve kernel import|list|remove`: guest kernels. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/options.h"
#include "runtime/launch/commands.h"
#include "vm-backend/kernel/kernel.h"

static const char usage[] =
	"Usage: bivalve kernel import SOURCE [NAME]   a folder (vmlinuz, modules/VERSION/) or one kernel file\n"
	"       bivalve kernel list [--json]          the first one is used unless --kernel says otherwise\n"
	"       bivalve kernel remove NAME…\n";

static int import(const char *store, int argc, char **argv, struct error *err)
{
	const char *name = argc > 2 ? argv[2] : "default";
	int r;

	if (argc < 2 || argc > 3)
		return error_set(err, EINVAL, "kernel import: expected SOURCE [NAME]");
	r = kernel_import(store, argv[1], name, err);
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
	_cleanup_free_ char *store = store_dir();
	const char *verb = argc > 1 ? argv[1] : "";
	int r = 0;

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || (argc > 2 && !strcmp(argv[2], "--help"))) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(verb, "import"))
		return import(store, argc - 1, argv + 1, err);
	if (!strcmp(verb, "list"))
		return list(store, argc - 1, argv + 1, err);
	if (strcmp(verb, "remove") || argc < 3)
		return error_set(err, EINVAL,
			"kernel: expected import, list or remove NAME: see `bivalve kernel "
			"--help`");
	for (int i = 2; i < argc && r == 0; i++)
		r = kernel_remove(store, argv[i], err);
	return r;
}
