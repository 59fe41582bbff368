/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_PROGRAM_H
#define BIVALVE_CONTAINER_PROGRAM_H

#include <stddef.h>

#include "runtime/base/error.h"

enum { EXIT_NO_EXEC = 126, EXIT_NO_PROGRAM = 127 };

/*
 * Finds the program name in the environment's PATH as execvp(3) would, inside the current root and as the current user.
 * Returns EXIT_NO_EXEC or EXIT_NO_PROGRAM with err, or 0 and the path in buf.
 * Magic links (/proc/self/exe) are refused in it and in a script's first line: they would run our own program.
 */
int program_find(const char *name, char *const *env, char *buf, size_t size, struct error *err);
/* What a failed execve(2) of path means. */
int program_exec_error(const char *path, int code, struct error *err);

#endif
