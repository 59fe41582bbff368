/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_CMD_POLICY_H
#define BIVALVE_LAUNCH_CMD_POLICY_H

#include "runtime/base/error.h"

/* Words of `bivalve policy` that have files of their own; argv[0] is the word. */
int policy_verb_learn(int argc, char **argv, struct error *err);
int policy_verb_explain(int argc, char **argv, struct error *err);
int policy_verb_diff(int argc, char **argv, struct error *err);

#endif
