/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_THREADS_H
#define BIVALVE_VM_THREADS_H

#include "runtime/base/error.h"

/*
 * The VMM's threads. They are made before the jail closes, for afterwards none can be, and wait until it has: no thread
 * runs its work before threads_release. A thread whose work returns sleeps for ever; the process ends as a whole.
 */
int thread_start(void (*work)(void *arg), void *arg, struct error *err);
void threads_release(void);

#endif
