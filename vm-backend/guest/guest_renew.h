/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_RENEW_H
#define BIVALVE_GUEST_RENEW_H

#include "vm-backend/agent_stream.h"

/*
 * Takes a RENEW frame: this machine is a copy of one that was saved. Gives it random numbers, time and host name of its
 * own; or only the time, if it is the one that was saved (*ret_copied false). -EPROTO: no such frame, or of another
 * version; else what the kernel would not do: then nothing may run. random_fd: /dev/urandom; -1: it is opened.
 */
int guest_renew(const struct agent_frame *frame, int random_fd, bool *ret_copied, struct error *err);

#endif
