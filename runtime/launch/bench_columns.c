/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured: the image of the workloads, and how each column starts them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/store.h"
#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/launch/bench_columns.h"

enum { HELPER_MAX = 64 << 20, RUN_MS = 180000 };

static const char *const kind_names[] = { "native", "container", "vm", "vm-warm", NULL };

char *bench_helper_path(void)
{
	_cleanup_free_ char *dir = path_program_dir();

	return xasprintf("%s/bivalve-bench", dir ? dir : ".");
}

/* FNV-1a: tells builds of one program apart, no more. */
static uint64_t digest_of(const char *data, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
	return h;
}

/*
 * What the image is made of, beside the program. The host's /usr is mounted where programs of the host are measured.
 */
static int make_root(int dirfd, const char *program, size_t len, struct error *err)
{
	static const char *const folders[] = { "usr", "data", "tmp", "etc", "proc", "sys", "dev", "run" };
	static const char *const links[] = { "bin", "sbin", "lib", "lib64" };
	static const char passwd[] = "root:x:0:0:root:/tmp:/bin/sh\n", group[] = "root:x:0:\n";
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (mkdirat(dirfd, folders[i], 0755) < 0)
			return error_sys(err, "cannot make /%s of the image", folders[i]);
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		char target[32];

		(void)snprintf(target, sizeof target, "usr/%s", links[i]);
		if (symlinkat(target, dirfd, links[i]) < 0)
			return error_sys(err, "cannot make /%s of the image", links[i]);
	}
	if (fchmodat(dirfd, "tmp", 01777, 0) < 0)
		return error_sys(err, "cannot make /tmp of the image");
	r = file_write_atomic(dirfd, "bivalve-bench", program, len, 0755, err);
	if (r == 0)
		r = file_write_atomic(dirfd, "etc/passwd", passwd, sizeof passwd - 1, 0644, err);
	if (r == 0)
		r = file_write_atomic(dirfd, "etc/group", group, sizeof group - 1, 0644, err);
	return r;
}

int bench_run_quietly(char **argv, const char *what, struct error *err)
{
	struct bench_stop stop = { .fd = -1 };
	struct child child = { .pidfd = -1, .in = -1, .out = -1 };
	uint64_t end;
	int status = 0, r = child_start(argv, &(struct child_options){ 0 }, &child, err);

	if (r == 0) {
		r = child_wait(&child, &stop, RUN_MS, NULL, &status, &end);
		if (r < 0 || status)
			r = error_set(err, EIO, "cannot %s: see the line above", what);
	}
	child_end(&child, 0);
	return r;
}

static int import(const char *root, const char *name, struct error *err)
{
	_cleanup_free_ char *dir = path_program_dir(), *program = xasprintf("%s/bivalve-image", dir ? dir : ".");
	char *argv[] = { program, (char *)"import", (char *)root, (char *)name, NULL };

	return bench_run_quietly(argv, "import the image of the workloads", err);
}

int bench_make_template(const struct launch_options *o, struct error *err)
{
	_cleanup_free_ char *dir = path_program_dir(), *program = xasprintf("%s/bivalve", dir ? dir : ".");
	char *argv[10] = { program, (char *)"template", (char *)"create", (char *)(uintptr_t)o->image };
	size_t n = 4;

	if (o->engine) {
		argv[n++] = (char *)"--engine";
		argv[n++] = (char *)(uintptr_t)o->engine;
	}
	if (o->kernel) {
		argv[n++] = (char *)"--kernel";
		argv[n++] = (char *)(uintptr_t)o->kernel;
	}
	return bench_run_quietly(argv, "make a template", err);
}

bool bench_have_templates(void)
{
	_cleanup_free_ char *store = store_dir(), *path = xasprintf("%s/templates", store);
	DIR *dir = opendir(path);
	bool any = false;

	for (struct dirent *e; dir && !any && (e = readdir(dir));)
		any = e->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return any;
}

int bench_make_image(const char *helper, char **ret_name, struct error *err)
{
	_cleanup_free_ char *store = store_dir(), *program = NULL, *name = NULL;
	char root[] = "/tmp/bivalve-bench.XXXXXX";
	_cleanup_close_ int dirfd = -1;
	struct image image = { 0 };
	size_t len;
	int r = file_read_at(AT_FDCWD, helper, HELPER_MAX, &program, &len, err);

	if (r < 0)
		return error_prefix(err, "the program with the workloads");
	name = xasprintf("bivalve-bench:%016" PRIx64, digest_of(program, len));
	r = image_load(store, name, &image, NULL);
	record_release(&image_type, &image);
	if (r < 0) {
		if (!mkdtemp(root))
			return error_sys(err, "cannot make a folder in /tmp");
		(void)chmod(root, 0755); /* it is the root directory of the image; ours, so it cannot fail */
		dirfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = dirfd < 0 ? error_sys(err, "%s", root) : make_root(dirfd, program, len, err);
		if (r == 0)
			r = import(root, name, err);
		(void)path_remove_tree(AT_FDCWD, root, NULL); /* in /tmp, and of no secret */
	}
	if (r == 0)
		*ret_name = steal_ptr(name);
	return r;
}

