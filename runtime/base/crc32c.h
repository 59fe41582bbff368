/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_CRC32C_H
#define BIVALVE_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC-32C (Castagnoli), as in RFC 3720: finds what was damaged, not what was forged. crc is that of what came before,
 * 0 at the beginning; "123456789" gives 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same, as it is computed where the processor has no instruction for it; for tests. */
uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t len);

#endif
