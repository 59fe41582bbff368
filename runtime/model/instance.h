/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_INSTANCE_H
#define BIVALVE_MODEL_INSTANCE_H

#include "runtime/model/plan.h"

#define INSTANCE_OCI_VERSION "1.2.0" /* of the runtime specification */

enum instance_status { INSTANCE_CREATING, INSTANCE_CREATED, INSTANCE_RUNNING, INSTANCE_STOPPED, INSTANCE_PAUSED };

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
	uint64_t network_pid, network_pid_start; /* container: pasta, with the network user */
	char *engine, *engine_reason; /* VM */
	char *start, *start_reason;   /* VM: "cold" or "warm", and why that */
	char *image;
	char **command;
	uint64_t created_ns;          /* wall clock */

	/* Of an instance made from an OCI bundle. */
	bool detached;                /* nobody supervises it: `delete` removes it, sweeping does not */
	char *bundle, *rootfs;        /* absolute */
	uint64_t owner;               /* uid */
	struct plan_pair *annotations;
	size_t n_annotations;

	/* Live handles, only in the process that called create; never written. -1 when empty. */
	struct instance_live {
		int pidfd;            /* of pid */
		int event_fd;         /* SOCK_SEQPACKET: struct backend_event from the workload's side, backend.h */
		/* one byte written: go; closed unwritten: never start. -1 if detached: see <dir>/start */
		int start_fd;
		/* the scratch file system, if the plan wants the changes and it is on this host */
		int scratch_fd;
		uint64_t setup_user_us, setup_system_us; /* CPU time that its group had counted before it was started */
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
/* Removes <dir> with all in it: cheap for the usual files. */
int instance_remove_files(const struct instance *in, struct error *err);
/*
 * Reads <run_dir>/<id>/state.json. -ENOENT: no such instance. One that is supervised is noted as creating, once, and
 * runs
 * from when its plan lies beside: a file less to write.
 */
int instance_load(const char *run_dir, const char *id, struct instance *ret, struct error *err);
/*
 * A detached instance waits for its start in a FIFO, <dir>/start: whoever writes a byte starts it. The waiting side
 * holds
 * it open for reading and writing, so it sees no end of file; opening it for writing without blocking gives ENXIO when
 * that side is gone.
 */
#define INSTANCE_START_FIFO "start"
/* Makes the FIFO and opens it as the waiting side does. Its fd or -errno. */
int instance_make_fifo(const struct instance *in, struct error *err);
/* Writes the byte. -ESRCH: nobody waits any more. */
int instance_write_fifo(const struct instance *in, struct error *err);
/* Beside state.json: the plan that it was made from, for exec and update. */
int instance_save_plan(const struct instance *in, const struct plan *plan, struct error *err);
int instance_load_plan(const struct instance *in, struct plan *ret, struct error *err);
/*
 * As now: what state.json says, but STOPPED once its process is gone or a zombie, and RUNNING when a created one does
 * not
 * wait for its start any more.
 */
enum instance_status instance_status_now(const struct instance *in);
/* When it was created (RFC 3339, UTC), and its owner's name ("#1000" where that has none). The caller frees them. */
char *instance_created(const struct instance *in);
char *instance_owner(const struct instance *in);
/* "creating", "created", "running", "stopped", "paused". */
const char *instance_status_name(enum instance_status status);
/*
 * The state as the runtime specification wants it (ociVersion, id, status, pid unless stopped, bundle, annotations);
 * extended: with rootfs, created and owner, as runc and crun print it. The text is the caller's.
 */
char *instance_oci_state(const struct instance *in, enum instance_status status, bool extended);
/* The same as members of the open object in w. */
void instance_put_oci_state(struct json_writer *w, const struct instance *in, enum instance_status status,
		bool extended);

/* 1 to 128 of [A-Za-z0-9_.+-], not starting with '.' or '-'. Returns 0 or -EINVAL. */
int instance_id_check(const char *id, struct error *err);

#endif
