/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs. See commands.h for what else to touch. */
#include <stddef.h>

#include "runtime/launch/commands.h"

const struct command commands[] = {
	{ "launch", "run a command of an image in a container or, with --vm, in a microVM", cmd_launch },
	{ "sandbox", "run a program of the host with as little of the host as it needs", cmd_sandbox },
	{ "compare", "run the same command in both shells, side by side", cmd_compare },
	{ "bench", "measure what each shell costs, side by side, with statistics", cmd_bench },
	{ "plan", "show what a launch would do, as JSON, and do nothing", cmd_plan },
	{ "image", "import, list, inspect and remove images", cmd_image },
	{ "kernel", "build, import, choose, list and remove guest kernels", cmd_kernel },
	{ "template", "boot microVMs beforehand, so that launches go on from there", cmd_template },
	{ "snapshot", "save a running microVM, for launch --from", cmd_snapshot },
	{ "policy", "list, show, check, compare, explain and learn policies", cmd_policy },
	{ "create", "make an instance of an OCI bundle, which waits for its start", cmd_create },
	{ "start", "let a created instance run", cmd_start },
	{ "run", "create and start an instance of an OCI bundle", cmd_run },
	{ "state", "print an instance's state, as JSON", cmd_state },
	{ "exec", "run one more process in a running instance", cmd_exec },
	{ "ps", "list an instance's processes", cmd_ps },
	{ "pause", "let every process of an instance stand still", cmd_pause },
	{ "resume", "let a paused instance go on", cmd_resume },
	{ "update", "change the limits of a running instance", cmd_update },
	{ "events", "print what an instance uses, and its OOM kills, as JSON lines", cmd_events },
	{ "stats", "print once what an instance uses, as JSON", cmd_stats },
	{ "spec", "write a config.json to begin with", cmd_spec },
	{ "list", "list instances", cmd_list },
	{ "kill", "send a signal to an instance", cmd_kill },
	{ "delete", "end an instance and remove what is left of it", cmd_delete },
	{ "doctor", "say what this host can do, what is missing and for what", cmd_doctor },
	{ "features", "print what this build and host support, as JSON", cmd_features },
	{ NULL, NULL, NULL },
};
