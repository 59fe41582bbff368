/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_OCI_SPEC_H
#define BIVALVE_OCI_SPEC_H

#include "runtime/model/plan.h"

/*
 * config.json of the OCI runtime specification 1.0 to 1.2 as a plan. Only reads: the bundle, and the host where a value
 * needs it.
 */
struct oci_spec_request {
	const char *id;
	const char *bundle;      /* absolute, without symbolic links */
	const char *config;      /* path; NULL: <bundle>/config.json */
	const char *backend;     /* "container", "vm"; NULL: by the annotation org.bivalve.backend, else "container" */
	bool systemd_cgroup;     /* cgroupsPath is "slice:prefix:name" */
	bool no_cgroup;          /* no control group of its own */
	bool no_pivot, no_new_keyring;
	uint64_t preserve_fds;
	bool rootless;           /* limits that this user cannot have are not asked for */
	const char *seccomp_cache; /* folder of compiled filters, or NULL */
};

/* Fills *ret, or err names file and field: "…/config.json:12: process.rlimits[2].type: …". */
int oci_spec_plan(const struct oci_spec_request *request, struct plan *ret, struct error *err);
/* The same from text in memory (fuzzing). */
int oci_spec_plan_text(const struct oci_spec_request *request, const char *text, size_t len, struct plan *ret,
		struct error *err);
/* The process object that exec's --process reads. */
int oci_spec_process(const char *path, struct plan_process *ret, struct error *err);
/* The resources object that update's --resources reads ("-": standard input). Only what it names is changed in *res. */
int oci_spec_resources(const char *path, struct plan_resources *res, struct error *err);
/* Both from text in memory; name stands in errors. On failure *res may be half changed. */
int oci_spec_process_text(const char *name, const char *text, size_t len, struct plan_process *ret, struct error *err);
int oci_spec_resources_text(const char *name, const char *text, size_t len, struct plan_resources *res,
		struct error *err);
/* What `spec` writes: a config.json that runs sh in "rootfs". The caller frees it. */
char *oci_spec_default(bool rootless);

#endif
