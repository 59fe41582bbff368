/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve list`, `kill` and `delete`: instances that other processes started. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/options.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/sweep.h"

static const char *const status_texts[] = { "creating", "created", "running", "stopped" };

/* What state.json says, corrected by whether somebody still holds the instance. */
static const char *status_of(const char *run_dir, const struct instance *in)
{
	return instance_is_held(run_dir, in->id) ? status_texts[in->status] : "stopped";
}

static void print_one(const char *run_dir, const struct instance *in, struct json_writer *w)
{
	_cleanup_free_ char *command = xstrdup("");

	if (w) {
		json_begin_object(w, NULL);
		json_put_string(w, "id", in->id);
		json_put_string(w, "status", status_of(run_dir, in));
		json_put_uint(w, "pid", in->pid);
		json_put_string(w, "backend", in->backend);
		json_put_string(w, "engine", in->engine);
		json_put_string(w, "image", in->image);
		json_end(w);
		return;
	}
	strv_foreach(s, in->command) {
		char *more = xasprintf("%s%s%s", command, *command ? " " : "", s);

		free(command);
		command = more;
	}
	printf("%-20s %-9s %8" PRIu64 " %-10s %-20s %.60s\n", in->id, status_of(run_dir, in), in->pid, in->backend,
			in->image ? in->image : "-", command);
}

int cmd_list(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir(), *text = NULL;
	bool json = false, quiet = false, help;
	const struct option_row rows[] = {
		{ 0, "json", OPTION_FLAG, &json, NULL, "print JSON", NULL },
		{ 'q', "quiet", OPTION_FLAG, &quiet, NULL, "names only", NULL },
		{ 0 },
	};
	int at, r = options_parse(rows, argc, argv, &at, &help, err);
	struct json_writer *w = NULL;
	struct dirent *e;
	DIR *d;

	if (r < 0)
		return r;
	if (help) {
		printf("Usage: bivalve list [OPTIONS]\n\nOptions:\n");
		options_print(rows, stdout);
		return 0;
	}
	d = opendir(run_dir);
	if (!d && errno != ENOENT)
		return error_sys(err, "cannot list %s", run_dir);
	if (json) {
		w = json_writer_new(false);
		json_begin_array(w, NULL);
	} else if (!quiet) {
		printf("%-20s %-9s %8s %-10s %-20s %s\n", "ID", "STATUS", "PID", "SHELL", "IMAGE", "COMMAND");
	}
	while (d && (e = readdir(d))) {
		struct instance in;

		instance_init(&in);
		if (instance_load(run_dir, e->d_name, &in, NULL) == 0) {
			if (quiet && !json)
				printf("%s\n", in.id);
			else
				print_one(run_dir, &in, w);
		}
		instance_release(&in);
	}
	if (d)
		(void)closedir(d);
	if (!w)
		return 0;
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
	return 0;
}

/* "KILL", "SIGKILL", "9". */
static int signal_number(const char *name)
{
	char *end;
	long number = strtol(name, &end, 10);

	if (*name && !*end)
		return number > 0 && number < NSIG ? (int)number : -EINVAL;
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);

		if (known && !strcmp(known, name))
			return i;
	}
	return -EINVAL;
}

int cmd_kill(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	struct instance in;
	int signo = SIGTERM, r;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		puts("Usage: bivalve kill ID [SIGNAL]    SIGNAL: a name or number (TERM)");
		return 0;
	}
	if (argc < 2 || argc > 3)
		return error_set(err, EINVAL, "kill: expected ID [SIGNAL]");
	if (argc == 3)
		signo = signal_number(argv[2]);
	if (signo < 0)
		return error_set(err, EINVAL, "kill: unknown signal %s", argv[2]);
	r = instance_load(run_dir, argv[1], &in, err);
	if (r < 0)
		return r;
	if (!instance_is_held(run_dir, argv[1]) || in.status != INSTANCE_RUNNING)
		r = error_set(err, ESRCH, "%s is not running", argv[1]);
	else
		r = backend_find(in.backend) ? backend_find(in.backend)->kill(&in, signo, err)
			: error_set(err, EINVAL, "%s: unknown shell %s", argv[1], in.backend);
	instance_release(&in);
	return r;
}

int cmd_delete(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	bool force = false, all = false, help;
	const struct option_row rows[] = {
		{ 'f', "force", OPTION_FLAG, &force, NULL, "also one that runs; none of that name is no error", NULL },
		{ 'a', "all", OPTION_FLAG, &all, NULL, "every instance that does not run any more", NULL },
		{ 0 },
	};
	int at, r = options_parse(rows, argc, argv, &at, &help, err);

	if (r < 0)
		return r;
	if (help) {
		printf("Usage: bivalve delete [OPTIONS] ID…\n\nOptions:\n");
		options_print(rows, stdout);
		return 0;
	}
	if (all) {
		(void)instance_sweep(run_dir);
		return 0;
	}
	if (at >= argc)
		return error_set(err, EINVAL, "delete: expected the name of an instance, or --all");
	for (; at < argc; at++) {
		r = instance_id_check(argv[at], err);
		if (r == 0)
			r = instance_remove(run_dir, argv[at], force, err);
		if (r == -ENOENT && force)
			r = 0;
		if (r < 0)
			return r;
	}
	return 0;
}
