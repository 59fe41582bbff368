/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve run`: create and start in one; in the foreground also everything after it, as `launch` does for an image. */
#include <errno.h>

#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_create.h"
#include "runtime/launch/supervise.h"
#include "runtime/launch/sweep.h"

static int run_detached(const struct create_options *o, const struct plan *plan, const struct backend *backend,
		struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	_cleanup_close_ int lock = -1;
	struct error undone = { 0 };
	struct instance in;
	int r = instance_claim(run_dir, o->id, &lock, err);

	if (r < 0)
		return r;
	instance_init(&in);
	r = create_detached(o, plan, backend, run_dir, &in, err);
	if (r == 0) {
		r = create_start(backend, &in, plan, err);
		close_cleanup(&lock);
		lock = -1;
		if (r < 0 && instance_remove(run_dir, o->id, true, &undone) < 0)
			log_line(LOG_LEVEL_WARNING, "%s: not all could be removed: %s", o->id, undone.message);
	}
	instance_release(&in);
	return r;
}

static int run_supervised(const struct create_options *o, const struct plan *plan, const struct backend *backend,
		struct error *err)
{
	struct supervise_io io = { .stdio = { 0, 1, 2 }, .terminal = plan->process.terminal, .pid_file = o->pid_file,
		.keep = o->keep, .no_figures = true };
	struct report report = { 0 };
	int r;

	if (o->console_socket)
		return error_set(err, EINVAL, "--console-socket: only with --detach");
	r = supervise_run(backend, plan, &io, &report, err);
	if (r >= 0 && report.error)
		log_line(LOG_LEVEL_ERROR, "%s", report.error);
	record_release(&report_type, &report);
	return r;
}

int cmd_run(int argc, char **argv, struct error *err)
{
	struct create_options o = { 0 };
	const struct backend *backend;
	struct plan plan = { 0 };
	int r = create_parse(argc, argv, true, &o, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = create_plan(&o, &plan, &backend, err);
	if (r == 0)
		r = create_prepare(&plan, err);
	if (r == 0)
		r = (o.detach ? run_detached : run_supervised)(&o, &plan, backend, err);
	record_release(&plan_type, &plan);
	return r;
}
