/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_REPORT_H
#define BIVALVE_MODEL_REPORT_H

#include "runtime/base/record.h"
#include "runtime/model/machine_stats.h"

/* What happened in one run; the same for both shells. Times are microseconds, sizes bytes. */
enum report_status { REPORT_EXITED, REPORT_SIGNALED, REPORT_OOM, REPORT_TIMEOUT, REPORT_LIMIT, REPORT_ERROR };

struct report_milestone {
	char *name;      /* spawn, isolated, kernel-entered, agent-ready, exec, first-output, exit, cleaned-up, … */
	uint64_t at_us;  /* since the launch began */
};

/*
 * What the policy did not let happen, as far as somebody watched (plan.audit). Same things are one row with a count.
 * Texts are the workload's own: hostile, but one line each.
 */
struct report_denied {
	char *syscall;   /* "mount"; of a foreign door "i386:5" */
	char *path;      /* what it was about; NULL: nothing, or not seen */
	char *address;   /* "1.2.3.4:80", "[::1]:80", "unix:/run/x", … */
	char *action;    /* "errno", "kill"; "notify": it was let through, and only noted */
	char *error;     /* "EPERM": what it was answered */
	char *rule;      /* which rule says so: "FILE:LINE", "preset strict:12" */
	uint64_t count;
};

struct report_change { /* changes/changes.h */
	char *path;      /* absolute, on the host; the workload's word, bytes and all */
	char *change;    /* "created", "modified", "deleted" */
	char *type;      /* "file", "folder", "link", "fifo", "socket", "device" */
	char *target;    /* of a link */
	uint64_t size, mode;
};

struct report {
	uint64_t version;          /* 1 */
	char *id, *backend;
	char *engine, *engine_reason; /* VM only: which, and why that one */
	char *start, *start_reason; /* VM only: "cold" or "warm" (from a template), and why that */
	char *image, *digest, *policy;
	char *policy_digest;       /* "sha256:…" of all that the policy says, with what it extends */
	char **command;
	int status;                /* enum report_status */
	int64_t exit_code;         /* what bivalve exits with */
	char *signal;              /* "SIGKILL", when signaled */
	char *limit;               /* which limit ended it: "memory", "wall_time", "cpu_time", "output", "file_size" */
	char *error;               /* when status is REPORT_ERROR */
	uint64_t wall_us;          /* launch to end of the workload */
	uint64_t cpu_user_us, cpu_system_us;       /* of the workload with its children, as its own kernel counts */
	uint64_t peak_memory_bytes;                /* of the workload's cgroup, else the largest process */
	uint64_t max_rss_bytes;                    /* of the largest process that was waited for */
	uint64_t oom_kills;        /* processes that the memory limit killed */
	uint64_t pids_denied;      /* forks that the pids limit refused */
	/* periods in which its quota of CPU time was used up, and for how long its processes were held back then */
	uint64_t cpu_throttled, cpu_throttled_us;
	uint64_t read_bytes, write_bytes;          /* from and to devices */
	uint64_t switches, preemptions;            /* context switches, voluntary and not */
	/* what took the writes if a disk was asked for: "disk" or "tmpfs", and why that */
	char *scratch, *scratch_reason;
	char **not_bound;          /* limits that this host cannot bind and --best-effort let go */
	uint64_t vmm_cpu_us, vmm_peak_rss_bytes;   /* VM only: the VMM as the host counts it, guest RAM included */
	struct machine_stats machine; /* VM only: as the host and the engine count */
	bool audited;              /* somebody watched: denied is all there was */
	struct report_denied *denied;
	size_t n_denied;
	uint64_t denied_more;      /* denials of further kinds, which are only counted */
	bool changes_known;        /* somebody asked, and changes is the whole list */
	struct report_change *changes;
	size_t n_changes;
	uint64_t changes_more;     /* that are only counted */
	struct report_milestone *milestones;
	size_t n_milestones;
	uint64_t start_ns;         /* CLOCK_MONOTONIC at the beginning; not written */
};

extern const struct record_type report_type;

/* Adds a milestone at a CLOCK_MONOTONIC time in ns of this host; 0: now. */
void report_mark(struct report *r, const char *name, uint64_t at_ns);

#endif
