/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve image …` is a program of its own: nothing that opens archives is linked into the launcher. */
#include <errno.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/launch/commands.h"

int cmd_image(int argc, char **argv, struct error *err)
{
	_cleanup_free_ char *dir = path_program_dir(), *program = xasprintf("%s/bivalve-image", dir ? dir : ".");

	(void)argc;
	argv[0] = "bivalve image";
	execv(program, argv);
	return error_sys(err, "cannot run %s", program);
}
