/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve pause` and `resume`: every process of an instance stands still. */
#include <errno.h>

#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"

static int freeze(int argc, char **argv, bool pause, struct error *err)
{
	static const struct option_row rows[] = { { 0 } };
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	int (*operation)(const struct instance *, struct error *);
	int at, r = verb_parse(rows, argc, argv, pause ? "pause ID" : "resume ID", 1, 1, &at, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = verb_open(argv[at], true, &t, err);
	if (r < 0)
		return r;
	if (pause && t.status != INSTANCE_RUNNING && t.status != INSTANCE_CREATED)
		return error_set(
			err, EINVAL, "container not running: %s is %s", t.in.id, instance_status_name(t.status));
	if (!pause && t.status != INSTANCE_PAUSED)
		return error_set(
			err, EINVAL, "container not paused: %s is %s", t.in.id, instance_status_name(t.status));
	operation = pause ? t.backend->pause : t.backend->resume;
	if (!operation)
		return error_set(err, EOPNOTSUPP, "%s: the shell %s cannot do that", argv[0], t.in.backend);
	r = operation(&t.in, err);
	if (r < 0)
		return r;
	t.in.status = pause ? INSTANCE_PAUSED : INSTANCE_RUNNING;
	return instance_save(&t.in, err);
}

int cmd_pause(int argc, char **argv, struct error *err)
{
	return freeze(argc, argv, true, err);
}

int cmd_resume(int argc, char **argv, struct error *err)
{
	return freeze(argc, argv, false, err);
}
