/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a bundle to a created instance, for `create` and `run --detach`.
 *
 * Theory of operation. A created instance outlives us: nobody supervises it. So each step is on disk before the next
 * one
 * makes what would outlive a crash, and whatever is on disk can be undone by `delete`:
 *
 *   plan        reads bundle and host; makes nothing
 *   check       the shell refuses what it cannot enforce; makes nothing
 *   prepare     a microVM's initramfs in the store, which is kept anyway
 *   claim       <root>/<id>/, locked as long as this verb takes
 *   state.json  detached, creating
 *   plan.json   for exec, update and the hooks of delete
 *   create      the shell's own steps; it notes in state.json what it is about to make
 *   state.json  created, with the pid
 *   console     the terminal's master goes to --console-socket
 *   pid file    last: who waits for it may use the instance
 *
 * Killed between any two of them, a folder is left whose state is "creating" with nobody at its lock, or a whole
 * created
 * instance: `delete --force`, or the next create of that name, undoes it (sweep.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "container-backend/self.h"
#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/log.h"
#include "runtime/base/path.h"
#include "runtime/launch/oci_create.h"
#include "runtime/launch/oci_globals.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/launch/prepare.h"
#include "runtime/launch/sweep.h"
#include "runtime/model/hooks.h"
#include "runtime/oci/spec.h"

enum { MAX_PRESERVED_FDS = 1024 };

int create_parse(int argc, char **argv, bool run, struct create_options *o, struct error *err)
{
	enum { RUN_ONLY = 2 };
	const struct option_row rows[] = {
		{ 'd', "detach", OPTION_FLAG, &o->detach, NULL, "return once it runs", NULL },
		{ 0, "keep", OPTION_FLAG, &o->keep, NULL, "leave it, stopped, when it has ended", NULL },
		{ 0, "no-subreaper", OPTION_FLAG, &o->no_subreaper, NULL, "taken, without effect", NULL },
		{ 'b', "bundle", OPTION_STRING, &o->bundle, "DIR", "the bundle (the current folder)", NULL },
		{ 'f', "config", OPTION_STRING, &o->config, "FILE", "the configuration (config.json in the bundle)",
			NULL },
		{ 0, "console-socket", OPTION_STRING, &o->console_socket, "PATH",
			"unix socket that gets the terminal", NULL },
		{ 0, "pid-file", OPTION_STRING, &o->pid_file, "FILE", "where its pid is written", NULL },
		{ 0, "no-pivot", OPTION_FLAG, &o->no_pivot, NULL,
			"change the root by moving it: for a host on a ramdisk", NULL },
		{ 0, "no-new-keyring", OPTION_FLAG, &o->no_new_keyring, NULL, "keep the caller's session keyring",
			NULL },
		{ 0, "preserve-fds", OPTION_PARSED, &o->preserve_fds, "N", "hand on N descriptors, from 3",
			verb_parse_uint },
		{ 0 },
	};
	/* create takes --no-subreaper too: engines pass the same words to both */
	int at, r = verb_parse(run ? rows : rows + RUN_ONLY, argc, argv, run ? "run [OPTIONS] ID"
			: "create [OPTIONS] ID", 1, 1, &at, err);

	if (r != 0)
		return r;
	o->id = argv[at];
	if (o->preserve_fds > MAX_PRESERVED_FDS)
		return error_set(err, EINVAL, "--preserve-fds: more than %d", MAX_PRESERVED_FDS);
	return instance_id_check(o->id, err);
}

/* Sockets that a service manager opened for us are the workload's: sd_listen_fds(3). */
static void add_listen_fds(const struct create_options *o, struct plan *plan)
{
	const char *said = getenv("LISTEN_FDS");
	long n = said ? strtol(said, NULL, 10) : 0;

	if (n <= 0 || n > MAX_PRESERVED_FDS)
		return;
	plan->process.preserve_fds = o->preserve_fds + (uint64_t)n;
	strv_push(&plan->process.env, xasprintf("LISTEN_FDS=%ld", n));
	strv_push(&plan->process.env, xstrdup("LISTEN_PID=1"));
}

static int check_console(const struct create_options *o, const struct plan *plan, bool detached, struct error *err)
{
	if (plan->process.terminal && detached && !o->console_socket)
		return error_set(err, EINVAL, "process.terminal: a detached one needs --console-socket");
	if (o->console_socket && (!detached || !plan->process.terminal))
		return error_set(err, EINVAL, "--console-socket: only for a detached one with process.terminal");
	return 0;
}

/* The annotation with which podman asks for `--group-add keep-groups`: the caller's groups are the workload's too. */
static void keep_groups(struct plan *plan)
{
	gid_t groups[64];
	int n = 0;

	for (size_t i = 0; i < plan->n_annotations; i++)
		if (!strcmp(plan->annotations[i].key, "run.oci.keep_original_groups") &&
				!strcmp(plan->annotations[i].value, "1"))
			n = getgroups(ARRAY_LEN(groups), groups); /* -1: more than anybody has; then none */
	for (int i = 0; i < n; i++)
		strv_push(&plan->process.groups, xasprintf("%u", groups[i]));
}

int create_plan(const struct create_options *o, struct plan *ret, const struct backend **ret_backend,
		struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir(), *cache = xasprintf("%s/.seccomp", run_dir);
	_cleanup_free_ char *bundle = realpath(o->bundle ? o->bundle : ".", NULL);
	const char *manager = oci_globals()->cgroup_manager;
	struct oci_spec_request request = {
		.id = o->id, .bundle = bundle, .config = o->config, .backend = oci_globals()->vm ? "vm" : NULL,
		.systemd_cgroup = oci_globals()->systemd_cgroup, .no_pivot = o->no_pivot,
		.no_new_keyring = o->no_new_keyring, .preserve_fds = o->preserve_fds, .rootless = oci_rootless(),
		.no_cgroup = manager && !strcmp(manager, "disabled"), .seccomp_cache = cache,
	};
	int r;

	if (!bundle)
		return error_sys(err, "--bundle %s", o->bundle ? o->bundle : ".");
	r = oci_spec_plan(&request, ret, err);
	if (r < 0)
		return r;
	add_listen_fds(o, ret);
	keep_groups(ret);
	verb_narrow(ret, &ret->process, LOG_LEVEL_WARNING);
	*ret_backend = backend_find(ret->backend);
	if (!*ret_backend)
		return error_set(err, EINVAL, "unknown shell %s", ret->backend);
	if (!strcmp(ret->backend, "vm"))
		r = prepare_machine(ret, err);
	if (r == 0)
		r = (*ret_backend)->check(ret, err);
	if (r == 0 && *ret_backend == &container_backend && plan_join_path(ret, PLAN_NS_PID))
		r = self_protect(err); /* who is in there already will see us */
	return r;
}

int create_prepare(struct plan *plan, struct error *err)
{
	return strcmp(plan->backend, "vm") ? 0 : prepare_store(plan, err);
}

void create_describe(const struct plan *plan, const char *run_dir, struct instance *in)
{
	in->id = xstrdup(plan->id);
	in->backend = xstrdup(plan->backend);
	in->dir = xasprintf("%s/%s", run_dir, plan->id);
	in->image = xstrdup(plan->root.image);
	in->command = strv_dup(plan->process.argv);
	in->bundle = xstrdup(plan->bundle);
	in->rootfs = xstrdup(plan->root.path);
	in->created_ns = clock_wall_ns();
	in->owner = getuid();
	in->status = INSTANCE_CREATING;
	if (plan->n_annotations)
		in->annotations = xcalloc(plan->n_annotations, sizeof *in->annotations);
	for (size_t i = 0; i < plan->n_annotations; i++)
		in->annotations[i] = (struct plan_pair){ xstrdup(plan->annotations[i].key),
			xstrdup(plan->annotations[i].value) };
	in->n_annotations = plan->n_annotations;
}

int create_pid_file(const char *path, uint64_t pid, struct error *err)
{
	char text[24];
	int len = snprintf(text, sizeof text, "%ju", (uintmax_t)pid); /* without a newline: as the peers write it */

	if (!path)
		return 0;
	return file_write_atomic(AT_FDCWD, path, text, (size_t)len, 0644, err) < 0 ? error_prefix(err, "--pid-file")
										   : 0;
}

int create_send_console(const char *path, int master, struct error *err)
{
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dir = -1;
	static const char name[] = "/dev/ptmx"; /* what the peers call it */
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int n, r;

	if (!path || master < 0)
		return 0;
	dir = open(path, O_PATH | O_CLOEXEC); /* paths of any length: by its descriptor */
	if (sock < 0 || dir < 0)
		return error_sys(err, "--console-socket %s", path);
	n = snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d", dir);
	if (connect(sock, (struct sockaddr *)&to,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1)) < 0)
		return error_sys(err, "--console-socket %s", path);
	r = fd_send(sock, name, sizeof name - 1, &master, 1);
	return r < 0 ? error_set(err, -r, "--console-socket %s: %s", path, strerror(-r)) : 0;
}

