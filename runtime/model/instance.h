/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_INSTANCE_H
#define BIVALVE_MODEL_INSTANCE_H

#include "runtime/base/record.h"

enum instance_status { INSTANCE_CREATING, INSTANCE_CREATED, INSTANCE_RUNNING, INSTANCE_STOPPED };

/*
 * An instance as state.json holds it, in <run dir>/<id>/. Written before anything is made that would outlive a crash,
 * so that delete can find and undo whatever a killed process left. A pid counts only with its start time.
 */
struct instance {
	char *id, *backend;
	char *dir;                    /* its folder; owned by the instance, removed with it */
	char *cgroup;                 /* path below each hierarchy's root, "bivalve-<id>"; NULL: none */
	int status;                   /* enum instance_status */
	uint64_t pid, pid_start;      /* the host pid that exits with the workload's status */
	uint64_t supervisor, supervisor_start; /* the launching process while it watches */
	uint64_t vmm_pid, vmm_pid_start;       /* VM: the process that runs the guest */
	char *engine, *engine_reason; /* VM */
	char *image;
	char **command;
	uint64_t created_ns;          /* wall clock */

	/* Live handles, only in the process that called create; never written. -1 when empty. */
	struct instance_live {
		int pidfd;            /* of pid */
		int event_fd;         /* SOCK_SEQPACKET: struct backend_event from the workload's side, backend.h */
		int start_fd;         /* one byte written: go; closed unwritten: never start */
		int console_fd;       /* the pseudo-terminal's master, if the plan has a terminal */
	} live;
};

extern const struct record_type instance_type;

/* Empties *in: zero, fds -1. */
void instance_init(struct instance *in);
/* Frees strings and closes live handles. */
void instance_release(struct instance *in);
/* Writes <dir>/state.json atomically. */
int instance_save(const struct instance *in, struct error *err);
/* Reads <run_dir>/<id>/state.json. -ENOENT: no such instance. */
int instance_load(const char *run_dir, const char *id, struct instance *ret, struct error *err);
/* 1 to 64 of [A-Za-z0-9_.-], not starting with '.' or '-'. Returns 0 or -EINVAL. */
int instance_id_check(const char *id, struct error *err);

#endif
