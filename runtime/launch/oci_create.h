/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_OCI_CREATE_H
#define BIVALVE_LAUNCH_OCI_CREATE_H

#include "runtime/base/options.h"
#include "runtime/model/backend.h"

/* What the command lines of create and run say. Strings point into argv. */
struct create_options {
	const char *bundle, *config, *console_socket, *pid_file;
	bool no_pivot, no_new_keyring, no_subreaper;
	bool detach, keep;       /* run only */
	uint64_t preserve_fds;
	const char *id;
};

/* Reads them. run: also its own. Returns 0, 1 when help was printed, or -EINVAL. */
int create_parse(int argc, char **argv, bool run, struct create_options *o, struct error *err);
/* The plan of the bundle, checked by its shell. Only reads. */
int create_plan(const struct create_options *o, struct plan *ret, const struct backend **ret_backend,
		struct error *err);
/* For a microVM: makes what the store lacks, the initramfs. Else nothing. */
int create_prepare(struct plan *plan, struct error *err);
/* What of the instance is known from the plan: identity, bundle, annotations, owner. */
void create_describe(const struct plan *plan, const char *run_dir, struct instance *in);
/*
 * Makes a detached instance in a claimed folder, from nothing to status created: console sent, pid file written. On
 * failure all is undone, the folder too. in is empty before and the caller's to release after, in any case.
 */
int create_detached(const struct create_options *o, const struct plan *plan, const struct backend *backend,
		const char *run_dir, struct instance *in, struct error *err);
/* Of a created instance, for start and run: runs it, then its hooks poststart. */
int create_start(const struct backend *backend, struct instance *in, const struct plan *plan, struct error *err);
/* Writes a pid file, whole or not at all. */
int create_pid_file(const char *path, uint64_t pid, struct error *err);
/* Sends the master to a console socket, with the terminal's name as data. */
int create_send_console(const char *path, int master, struct error *err);

#endif
