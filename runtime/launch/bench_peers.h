/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_BENCH_PEERS_H
#define BIVALVE_LAUNCH_BENCH_PEERS_H

#include "bench/run.h"

/*
 * The columns of `bench peers`: what else makes a container of the same root file system and the same program, beside
 * ours. All runtimes of OCI get one bundle with one config.json; all run in a mount namespace of ours with a tmpfs on
 * /run and, on a hybrid host, without the unified hierarchy, which some of them refuse. Each that is not installed or
 * does not run says so in its cells. Needs root. dir: a folder for the bundle. Returns 0 or -errno.
 */
int bench_make_peers(
	struct bench_context *c, const char *helper, const char *image, const char *dir, struct error *err);

/*
 * A column that boots the preferred kernel of the store in QEMU's microvm machine, with helper as its only process.
 * dir: a folder
 * for its initramfs. What is missing is the column's error. Returns 0 or -errno.
 */
int bench_make_microvm(struct bench_column *ret, const char *helper, const char *dir, struct error *err);

#endif
