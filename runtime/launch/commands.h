/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_COMMANDS_H
#define BIVALVE_LAUNCH_COMMANDS_H

#include "runtime/base/error.h"

/* Exit statuses of our own; everything else is the workload's. */
enum { EXIT_TIMEOUT = 124, EXIT_BIVALVE = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/*
 * One verb. run gets argv with the verb at [0] and returns an exit status; or a negative errno with err filled, which
 * main prints as the one line "bivalve: …" and turns into 125. A new verb: a row in commands.c, a cmd_*.c,
 * a line in README.md, a test.
 */
struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv, struct error *err);
};

extern const struct command commands[]; /* ends with name NULL */

int cmd_launch(int argc, char **argv, struct error *err);
int cmd_sandbox(int argc, char **argv, struct error *err);
int cmd_compare(int argc, char **argv, struct error *err);
int cmd_bench(int argc, char **argv, struct error *err);
int cmd_plan(int argc, char **argv, struct error *err);
int cmd_doctor(int argc, char **argv, struct error *err);
int cmd_image(int argc, char **argv, struct error *err);
int cmd_template(int argc, char **argv, struct error *err);
int cmd_snapshot(int argc, char **argv, struct error *err);
int cmd_kernel(int argc, char **argv, struct error *err);
int cmd_policy(int argc, char **argv, struct error *err);
int cmd_create(int argc, char **argv, struct error *err);
int cmd_start(int argc, char **argv, struct error *err);
int cmd_run(int argc, char **argv, struct error *err);
int cmd_state(int argc, char **argv, struct error *err);
int cmd_exec(int argc, char **argv, struct error *err);
int cmd_ps(int argc, char **argv, struct error *err);
int cmd_update(int argc, char **argv, struct error *err);
int cmd_events(int argc, char **argv, struct error *err);
int cmd_stats(int argc, char **argv, struct error *err);
int cmd_spec(int argc, char **argv, struct error *err);
int cmd_pause(int argc, char **argv, struct error *err);
int cmd_resume(int argc, char **argv, struct error *err);
int cmd_list(int argc, char **argv, struct error *err);
int cmd_kill(int argc, char **argv, struct error *err);
int cmd_delete(int argc, char **argv, struct error *err);
int cmd_features(int argc, char **argv, struct error *err);

#endif
