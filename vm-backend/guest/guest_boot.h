/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_GUEST_BOOT_H
#define BIVALVE_GUEST_BOOT_H

#include "runtime/base/error.h"
#include "runtime/model/plan.h"

/* From the kernel's first process to a system in which container_spawn() works. Each step runs once, in this order. */

/* A root that can be pivoted away from, and the kernel's file systems. */
int guest_mount_all(struct error *err);
/*
 * Loads what a list of the initramfs names, in order, and frees the files. What fails is said on the console; what it
 * breaks shows later.
 */
void guest_load_modules(const char *list);
#define GUEST_MODULES       "/modules/list"
#define GUEST_NETWORK_MODULES "/modules/list.network"
#define GUEST_DISK_MODULES  "/modules/list.disk"
#define GUEST_SHARE_MODULES "/modules/list.shares"
/* Delegates the controllers and moves PID 1 out of their way. */
int guest_setup_cgroups(struct error *err);
void guest_loopback_up(void);
/* Waits for the agent's port and for the host to be connected to it. Returns its descriptor, or -errno. */
int guest_open_port(struct error *err);
/* Says what went wrong in the kernel's log, which the host keeps the end of. */
void guest_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Mounts the image's disk at GUEST_IMAGE. */
int guest_mount_image(struct error *err);
/* Waits, but not for ever, until the disk for the workload's writes is there and can be mounted. */
void guest_find_scratch(const char *device);

#define GUEST_IMAGE "/run/image"

/* Loads the modules for host directories and mounts the share tree at SHARES_FOLDER (shares.h). */
int guest_mount_shares(struct error *err);

/* With the user network: loads its modules. */
void guest_prepare_network(const struct plan *plan);
/* Does that and configures the card. */
int guest_join_network(const struct plan *plan, struct error *err);
/* Ends the machine; never returns. */
void guest_power_off(void) __attribute__((noreturn));

#endif
