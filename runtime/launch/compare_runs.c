/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's command, many times and in turn. What a column is stays `bivalve launch` with the words that were given.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "runtime/launch/bench_columns.h"
#include "runtime/launch/compare_runs.h"

/* The options of launch among the words before the image: ours, which launch does not know, are left out. */
static char **launch_words(const struct launch_options *o, char **argv)
{
	static const char *const ours[] = { "--runs", "--warmup", "--backends", "--csv", "--md", "--html", "--start" };
	char **words = NULL;

	for (size_t i = 1; argv[i] && argv[i] != o->image; i++) {
		bool skip = !strncmp(argv[i], "--json", 6) || !strcmp(argv[i], "--");

		for (size_t k = 0; k < ARRAY_LEN(ours) && !skip; k++) {
			size_t len = strlen(ours[k]);

			skip = !strncmp(argv[i], ours[k], len) && (argv[i][len] == '=' || !argv[i][len]);
			i += skip && !argv[i][len]; /* its value is a word of its own */
		}
		if (!skip)
			strv_push(&words, xstrdup(argv[i]));
	}
	return words;
}

static int mount_at(const char *root, const char *name, struct error *err)
{
	_cleanup_free_ char *source = xasprintf("/%s", name), *target = xasprintf("%s/%s", root, name);

	(void)mkdir(target, 0755); /* the image may have it */
	return mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0
		       ? error_sys(err, "native: cannot show /%s", name)
		       : 0;
}

/*
 * In a mount namespace of our own, so that it ends with us: the layers under a tmpfs that takes the writes, and the
 * host's /proc, /dev and /sys. The launches of the other columns are in that namespace too, which they do not notice.
 */
static int mount_root(const struct plan *plan, const char *dir, char **ret_root, struct error *err)
{
	_cleanup_free_ char *root = xasprintf("%s/root", dir), *upper = xasprintf("%s/upper", dir);
	_cleanup_free_ char *work = xasprintf("%s/work", dir), *options = NULL;
	_cleanup_strbuf_ struct strbuf lowers = { 0 };
	size_t n = strv_len(plan->root.lowers);
	int r = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("tmpfs", dir, "tmpfs", 0, NULL) < 0)
		return error_sys(err, "native: a root file system needs privileges that are missing");
	if (mkdir(root, 0755) < 0 || mkdir(upper, 0755) < 0 || mkdir(work, 0755) < 0)
		return error_sys(err, "native: cannot make folders");
	for (size_t i = n; i-- > 0;) /* overlayfs wants the highest first */
		strbuf_printf(&lowers, "%s%s", lowers.len ? ":" : "", plan->root.lowers[i]);
	options = xasprintf("lowerdir=%s,upperdir=%s,workdir=%s", lowers.text ? lowers.text : "", upper, work);
	if (mount("overlay", root, "overlay", 0, options) < 0)
		return error_sys(err, "native: cannot mount the image's layers");
	r = mount_at(root, "proc", err);
	if (r == 0)
		r = mount_at(root, "dev", err);
	if (r == 0)
		r = mount_at(root, "sys", err);
	if (r == 0)
		*ret_root = steal_ptr(root);
	return r;
}

/* The program as execve(2) wants it, searched in the plan's PATH within the root. */
static char *find_program(const char *root, const struct plan *plan)
{
	const char *name = plan->process.argv[0], *path = "/usr/local/bin:/usr/bin:/bin";
	int dirfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *found = NULL;

	strv_foreach(entry, plan->process.env)
		if (!strncmp(entry, "PATH=", 5))
			path = entry + 5;
	for (size_t len; !strchr(name, '/') && !found && *path; path += len + (path[len] == ':')) {
		_cleanup_close_ int fd = -1;

		len = strcspn(path, ":");
		found = xasprintf("%.*s/%s", (int)len, path, name);
		fd = path_open_in_root(dirfd, found, O_PATH, 0);
		if (fd < 0) {
			free(found);
			found = NULL;
		}
	}
	close_cleanup(&dirfd);
	return found ? found : xstrdup(name);
}