int bench_parse_backends(const char *text, enum bench_kind kinds[BENCH_MAX_COLUMNS], struct error *err)
{
	int n = 0;

	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ","), k = 0;

		while (kind_names[k] && (strlen(kind_names[k]) != len || strncmp(at, kind_names[k], len) != 0))
			k++;
		if (!kind_names[k])
			return error_set(err, EINVAL,
				"--backends %s: %.*s: expected native, container, vm or vm-warm", text, (int)len, at);
		if (n == BENCH_MAX_COLUMNS)
			return error_set(err, EINVAL, "--backends: at most %d", BENCH_MAX_COLUMNS);
		kinds[n++] = (enum bench_kind)k;
		at += len + (at[len] == ',');
	}
	return n ? n : error_set(err, EINVAL, "--backends: expected a list such as native,container,vm");
}

char *bench_column_name(const struct bench_context *c, enum bench_kind kind)
{
	size_t same = 0;

	for (size_t i = 0; i < c->n_columns; i++)
		same += c->columns[i].kind == kind;
	return same ? xasprintf("%s %zu", kind_names[kind], same + 1) : xstrdup(kind_names[kind]);
}

int bench_try(struct bench_context *c, struct launch_options *o, enum bench_kind kind, struct error *err)
{
	struct plan plan = { 0 };
	int r;

	o->backend = bench_is_vm(kind) ? "vm" : kind_names[kind];
	o->start = kind == BENCH_VM ? "cold" : NULL;
	r = prepare_plan(o, &plan, err);
	if (r == 0)
		r = backend_find(plan.backend)->check(&plan, err);
	if (r == 0 && bench_is_vm(kind))
		r = prepare_store(&plan, err);
	if (r >= 0) {
		bench_result_fact(c->result, "image", "%s %s", plan.root.image, plan.root.digest);
		bench_result_fact(c->result, "policy", "%s", plan.policy);
	}
	if (r >= 0 && bench_is_vm(kind)) {
		bench_result_fact(c->result, "guest kernel", "%s", plan.vm.kernel);
		bench_result_fact(c->result, "guest", "%ju MiB, %ju processor%s",
			(uintmax_t)(plan.vm.memory_bytes >> 20), (uintmax_t)plan.vm.vcpus,
			plan.vm.vcpus == 1 ? "" : "s");
	}
	record_release(&plan_type, &plan);
	return r < 0 ? r : 0;
}

static void push_option(char ***v, const char *name, const char *value)
{
	if (!value)
		return;
	strv_push(v, xstrdup(name));
	strv_push(v, xstrdup(value));
}

void bench_launch_words(struct bench_column *k)
{
	_cleanup_free_ char *self = path_program_dir();

	strv_push(&k->before, xasprintf("%s/bivalve", self ? self : "."));
	strv_push(&k->before, xstrdup("launch"));
	push_option(&k->before, "--backend", bench_is_vm(k->kind) ? "vm" : kind_names[k->kind]);
	if (bench_is_vm(k->kind)) /* never by what happens to exist */
		push_option(&k->before, "--start", k->kind == BENCH_VM ? "cold" : "warm");
}

static void launched_column(struct bench_column *k, const struct column_options *o, const char *image)
{
	bench_launch_words(k);
	push_option(&k->before, "--policy", o->policy);
	if (bench_is_vm(k->kind)) {
		push_option(&k->before, "--engine", o->engine);
		push_option(&k->before, "--kernel", o->kernel);
	}
	if (o->needs_data) {
		_cleanup_free_ char *volume = xasprintf("%s:/data", o->data);

		push_option(&k->session_options, "-v", volume);
	}
	if (o->needs_usr)
		push_option(&k->session_options, "-v", "/usr:/usr:ro");
	k->image = xstrdup(image);
	k->helper = xstrdup("/bivalve-bench");
	k->data = xstrdup("/data");
	k->layer = xstrdup("/tmp");
	k->report = "-";
}

