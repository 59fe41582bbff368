/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_USERNS_H
#define BIVALVE_BASE_USERNS_H

#include <stdbool.h>

/* Whether we are in a user namespace of somebody's making: our root is not the host's then. Without /proc: false. */
bool userns_is_nested(void);

#endif
