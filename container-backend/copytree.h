/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_CONTAINER_COPYTREE_H
#define BIVALVE_CONTAINER_COPYTREE_H

#include "runtime/base/error.h"

/*
 * Copies what is in the folder from (without what is mounted below it) into the empty folder to: folders, files,
 * links and FIFOs with mode and owner; device nodes and sockets are left out. No link is followed. The folder itself
 * keeps its own mode and owner.
 */
int copytree(int from, int to, struct error *err);

#endif
