/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_UNITS_H
#define BIVALVE_POLICIES_UNITS_H

#include <stdint.h>

/*
 * A size as people write it: digits, an optional fraction, an optional suffix k, m, g or t (powers of 1024; either
 * case; "b" or "ib" may follow): "64m", "1.5g", "4096". Fractions of a byte are cut off.
 * Returns 0, -EINVAL (not a size) or -ERANGE (over 2^64 - 1).
 */
int size_parse(const char *text, uint64_t *ret_bytes);

/*
 * A duration with its unit, us ms s m h d, or several of them in a row: "10s", "1.5s", "1m30s". The unit is required
 * (only "0" may stand alone), since a bare number is seconds to some and milliseconds to others.
 * Returns 0, -EINVAL or -ERANGE.
 */
int duration_parse_us(const char *text, uint64_t *ret_us);

#endif