/* The poststop hooks of an instance that never came to be: what its earlier hooks made is theirs to undo. */
static void unhook(const struct instance *in, const struct plan *plan)
{
	_cleanup_free_ char *state = instance_oci_state(in, INSTANCE_STOPPED, false);
	struct error err = { 0 };

	if (hooks_run(plan, HOOK_POSTSTOP, state, &err) < 0)
		log_line(LOG_LEVEL_WARNING, "%s: %s", in->id, err.message);
}

static int hand_over(const struct create_options *o, struct instance *in, struct error *err)
{
	int r;

	in->status = INSTANCE_CREATED;
	r = instance_save(in, err);
	if (r == 0)
		r = create_send_console(o->console_socket, in->live.console_fd, err);
	return r < 0 ? r : create_pid_file(o->pid_file, in->pid, err);
}

int create_detached(const struct create_options *o, const struct plan *plan, const struct backend *backend,
		const char *run_dir, struct instance *in, struct error *err)
{
	static const int stdio[3] = { 0, 1, 2 };
	struct error undone = { 0 };
	int r;

	create_describe(plan, run_dir, in);
	in->detached = true;
	r = check_console(o, plan, true, err);
	if (r == 0)
		r = instance_save(in, err);
	if (r == 0)
		r = instance_save_plan(in, plan, err);
	if (r == 0) {
		r = backend->create(plan, in, stdio, err);
		if (r == 0)
			r = hand_over(o, in, err);
		if (r < 0 && backend->delete(in, &undone) < 0)
			log_line(LOG_LEVEL_WARNING, "%s: not all could be removed: %s", in->id, undone.message);
		if (r < 0)
			unhook(in, plan);
	}
	if (r < 0 && path_remove_tree(AT_FDCWD, in->dir, &undone) < 0)
		log_line(LOG_LEVEL_WARNING, "%s: not all could be removed: %s", in->id, undone.message);
	return r;
}

int create_start(const struct backend *backend, struct instance *in, const struct plan *plan, struct error *err)
{
	_cleanup_free_ char *state = NULL;
	struct error hook = { 0 };
	int r = backend->start(in, err);

	if (r < 0)
		return r;
	in->status = INSTANCE_RUNNING;
	r = instance_save(in, err);
	if (r < 0)
		return r;
	/* it may have ended already: the hook hears of its start */
	state = instance_oci_state(in, INSTANCE_RUNNING, false);
	if (hooks_run(plan, HOOK_POSTSTART, state, &hook) < 0) /* "MUST log a warning, but … continue" */
		log_line(LOG_LEVEL_WARNING, "%s: %s", in->id, hook.message);
	return 0;
}
