/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_SAVED_H
#define BIVALVE_VM_SAVED_H

#include "runtime/model/plan.h"
#include "vm-backend/agent_host.h"
#include "vm-backend/template.h"

/*
 * A running instance's whole state in one file (state_file.h): STATE_ENGINE with RAM in it, STATE_MANIFEST, a struct
 * template whose kernel, initramfs and disk are known by what is in them, so that the file can go to another host, and
 * STATE_PLAN. What the workload wrote lies in RAM or, if it has a disk for that, in STATE_DISK; the image's disk is not
 * in the file but must be the same.
 */

/*
 * Saves the machine, in its monitor, to an empty file that can be read and written. The workload stands still
 * meanwhile and goes on afterwards, whether or not that worked.
 */
int saved_write(int fd, const struct plan *plan, const struct vm_config *config, const struct vm_engine *engine,
		struct agent_host *agent, struct error *err);

/* The plan of a saved instance; its engine is the one that saved it. */
int saved_read_plan(const char *path, struct plan *ret, struct error *err);
/* The same with the description of the machine; both are the caller's to release. */
int saved_inspect(const char *path, struct template *ret, struct plan *ret_plan, struct error *err);
/*
 * Opens a saved instance for the machine that is to go on from it. -ESTALE, naming what, if that is another machine.
 * Released by template_use_release in any case.
 */
int saved_open(const char *path, const struct vm_config *config, const struct vm_engine *engine,
		struct template_use *ret, struct error *err);

#endif
