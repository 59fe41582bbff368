/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_SELF_H
#define BIVALVE_CONTAINER_SELF_H

#include "runtime/base/error.h"

/*
 * Before a process of ours is seen by a running container: starts the program again, with the same arguments and
 * environment, from a file that nobody can write through /proc/PID/exe (CVE-2019-5736): a read-only mount of it in no
 * namespace, or a sealed copy in memory where mounts are not ours to make. Returns 0 when that is already so; else it
 * does not return, or -errno. Call it before anything is made.
 */
int self_protect(struct error *err);

#endif
