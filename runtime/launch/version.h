/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_VERSION_H
#define BIVALVE_LAUNCH_VERSION_H

#define BIVALVE_VERSION "0.1.0"

#endif
