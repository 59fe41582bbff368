/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve snapshot save|inspect`, and the plan of `launch --from FILE`: a running microVM's whole state in a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "images/scratch.h"
#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"
#include "runtime/launch/prepare.h"
#include "vm-backend/saved.h"

static const char usage[] =
	"Usage: bivalve snapshot save ID FILE     write a running microVM's whole state to FILE; it runs on\n"
	"       bivalve snapshot inspect FILE     what is in it, as JSON\n"
	"\n"
	"`bivalve launch --from FILE` goes on from it, as often as you like, with streams and a status of its own.\n";

/* The file has its name once it is whole: a temporary one beside it until then. */
static int save(const char *id, const char *path, struct error *err)
{
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	_cleanup_free_ char *unfinished = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = -1;
	int r = verb_open(id, false, &t, err);

	if (r < 0)
		return r;
	if (!t.backend->save)
		return error_set(err, EOPNOTSUPP, "snapshot: %s is a container: its state lies in the host's "
				"kernel; only microVMs have one for themselves", id);
	if (t.status != INSTANCE_RUNNING)
		return error_set(err, EINVAL, "snapshot: %s is %s, not running", id, instance_status_name(t.status));
	fd = mkostemp(unfinished, O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, "%s", unfinished);
	r = t.backend->save(&t.in, fd, err);
	if (r == 0 && (fsync(fd) < 0 || rename(unfinished, path) < 0))
		r = error_sys(err, "%s", path);
	if (r < 0)
		(void)unlink(unfinished); /* the first error is the one to tell */
	return r < 0 ? error_prefix(err, "snapshot") : 0;
}

static int inspect(const char *path, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct json_writer *w;
	struct template t = { 0 };
	struct plan plan = { 0 };
	int r = saved_inspect(path, &t, &plan, err);

	if (r < 0)
		return r;
	w = json_writer_new(false);
	json_begin_object(w, NULL);
	record_write(w, "machine", &template_type, &t, false);
	record_write(w, "plan", &plan_type, &plan, false);
	json_end(w);
	text = json_writer_finish(w, NULL);
	fputs(text, stdout);
	record_release(&template_type, &t);
	record_release(&plan_type, &plan);
	return 0;
}

int cmd_snapshot(int argc, char **argv, struct error *err)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "--help") || !strcmp(verb, "-h") || (argc > 2 && !strcmp(argv[2], "--help"))) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(verb, "save") && argc == 4)
		return save(argv[2], argv[3], err);
	if (!strcmp(verb, "inspect") && argc == 3)
		return inspect(argv[2], err);
	return error_set(err, EINVAL, "snapshot: expected save ID FILE or inspect FILE: see `bivalve snapshot --help`");
}

/* What of a saved plan is this host's: where things lie. */
static int place(struct plan *plan, struct error *err)
{
	_cleanup_free_ char *store = store_dir();

	free(steal_ptr(plan->vm.kernel_path));
	free(steal_ptr(plan->vm.vmlinux_path));
	free(steal_ptr(plan->vm.initramfs_path));
	free(steal_ptr(plan->vm.templates));
	free(steal_ptr(plan->root.disk));
	if (!plan->root.digest || !digest_valid(plan->root.digest))
		return error_set(err, EINVAL, "--from: its plan has no image");
	plan->root.disk = image_disk_path(store, plan->root.digest);
	if (plan->root.scratch) {
		free(plan->root.scratch);
		plan->root.scratch = scratch_path(store, plan->root.upper_bytes, plan->root.upper_inodes);
	}
	return prepare_machine(plan, err);
}

int prepare_saved(const struct launch_options *o, struct plan *ret, struct error *err)
{
	int r = saved_read_plan(o->from, ret, err);

	if (r < 0)
		return r;
	if (!ret->backend || strcmp(ret->backend, "vm"))
		return error_set(err, EINVAL, "--from %s: not a microVM's", o->from);
	if (!ret->process.terminal != !o->terminal)
		return error_set(err, EINVAL, "--from %s: it was started %s -t, so it has to go on %s", o->from,
				ret->process.terminal ? "with" : "without", ret->process.terminal ? "with -t" : "so");
	free(steal_ptr(ret->id));
	free(steal_ptr(ret->cgroup));
	free(steal_ptr(ret->vm.from));
	ret->vm.from = xstrdup(o->from);
	ret->vm.start = START_AUTO;
	ret->limits.wall_us = o->timeout_us;
	r = prepare_name(o->name, &ret->id, err);
	return r < 0 ? r : place(ret, err);
}
