/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_HOOKS_H
#define BIVALVE_MODEL_HOOKS_H

#include "runtime/model/instance.h"

/*
 * Runs the plan's hooks of a stage, in order, each with state (instance_oci_state) on standard input, until one fails:
 * not executable, a status other than 0, or its time-out (it is killed then). Runs them where the caller is: its
 * namespaces, its root. Returns 0, or -errno with err naming stage, index and path and quoting the end of its standard
 * error. The stages poststart and poststop go on after a failure and return the first one.
 */
int hooks_run(const struct plan *plan, enum plan_hook_stage stage, const char *state, struct error *err);
/* The same of a single program with that text on standard input; err does not name it. */
int hooks_run_one(const struct plan_hook *hook, const char *input, struct error *err);

#endif
