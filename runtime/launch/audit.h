/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_AUDIT_H
#define BIVALVE_LAUNCH_AUDIT_H

#include "policies/enforce/watch.h"
#include "runtime/model/plan.h"
#include "runtime/model/report.h"

/*
 * Who hears of watched system calls: answers them in the container shell, takes what the guest's PID 1 tells in the VM
 * shell, and keeps account: rows for the report, lines for --audit, or whatever a listener makes of each call.
 */
struct audit;

/* Called for each event beside the account. */
typedef void audit_listener(void *arg, const struct watch_event *e);

/*
 * For a plan that asks for it (plan.audit). path: a file for JSON lines, "-" for standard error; NULL: none. The plan
 * must outlive it. Reads the plan's policy anew, to tell which rule decided. NULL in *ret: the plan asks for nothing.
 */
int audit_open(const struct plan *plan, const char *path, struct audit **ret, struct error *err);
void audit_hear(struct audit *a, audit_listener *listener, void *arg);
void audit_free(struct audit *a);

/* The descriptor of the notifications has come: takes it; returns what to poll for POLLIN. */
int audit_listen(struct audit *a, int fd);
/* Answers one call. False: there will be no more. */
bool audit_step(struct audit *a);
/* An event as bytes from the other shell: hostile. */
void audit_note_text(struct audit *a, const char *text, size_t size);
/* Whether the workload's first process was killed for a call. */
bool audit_killed(const struct audit *a);
/* Fills audited, denied and denied_more. Lines that are not written yet are. */
void audit_finish(struct audit *a, struct report *report);

#endif