/* What stands between a workload and the kernel, one wall at a time. The rest of the policy is the same. */
struct wall {
	const char *name, *keys;
	bool audit;
};
static const struct wall walls[] = {
	{ "none", "\"seccomp\": false, \"landlock\": false", false },
	{ "seccomp", "\"landlock\": false", false },
	{ "landlock",
		"\"seccomp\": false, \"landlock\": { \"read\": [\"/\"], \"write\": [\"/\"], \"execute\": [\"/\"] }",
		false },
	{ "audit", "\"landlock\": false", true },
};

static int wall_column(struct bench_context *c, enum bench_kind kind, const struct wall *wall,
	const struct column_options *o, const char *image, struct error *err)
{
	struct bench_column k = { .name = xasprintf("%s, %s", kind_names[kind], wall->name), .kind = kind };
	_cleanup_free_ char *policy = xasprintf("%s/%s.json", o->data, wall->name),
			    *audit = xasprintf("%s/audit", o->data);
	_cleanup_free_ char *base =
		o->policy && strchr(o->policy, '/') ? realpath(o->policy, NULL) : xstrdup(o->policy);
	_cleanup_free_ char *text = xasprintf("{ \"version\": 1, \"extends\": \"%s\", %s }\n", base ? base : "default",
			wall->keys);
	struct column_options own = *o;
	struct launch_options launch = { .policy = policy, .engine = o->engine, .kernel = o->kernel, .image = image };
	struct error why = { 0 };
	int r = file_write_atomic(AT_FDCWD, policy, text, strlen(text), 0644, err);

	own.policy = policy;
	launched_column(&k, &own, image);
	if (wall->audit)
		push_option(&k.before, "--audit", audit);
	launch.command = (char *[]){ k.helper, (char *)"true", NULL };
	if (r == 0 && bench_try(c, &launch, kind, &why) < 0)
		k.error = xstrdup(why.message);
	strv_push(&k.command, xstrdup(k.helper));
	strv_push(&k.command, xstrdup("true"));
	c->columns[c->n_columns++] = k;
	return r;
}

int bench_make_walls(struct bench_context *c, const struct column_options *o, const char *image, struct error *err)
{
	enum bench_kind kinds[BENCH_MAX_COLUMNS];
	int n = bench_parse_backends(o->backends, kinds, err), r = 0;

	for (int i = 0; i < n; i++)
		for (size_t k = 0; r == 0 && k < ARRAY_LEN(walls); k++) {
			if (kinds[i] == BENCH_NATIVE)
				break; /* has none */
			if (c->n_columns == BENCH_MAX_COLUMNS)
				return error_set(err, EINVAL, "isolation: too many backends");
			r = wall_column(c, kinds[i], &walls[k], o, image, err);
		}
	if (n >= 0 && r == 0 && c->n_columns == 0)
		return error_set(err, EINVAL, "isolation: --backends: expected container or vm");
	return n < 0 ? n : r;
}

static void add_column(struct bench_context *c, enum bench_kind kind, const struct column_options *o,
	const char *helper, const char *image)
{
	struct bench_column k = { .name = bench_column_name(c, kind), .kind = kind };
	struct launch_options launch = {
		.policy = o->policy, .engine = o->engine, .kernel = o->kernel, .image = image
	};
	struct error err = { 0 };

	if (kind == BENCH_NATIVE) {
		k.helper = xstrdup(helper);
		k.data = xstrdup(o->data);
		k.layer = xstrdup("/dev/shm");
	} else {
		launched_column(&k, o, image);
		launch.command = (char *[]){ k.helper, (char *)"true", NULL };
		if (bench_try(c, &launch, kind, &err) < 0 ||
				(kind == BENCH_VM_WARM && bench_make_template(&launch, &err) < 0))
			k.error = xstrdup(err.message);
	}
	strv_push(&k.command, xstrdup(k.helper));
	strv_push(&k.command, xstrdup("true"));
	c->columns[c->n_columns++] = k;
}

int bench_make_columns(struct bench_context *c, const struct column_options *o, const char *helper, const char *image,
		struct error *err)
{
	enum bench_kind kinds[BENCH_MAX_COLUMNS];
	struct cgroup_host host;
	int n = bench_parse_backends(o->backends, kinds, err);

	if (n < 0)
		return n;
	cgroup_probe(&host);
	bench_result_fact(c->result, "control groups", "%s", cgroup_layout_name(host.layout));
	for (int i = 0; i < n; i++)
		add_column(c, kinds[i], o, helper, image);
	return 0;
}
