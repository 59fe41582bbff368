/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_SHA256_H
#define BIVALVE_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX = 65, SHA256_BLOCK = 64 /* bytes */ };

/* SHA-256 (FIPS 180-4) of what is in memory, as lower-case hexadecimal digits. For names, not for secrets. */
void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX]);
/* The compression function alone (FIPS 180-4, section 6.2), for that many blocks of SHA256_BLOCK bytes. */
void sha256_blocks(uint32_t state[8], const uint8_t *data, size_t blocks);

#endif
