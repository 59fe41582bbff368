/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_OCI_VERB_H
#define BIVALVE_LAUNCH_OCI_VERB_H

#include "runtime/base/log.h"
#include "runtime/base/options.h"
#include "runtime/model/backend.h"

/* What the verbs on an existing instance share. */

/*
 * Parses a verb's options and its words: at least min, at most max (0: any number). words is the usage after "bivalve
 * ".
 * Returns 0 with *ret_first the index of the first word, 1 when help was asked for and printed, or -EINVAL.
 */
int verb_parse(const struct option_row *rows, int argc, char **argv, const char *words, int min, int max,
		int *ret_first, struct error *err);

/* An instance opened for a verb; verb_close() in any case. */
struct verb_target {
	struct instance in;
	const struct backend *backend;
	enum instance_status status;   /* as it is now */
	int lock;                      /* -1: none */
};
#define VERB_TARGET_NONE { .lock = -1, .in.live = { -1, -1, -1, -1 } }
/* change: see instance_open(). */
int verb_open(const char *id, bool change, struct verb_target *ret, struct error *err);
void verb_close(struct verb_target *t);
#define _cleanup_target_ __attribute__((cleanup(verb_close)))

/* "KILL", "SIGKILL", "kill", "9", "RTMIN+3". -EINVAL: unknown. */
int verb_signal(const char *name);

/* Reads a number of at least 0 into a uint64_t (OPTION_PARSED). */
int verb_parse_uint(const char *text, void *target, struct error *err);

/* Takes from process what plan cannot grant, and says so at this level (container-backend/ungrouped.h). */
void verb_narrow(const struct plan *plan, struct plan_process *process, enum log_level level);

#endif
