/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_SHA256_H
#define BIVALVE_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX = 65 };

/* SHA-256 (FIPS 180-4) of what is in memory, as lower-case hexadecimal digits. For names, not for secrets. */
void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX]);

#endif
