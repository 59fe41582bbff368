/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_DISK_RATES_H
#define BIVALVE_CONTAINER_DISK_RATES_H

#include <sys/types.h>

#include "policies/enforce/cgroup.h"

/*
 * The plan's disk_ rates, which name no device, as rates of the devices that the workload's files are on: the disks
 * behind its root, its folders of the host, and the disk for its writes.
 */

/* Refuses, by name, what cannot be bound: no blkio controller, a file system that is on no disk of this host. */
int disk_rates_check(const struct plan *plan, const struct cgroup_host *host, struct error *err);
/*
 * The plan's resources with those rates named, scratch (0: none) among the devices. in_guest: none are added, the
 * machine keeps to them outside. What *ret owns goes with disk_rates_release; the rest is the plan's.
 */
int disk_rates_name(const struct plan *plan, bool in_guest, dev_t scratch, struct plan_resources *ret,
		struct error *err);
void disk_rates_release(struct plan_resources *named);

#endif
