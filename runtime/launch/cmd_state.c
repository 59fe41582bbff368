/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve state`: the state as the runtime specification has it. */
#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"

int cmd_state(int argc, char **argv, struct error *err)
{
	static const struct option_row rows[] = { { 0 } };
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	_cleanup_free_ char *text = NULL;
	int at, r = verb_parse(rows, argc, argv, "state ID", 1, 1, &at, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = verb_open(argv[at], false, &t, err);
	if (r < 0)
		return r;
	text = instance_oci_state(&t.in, t.status, true);
	fputs(text, stdout);
	return 0;
}
