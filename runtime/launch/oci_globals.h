/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_OCI_GLOBALS_H
#define BIVALVE_LAUNCH_OCI_GLOBALS_H

#include <stdbool.h>
#include <stdio.h>

#include "runtime/base/error.h"

/* The options before the verb: those that runc and crun share, for engines that know these. */
struct oci_globals {
	const char *root;        /* the run-time folder; store_run_dir() gives it to everybody */
	const char *log, *log_format, *log_level;
	const char *cgroup_manager, *rootless, *criu;
	bool debug, systemd_cgroup, version, help;
	bool vm;                 /* called as bivalve-vm: bundles run in a microVM whatever they say */
};

/*
 * Reads them, argv[0] included, and puts them to work: log file, level, run-time folder. *ret_first is the index of the
 * verb. Once, by main, before anything else. Returns 0 or -errno.
 */
int oci_globals_parse(int argc, char **argv, int *ret_first, struct error *err);
/* As they were read. */
const struct oci_globals *oci_globals(void);
/* Whether this process counts as rootless: --rootless, else whether it is not root. */
bool oci_rootless(void);
/* The options for people: rows of --help. */
void oci_globals_print(FILE *to);

#endif
