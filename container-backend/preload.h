/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_PRELOAD_H
#define BIVALVE_CONTAINER_PRELOAD_H

/*
 * Looks up the programs of this root where a PATH would find them, and reads them, the loader and the C library, up to
 * a limit: what a workload is likely to begin with is then in memory. Called in the root.
 * Nothing depends on it: what cannot be read is passed over.
 */
void preload_root(void);
/*
 * Makes the calling process's memory its own, page by page: what it shares with its parent since fork(2) would be
 * copied when it is written to, and what was never touched be looked for then. Depends on /proc, and nothing on it.
 */
void preload_self(void);

#endif
