/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_ENFORCE_CAPS_H
#define BIVALVE_ENFORCE_CAPS_H

#include "runtime/model/plan.h"

/* The number of a capability by name ("CAP_CHOWN", "chown"), or -EINVAL. */
int caps_from_name(const char *name);
/* Its name, "CAP_CHOWN"; NULL for a number this build does not know. */
const char *caps_name(unsigned number);
/* Capabilities of the calling process's bounding set, a bit each. */
uint64_t caps_available(void);
/* Those of wanted that are not in the calling process's bounding set. Cheaper than caps_available() for a few. */
uint64_t caps_missing(uint64_t wanted);

/* Makes all permitted capabilities effective again, after a change of user that kept them. */
int caps_regain(struct error *err);

/*
 * In two steps around the change of user: caps_drop_bounding drops from the bounding set and sets keep-caps;
 * caps_apply sets the five sets for good and clears keep-caps. Inheritable stays empty unless ambient asks for it.
 */
int caps_drop_bounding(const struct plan_capabilities *caps, struct error *err);
int caps_apply(const struct plan_capabilities *caps, struct error *err);

#endif
