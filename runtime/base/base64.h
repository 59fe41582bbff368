/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_BASE64_H
#define BIVALVE_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* RFC 4648, with padding. The caller frees what is returned. */
char *base64_encode(const uint8_t *data, size_t len);
/* Strict: no white space, padding required, unused bits zero. Returns 0 or -EINVAL. */
int base64_decode(const char *text, uint8_t **ret_data, size_t *ret_len);

#endif
