/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve create`: an instance of a bundle, which waits for its start. */
#include "images/store.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_create.h"
#include "runtime/launch/sweep.h"

int cmd_create(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *run_dir = store_run_dir();
	struct create_options o = { 0 };
	_cleanup_close_ int lock = -1;
	const struct backend *backend;
	struct plan plan = { 0 };
	struct instance in;
	int r = create_parse(argc, argv, false, &o, err);

	if (r != 0)
		return r < 0 ? r : 0;
	instance_init(&in);
	r = create_plan(&o, &plan, &backend, err);
	if (r == 0)
		r = create_prepare(&plan, err);
	if (r == 0)
		r = instance_claim(run_dir, o.id, &lock, err);
	if (r == 0)
		r = create_detached(&o, &plan, backend, run_dir, &in, err);
	instance_release(&in);
	record_release(&plan_type, &plan);
	return r;
}
