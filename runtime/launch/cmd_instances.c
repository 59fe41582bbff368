/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bivalve list`, `kill` and `delete`: instances that other processes started, of images and of bundles alike.
 *
 * Engines decide by words in our errors; whoever rewords one, look here first:
 *
 *   containerd, after kill     "container not running", "no such process", "process already finished": it is over;
 *                              "does not exist": there never was one; anything else is an unknown failure
 *   containerd, after delete   "does not exist": as good as deleted
 *   podman, after any verb     "permission denied|operation not permitted", "executable file not found in|no such file
 *                              or directory" (then 126, 127), "does not exist"
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/launch/sweep.h"

/* Calls one for each instance in the run-time folder that can be read, until it fails. regex: NULL for all. */
static int each_instance(const regex_t *regex, int (*one)(struct verb_target *t, void *context, struct error *err),
		void *context, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	DIR *d = opendir(run_dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : error_sys(err, "cannot list %s", run_dir);
	while (r == 0 && (e = readdir(d))) {
		_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;

		if (instance_id_check(e->d_name, NULL) < 0 || (regex && regexec(regex, e->d_name, 0, NULL, 0) != 0))
			continue;
		if (verb_open(e->d_name, false, &t, NULL) == 0)
			r = one(&t, context, err);
	}
	(void)closedir(d);
	return r;
}

static int compile(const char *text, regex_t *ret, struct error *err)
{
	char why[100];
	int r = regcomp(ret, text, REG_EXTENDED | REG_NOSUB);

	if (r == 0)
		return 0;
	(void)regerror(r, ret, why, sizeof why);
	return error_set(err, EINVAL, "--regex %s: %s", text, why);
}

struct listing {
	struct json_writer *w; /* NULL: a table */
	bool quiet;
};

static void print_json(struct json_writer *w, const struct verb_target *t)
{
	json_begin_object(w, NULL);
	instance_put_oci_state(w, &t->in, t->status, true);
	json_put_string(w, "backend", t->in.backend);
	json_put_string(w, "engine", t->in.engine);
	json_put_string(w, "image", t->in.image);
	json_end(w);
}

static int print_one(struct verb_target *t, void *context, struct error *err)
{
	struct listing *l = context;
	_cleanup_free_ char *created = instance_created(&t->in), *owner = instance_owner(&t->in);
	uint64_t pid = t->status == INSTANCE_STOPPED ? 0 : t->in.pid;

	if (l->w)
		print_json(l->w, t);
	else if (l->quiet)
		printf("%s\n", t->in.id);
	else /* what has no bundle has an image */
		printf("%-20s %-8" PRIu64 " %-9s %s%-30s %-30s %-8s %s\n", t->in.id, pid,
			instance_status_name(t->status), t->in.bundle ? "" : "image:",
			t->in.bundle  ? t->in.bundle
			: t->in.image ? t->in.image
				      : "",
			created, owner, t->in.backend);
	return 0;
}

int cmd_list(int argc, char **argv, struct error *err)
{
	struct listing l = { 0 };
	_cleanup_free_ char *text = NULL;
	const char *format = "table";
	bool json = false;
	const struct option_row rows[] = {
		{ 'f', "format", OPTION_STRING, &format, "FORMAT", "table or json", NULL },
		{ 0, "json", OPTION_FLAG, &json, NULL, "the same as --format json", NULL },
		{ 'q', "quiet", OPTION_FLAG, &l.quiet, NULL, "names only", NULL },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "list [OPTIONS]", 0, 0, &at, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (strcmp(format, "table") && strcmp(format, "json"))
		return error_set(err, EINVAL, "--format %s: expected table or json", format);
	json |= !strcmp(format, "json");
	if (json && !l.quiet) {
		l.w = json_writer_new(false);
		json_begin_array(l.w, NULL);
	} else if (!l.quiet) {
		printf("%-20s %-8s %-9s %-30s %-30s %-8s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER",
			"SHELL");
	}
	r = each_instance(NULL, print_one, &l, err);
	if (!l.w)
		return r;
	json_end(l.w);
	text = json_writer_finish(l.w, NULL);
	fputs(text, stdout);
	return r;
}

struct sending {
	int signo;
	bool all;
};

/* The group's members are told while they can still be told apart from nobody: a stopped one's, too, with --all. */
static int send_to(struct verb_target *t, void *context, struct error *err)
{
	const struct sending *s = context;
	int r;

	if (s->all && t->backend->kill_all)
		return t->backend->kill_all(&t->in, s->signo, err);
	if (s->all && t->backend->kill_all == NULL)
		return error_set(err, EOPNOTSUPP, "--all: the shell %s cannot do that", t->in.backend);
	if (t->status == INSTANCE_STOPPED || t->status == INSTANCE_CREATING)
		return error_set(err, ESRCH, "container not running: %s is %s", t->in.id,
				instance_status_name(t->status));
	r = t->backend->kill(&t->in, s->signo, err);
	if (r == -ESRCH)
		return error_set(err, ESRCH, "container not running: %s: no such process", t->in.id);
	/* What is frozen does not die of it: cgroup v1 keeps the signal until it thaws. */
	if (r == 0 && s->signo == SIGKILL && t->status == INSTANCE_PAUSED && t->backend->resume)
		(void)t->backend->resume(&t->in, NULL); /* the signal is sent; v2 needs no thaw */
	return r;
}

int cmd_kill(int argc, char **argv, struct error *err)
{
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	struct sending s = { .signo = SIGTERM };
	bool by_regex = false;
	const struct option_row rows[] = {
		{ 'a', "all", OPTION_FLAG, &s.all, NULL, "to every process of it", NULL },
		{ 'r', "regex", OPTION_FLAG, &by_regex, NULL, "ID is a regular expression", NULL },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "kill [OPTIONS] ID [SIGNAL]", 1, 2, &at, err);
	regex_t regex;

	if (r != 0)
		return r < 0 ? r : 0;
	if (argc - at == 2)
		s.signo = verb_signal(argv[at + 1]);
	if (s.signo < 0)
		return error_set(err, EINVAL, "kill: unknown signal %s", argv[at + 1]);
	if (by_regex) {
		r = compile(argv[at], &regex, err);
		if (r < 0)
			return r;
		r = each_instance(&regex, send_to, &s, err);
		regfree(&regex);
		return r;
	}
	r = verb_open(argv[at], false, &t, err);
	return r < 0 ? r : send_to(&t, &s, err);
}

static int remove_one(const char *id, bool force, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	int r = instance_id_check(id, err);

	if (r == 0)
		r = instance_remove(run_dir, id, force, err);
	return r == -ENOENT && force ? 0 : r;
}

static int remove_target(struct verb_target *t, void *context, struct error *err)
{
	return remove_one(t->in.id, *(const bool *)context, err);
}

int cmd_delete(int argc, char **argv, struct error *err)
{
	bool force = false, all = false, by_regex = false;
	const struct option_row rows[] = {
		{ 'f', "force", OPTION_FLAG, &force, NULL, "also one that runs; none of that name is no error", NULL },
		{ 'r', "regex", OPTION_FLAG, &by_regex, NULL, "ID is a regular expression", NULL },
		{ 'a', "all", OPTION_FLAG, &all, NULL, "every launch that does not run any more", NULL },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "delete [OPTIONS] ID…", 0, 0, &at, err);
	regex_t regex;

	if (r != 0)
		return r < 0 ? r : 0;
	if (all) {
		_cleanup_free_ char *run_dir = store_run_dir();

		(void)instance_sweep(run_dir);
		return 0;
	}
	if (at >= argc)
		return error_set(err, EINVAL, "delete: expected the name of an instance, or --all");
	for (; r == 0 && at < argc; at++) {
		if (!by_regex) {
			r = remove_one(argv[at], force, err);
			continue;
		}
		r = compile(argv[at], &regex, err);
		if (r < 0)
			break;
		r = each_instance(&regex, remove_target, &force, err);
		regfree(&regex);
	}
	return r;
}
