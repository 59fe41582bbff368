/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_VERBS_H
#define BIVALVE_VM_VERBS_H

#include "runtime/model/backend.h"

/* What any process may ask of a machine that runs: the backend's operations after start, as in backend.h. */
int vm_kill(const struct instance *in, int signo, struct error *err);
int vm_kill_all(const struct instance *in, int signo, struct error *err);
int vm_exec(const struct instance *in, const struct plan *plan, const struct backend_exec *exec,
		struct backend_exec_result *ret, struct error *err);
int vm_pause(const struct instance *in, struct error *err);
int vm_save(const struct instance *in, int fd, struct error *err);
int vm_resume(const struct instance *in, struct error *err);
int vm_update(const struct instance *in, const struct plan *plan, const struct plan_resources *resources,
		struct error *err);
int vm_machine(const struct instance *in, struct machine_stats *ret, struct error *err);
int vm_stats(const struct instance *in, struct stats *ret_inside, struct stats *ret_outside, struct error *err);
int vm_processes(const struct instance *in, struct backend_process **ret, size_t *ret_n, struct error *err);

/* A pidfd of the process that had this pid and start time; -ESRCH when it is gone. */
int vm_open_process(uint64_t pid, uint64_t start);

/* A terminal of the host, raw: the guest's line discipline does that work. *ret_slave is CLOEXEC, as the result. */
int vm_open_terminal(const struct plan_process *process, int *ret_slave, struct error *err);

#endif
