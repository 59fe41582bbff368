/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve start`: lets a created instance run. */
#include <errno.h>

#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_create.h"
#include "runtime/launch/oci_verb.h"

static int check_status(const struct verb_target *t, struct error *err)
{
	if (t->status == INSTANCE_CREATED)
		return 0;
	if (t->status == INSTANCE_STOPPED)
		return error_set(err, EINVAL, "cannot start a container that has stopped: %s", t->in.id);
	return error_set(
		err, EINVAL, "cannot start a container that is %s: %s", instance_status_name(t->status), t->in.id);
}

int cmd_start(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { 0 } };
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	struct plan plan = { 0 };
	int at, r = verb_parse(rows, argc, argv, "start ID", 1, 1, &at, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = verb_open(argv[at], true, &t, err);
	if (r == 0)
		r = check_status(&t, err);
	if (r == 0)
		r = instance_load_plan(&t.in, &plan, err);
	if (r == 0)
		r = create_start(t.backend, &t.in, &plan, err);
	record_release(&plan_type, &plan);
	return r;
}