static int native_column(struct bench_column *k, struct launch_options *o, const char *dir, struct error *err)
{
	struct plan plan = { 0 };
	int r;

	o->backend = "container";
	r = prepare_plan(o, &plan, err);
	if (r == 0 && plan.process.user && strcmp(plan.process.user, "0") && strcmp(plan.process.user, "root"))
		r = error_set(
			err, EOPNOTSUPP, "native: only as root, the image or the policy says %s", plan.process.user);
	if (r == 0)
		r = mount_root(&plan, dir, &k->root, err);
	if (r == 0) {
		strv_push(&k->command, find_program(k->root, &plan));
		for (size_t i = 1; plan.process.argv[i]; i++)
			strv_push(&k->command, xstrdup(plan.process.argv[i]));
		k->env = strv_dup(plan.process.env);
		k->cwd = xstrdup(plan.process.cwd ? plan.process.cwd : "/");
	}
	record_release(&plan_type, &plan);
	return r;
}

static void launched_column(struct bench_column *k, const struct launch_options *o, char **words)
{
	bench_launch_words(k);
	strv_foreach(word, words)
		strv_push(&k->before, xstrdup(word));
	k->image = xstrdup(o->image);
	k->command = strv_dup(o->command);
}

static int fill_columns(struct bench_context *c, struct launch_options *o, char **argv, const char *backends,
	const char *dir, const char *report, struct error *err)
{
	enum bench_kind kinds[BENCH_MAX_COLUMNS];
	_cleanup_strv_ char **words = launch_words(o, argv);
	int n = bench_parse_backends(backends, kinds, err);

	for (int i = 0; i < n; i++) {
		struct bench_column k = { .name = bench_column_name(c, kinds[i]), .kind = kinds[i], .report = report };
		struct error why = { 0 };
		int r;

		if (kinds[i] == BENCH_NATIVE) {
			k.report = NULL;
			r = native_column(&k, o, dir, &why);
		} else {
			launched_column(&k, o, words);
			r = bench_try(c, o, kinds[i], &why);
			if (r == 0 && kinds[i] == BENCH_VM_WARM)
				r = bench_make_template(o, &why);
		}
		if (r < 0)
			k.error = xstrdup(why.message);
		c->columns[c->n_columns++] = k;
	}
	return n < 0 ? n : 0;
}

static bool all_failed(const struct bench_context *c)
{
	for (size_t i = 0; i < c->n_columns; i++)
		if (!c->columns[i].error)
			return false;
	return true;
}

int compare_runs(struct launch_options *o, char **argv, struct compare_runs *compare, struct error *err)
{
	const struct bench_suite *suites[] = { bench_suite_find("startup"), NULL };
	struct bench_result result = { 0 };
	struct bench_context c = { .result = &result, .runs = compare->runs, .warmup = compare->warmup,
		.random = clock_wall_ns(), .any_status = true };
	char dir[] = "/tmp/bivalve-compare.XXXXXX";
	_cleanup_free_ char *report = NULL;
	int r = bench_output_check(&compare->output, err);

	if (r < 0)
		return r;
	if (!mkdtemp(dir))
		return error_sys(err, "cannot make a folder in /tmp");
	report = xasprintf("%s/report.json", dir);
	r = fill_columns(&c, o, argv, compare->backends ? compare->backends : "container,vm", dir, report, err);
	if (r == 0 && all_failed(&c))
		r = error_set(err, EIO, "%s", c.columns[0].error);
	bench_result_fact(&result, "seed", "%ju", (uintmax_t)c.random);
	if (r == 0)
		r = bench_output_run(&c, suites, &compare->output, err);
	for (size_t i = 0; i < c.n_columns; i++)
		if (c.columns[i].root) {
			(void)umount2(c.columns[i].root, MNT_DETACH); /* ends with our namespace in any case */
			(void)umount2(dir, MNT_DETACH);
		}
	(void)path_remove_tree(AT_FDCWD, dir, NULL); /* empty but for a report */
	bench_context_release(&c);
	bench_result_release(&result);
	return r;
}
