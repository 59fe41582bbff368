/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_POLICY_H
#define BIVALVE_POLICIES_POLICY_H

#include "policies/enforce/seccomp.h"
#include "runtime/model/plan.h"

/*
 * A policy: one JSON document, or a preset built into the program (policies/presets/). `extends` names a preset or a
 * file beside the document; the extending document's keys replace those of the extended (objects merge key by key).
 * Reading is strict: an unknown key, a wrong type or a value out of range is an error with file, line and key.
 */
struct policy {
	char *name;                 /* as given */
	char *description;
	char **capabilities;        /* names, "CAP_CHOWN" */
	bool no_new_privs;
	char *user;
	bool user_namespace;        /* run in a user namespace of its own even when started by root */
	bool read_only_root;
	struct plan_rlimit *rlimits;
	size_t n_rlimits;
	struct plan_resources resources;
	struct plan_limits limits;
	int network;                /* enum plan_network */
	uint64_t upper_bytes;
	char **masked_paths, **readonly_paths;
	bool seccomp_off;           /* "seccomp": false */
	struct seccomp_profile seccomp;
};

/* Loads a preset by name ("default") or a file (anything with a '/' or ending in .json). */
int policy_load(const char *name, struct policy *ret, struct error *err);
void policy_release(struct policy *p);

/* Names of the presets, NULL-terminated, static. */
const char *const *policy_presets(void);
/* The document of a preset, static; NULL: none of that name. */
const char *policy_preset_text(const char *name);

/*
 * Fills the plan with what the policy says: capabilities, no_new_privs, user (unless the plan has one), rlimits,
 * resources and limits (those that the plan does not set yet: the command line wins), network, paths, seccomp program.
 */
int policy_apply(const struct policy *p, const char *seccomp_cache_dir, struct plan *plan, struct error *err);

#endif
