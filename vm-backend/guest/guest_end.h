/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_END_H
#define BIVALVE_GUEST_END_H

#include "vm-backend/guest/guest_session.h"

/*
 * The end of the workload is told by its PID 1 before that ends itself (spawn_request.stays), and by us to the host,
 * which kills the machine at once. What the kernel would do meanwhile (kill what is left in the pid namespace, take
 * the mounts, their inodes and the network down, give the pids back) is more than all else between the two.
 */

/* Whether nothing of this plan's workload outlives the machine: no share, no disk of its own, no changes to be told. */
bool guest_end_may_stay(const struct plan *plan);
/*
 * Once the workload's end was told by a PID 1 that stays: the session has ended, if nobody is left whose end comes
 * first (alone: no executed processes; and none of its own that still has its output) and there is memory left to tell
 * it with. Else PID 1 is killed, which takes along who is left in its namespace and frees what its mounts hold, and
 * SIGCHLD comes as for any other child. Idempotent.
 */
void guest_end_settle(struct guest_session *s, struct agent_channel *c, bool alone);

#endif
