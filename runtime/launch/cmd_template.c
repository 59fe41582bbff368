/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve template create|list|inspect|remove`: microVMs that were booted beforehand. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/run.h"
#include "vm-backend/template_make.h"

static const char usage[] =
	"Usage: bivalve template create IMAGE [OPTIONS]   boot a microVM for IMAGE and keep it as it is then\n"
	"       bivalve template list [--json]\n"
	"       bivalve template inspect NAME…            all that is known of each, as JSON\n"
	"       bivalve template remove NAME…\n"
	"\n"
	"`bivalve launch --vm IMAGE` with the same -m, --cpus, --kernel, --engine and --net goes on from it.\n";

/* A folder to work in, on the store's own file system. */
static char *make_work(const char *store, struct error *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s/tmp", store), *work = xasprintf("%s/image-template-XXXXXX", tmp);

	if (path_mkdirs(tmp, 0700, err) < 0)
		return NULL;
	if (!mkdtemp(work)) {
		(void)error_sys(err, "%s", work); /* what is returned says it too */
		return NULL;
	}
	return steal_ptr(work);
}

static void remove_work(const char *work)
{
	_cleanup_free_ char *parent = xstrndup(work, (size_t)(strrchr(work, '/') - work));
	_cleanup_close_ int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		/* usually moved away; else the store sweeps it */
		(void)path_remove_tree(dir, strrchr(work, '/') + 1, NULL);
}

static int make(const char *store, const struct plan *plan, struct template *ret, struct error *err)
{
	_cleanup_close_ int lock = store_lock(store, false, err);
	_cleanup_free_ char *work = NULL;
	const struct vm_engine *engine;
	char reason[200];
	int r;

	if (lock < 0)
		return lock;
	engine = vm_engine_choose(plan->vm.engine, reason, sizeof reason, err);
	if (!engine)
		return -err->code;
	work = make_work(store, err);
	if (!work)
		return -err->code;
	r = template_make(plan, engine, work, ret, err);
	remove_work(work);
	return r < 0 ? error_prefix(err, "template") : r;
}

/* The image's name may stand first or last. */
static int parse_create(struct launch_options *o, int argc, char **argv, struct error *err)
{
	static char program[] = "true";
	static char *command[] = { program, NULL };
	_cleanup_free_ char **words = xcalloc((size_t)argc + 1, sizeof *words);
	int n = 0, r;

	words[n++] = argv[0];
	for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i < argc; i++)
		words[n++] = argv[i];
	if (n < argc)
		words[n++] = argv[1];
	words[n] = NULL;
	r = launch_parse(o, n, words, "template create IMAGE [OPTIONS]", NULL, err);
	if (r == 0 && o->command[0])
		return error_set(err, EINVAL, "template create: %s: a template is of an image, without a command",
				o->command[0]);
	o->command = command;
	o->vm = true;
	return r;
}

static int create(const char *store, int argc, char **argv, struct error *err)
{
	struct launch_options o = { 0 };
	struct template made = { 0 };
	struct plan plan = { 0 };
	int r = parse_create(&o, argc, argv, err);

	if (r == 0)
		r = prepare_plan(&o, &plan, err);
	if (r == 0)
		r = backend_find("vm")->check(&plan, err);
	if (r == 0)
		r = prepare_store(&plan, err);
	if (r == 0)
		r = make(store, &plan, &made, err);
	if (r >= 0 && made.name)
		printf("%s\n", made.name);
	record_release(&template_type, &made);
	record_release(&plan_type, &plan);
	launch_options_release(&o);
	return r > 0 ? 0 : r;
}

static void print_all(const struct template *list, size_t n, bool json)
{
	struct json_writer *w;
	_cleanup_free_ char *text = NULL;

	if (!json) {
		printf("%-16s %-24s %-6s %-12s %8s %5s %9s %8s\n", "NAME", "IMAGE", "ENGINE", "KERNEL", "MEMORY",
				"CPUS", "ON DISK", "BOOT");
		for (size_t i = 0; i < n; i++)
			printf("%-16s %-24s %-6s %-12s %4llu MiB %5llu %5.1f MiB %5.2f s\n", list[i].name,
					list[i].image ? list[i].image : "-", list[i].key.engine,
					list[i].kernel_name ? list[i].kernel_name : "-",
					(unsigned long long)list[i].key.memory_bytes >> 20,
					(unsigned long long)list[i].key.vcpus,
					(double)(list[i].ram_bytes + list[i].state_bytes) / 1048576,
					(double)list[i].boot_us / 1e6);
		return;
	}
	w = json_writer_new(false);
	json_begin_array(w, NULL);
	for (size_t i = 0; i < n; i++)
		record_write(w, NULL, &template_type, &list[i], false);
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
}

static int list(const char *templates, int argc, char **argv, struct error *err)
{
	bool json = false, help;
	const struct option_row rows[] = { { 0, "json", OPTION_FLAG, &json, NULL, "print JSON", NULL }, { 0 } };
	struct template *all;
	size_t n;
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r == 0)
		r = template_list(templates, &all, &n, err);
	if (r < 0)
		return r;
	print_all(all, n, json);
	template_list_free(all, n);
	return 0;
}

static int inspect(const char *templates, int argc, char **argv, struct error *err)
{
	struct template *all = NULL;
	size_t n = 0;
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		all = xreallocarray(all, n + 1, sizeof *all);
		all[n] = (struct template){ 0 };
		r = template_load(templates, argv[i], &all[n], err);
		n += r == 0;
	}
	if (r == 0)
		print_all(all, n, true);
	template_list_free(all, n);
	return r;
}

static int remove_all(const char *templates, const char *store, int argc, char **argv, struct error *err)
{
	_cleanup_close_ int lock = store_lock(store, false, err);
	int r = lock < 0 ? lock : 0;

	for (int i = 1; i < argc && r == 0; i++)
		r = template_remove(templates, argv[i], err);
	return r;
}

int cmd_template(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *store = store_dir(), *templates = xasprintf("%s/templates", store);
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || (argc > 2 && strcmp(verb, "create") &&
			!strcmp(argv[2], "--help"))) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(verb, "create"))
		return create(store, argc - 1, argv + 1, err);
	if (!strcmp(verb, "list"))
		return list(templates, argc - 1, argv + 1, err);
	if (argc > 2 && !strcmp(verb, "inspect"))
		return inspect(templates, argc - 1, argv + 1, err);
	if (argc > 2 && !strcmp(verb, "remove"))
		return remove_all(templates, store, argc - 1, argv + 1, err);
	return error_set(err, EINVAL, "template: expected create IMAGE, list, inspect NAME or remove NAME: see "
			"`bivalve template --help`");
}
