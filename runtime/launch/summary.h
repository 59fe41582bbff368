/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_SUMMARY_H
#define BIVALVE_LAUNCH_SUMMARY_H

#include <stdio.h>

#include "runtime/model/report.h"

/* What a report says, in two lines for people: how it ended and which limit did it, what it took, where it ran. */
void summary_print(const struct report *r, FILE *to);

#endif
