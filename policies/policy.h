/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_POLICY_H
#define BIVALVE_POLICIES_POLICY_H

#include "policies/enforce/seccomp.h"
#include "runtime/model/plan.h"

/*
 * A policy: one JSON document, or a preset built into the program (policies/presets/). `extends` names a preset or a
 * file beside the document; the extending document's keys replace those of the extended (objects merge key by key).
 * A document that does not say extends `default`. Reading is strict: an unknown key, a wrong type or a value out of
 * range is an error with file, line and key. policies/README.md describes the keys.
 */
struct policy {
	char *name;                 /* as given */
	char *description;
	char **capabilities;        /* names, "CAP_CHOWN"; "ALL" stands for whatever this process could give */
	bool no_new_privs;
	char *user;
	bool user_namespace;        /* run in a user namespace of its own even when started by root */
	bool read_only_root;
	struct plan_rlimit *rlimits;
	size_t n_rlimits;
	struct plan_resources resources;
	struct plan_limits limits;
	int network;                /* enum plan_network */
	uint64_t upper_bytes, disk_bytes, upper_inodes;
	char **masked_paths, **readonly_paths;
	struct plan_landlock landlock; /* restricts follows from which lists are there */
	bool seccomp_off;           /* "seccomp": false */
	struct seccomp_profile seccomp;
	char **documents;           /* names of those that it was read from, the one asked for last */
	struct json **trees;        /* what they say, as many */
};

/*
 * Loads a preset by name ("default") or a file (anything with a '/' or ending in .json). Errors of a document are
 * -EINVAL and "FILE:LINE: key.path: what is wrong: what is allowed". *ret is for policy_release().
 */
int policy_load(const char *name, struct policy *ret, struct error *err);
/* The same for a document in memory, which can extend presets only. name stands in errors. */
int policy_parse(const char *text, size_t len, const char *name, struct policy *ret, struct error *err);
void policy_release(struct policy *p);
/*
 * Where the documents last say something of a key ("root", "read_only"; the second may be NULL): "FILE:LINE", for the
 * caller to free; NULL: nowhere.
 */
char *policy_source(const struct policy *p, const char *key, const char *below);

/* The policy as one document that extends nothing; to be freed. */
char *policy_effective(const struct policy *p);
/* The same in canonical form: one line of JSON without a description, in the order of the tables; to be freed. */
char *policy_canonical(const struct policy *p);
/* "sha256:…" of the canonical form without its newline; to be freed. */
char *policy_digest(const struct policy *p);
/* The same as lines "key.path: value" without seccomp; strv. */
char **policy_effective_lines(const struct policy *p);

/* Names of the presets, NULL-terminated, static. */
const char *const *policy_presets(void);

/*
 * Fills the plan with what the policy says: capabilities, no_new_privs, user, the user namespace's bit (its maps are
 * the caller's), rlimits, resources, limits, network, root, paths, the seccomp program (compiled for the plan's
 * bounding set).
 *
 * What the plan has already stays, since the command line wins: a user, a rlimit of the same type, a resource or limit
 * that is not 0, any capability, a list of paths, a seccomp program. Booleans can only be added. `network` none is 0
 * and so cannot be told from "not set": a command line that says `--net none` sets it after this.
 * On failure the plan may be filled in part, and is still good for release.
 */
int policy_apply(const struct policy *p, const char *seccomp_cache_dir, struct plan *plan, struct error *err);
/*
 * What the plan lets be written by its root and mounts may be written for Landlock too; once all mounts are in the
 * plan. Whoever gives a volume means it.
 */
void policy_landlock_mounts(struct plan *plan);

#endif
