/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_QEMU_SHARES_H
#define BIVALVE_VM_QEMU_SHARES_H

#include "vm-backend/engine.h"

/*
 * Starts virtiofsd, which serves the share tree of config (shares.h) to a QEMU. It dies with the calling process and
 * when its QEMU ends. Returns 0 and the connected vhost-user socket for QEMU; or -errno, and nothing runs.
 */
int qemu_shares_start(const struct vm_config *config, int *ret_fd, struct error *err);

#endif
