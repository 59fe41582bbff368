/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_VM_SAVED_DISK_H
#define BIVALVE_VM_SAVED_DISK_H

#include <stdint.h>

#include "runtime/base/error.h"

/*
 * The disk for an instance's writes, in the file of a saved one (STATE_DISK of state_file.h). Little-endian:
 *
 *      uint64_t              the disk's size in bytes
 *      { uint64_t at, bytes; uint8_t data[bytes]; }    in ascending order; what is not there is zero
 *      { 0, 0 }              the end
 */

/* Writes the disk from to's position on. The machine stands still meanwhile: this is its disk at that moment. */
int saved_disk_write(int disk, int to, struct error *err);

/*
 * Makes disk, an empty one of the same size as the saved one's, what lies in from: bytes at offset at. -EINVAL, naming
 * what is wrong; the disk's contents are unknown then.
 */
int saved_disk_read(int from, uint64_t at, uint64_t bytes, int disk, struct error *err);

#endif
