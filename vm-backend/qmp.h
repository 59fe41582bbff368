/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_QMP_H
#define BIVALVE_VM_QMP_H

#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "runtime/base/strbuf.h"

/*
 * A conversation with QEMU's monitor (docs/interop/qmp-spec.txt), one command at a time. QEMU may be one that was
 * broken into: what it says is limited in size, and it has until a deadline.
 */
struct qmp {
	int fd;                  /* borrowed: a stream socket */
	uint64_t deadline_ns;
	struct strbuf in;        /* received and not yet looked at */
	uint64_t last_id;        /* of the last command; 0: none */
};

#define QMP_CAPABILITIES "{\"execute\":\"qmp_capabilities\"}" /* ends the negotiation: the first command */

/* The socket and the deadline, nothing more. */
void qmp_init(struct qmp *q, int fd, uint64_t timeout_ns);
/* The greeting and the end of negotiation, unless that was done before on this socket. 0 or -errno. */
int qmp_open(struct qmp *q, int fd, uint64_t timeout_ns, struct error *err);
void qmp_close(struct qmp *q);

/* Executes a command, written as JSON ({"execute": …}), with a descriptor if fd >= 0. Its error is ours. */
int qmp_execute(struct qmp *q, const char *command, int fd, struct error *err);
/* The same; *ret (the caller's; untouched on failure) is the whole answer, whose "return" is what was asked for. */
int qmp_query(struct qmp *q, const char *command, int fd, struct json **ret, struct error *err);
/*
 * The two halves of qmp_query(): several commands may be sent, eight at most, before the answers are taken in their
 * order.
 */
int qmp_send(struct qmp *q, const char *command, int fd, uint64_t *ret_id, struct error *err);
int qmp_answer(struct qmp *q, uint64_t id, struct json **ret, struct error *err);
/*
 * Waits for the migration to be over, by QEMU's own events (capability "events"). -EIO: it failed.
 */
int qmp_await_migration(struct qmp *q, struct error *err);

#endif
