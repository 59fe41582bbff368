/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_CLOCK_H
#define BIVALVE_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_ns(void);   /* CLOCK_MONOTONIC */
uint64_t clock_wall_ns(void);  /* CLOCK_REALTIME, since 1970 */

#endif
