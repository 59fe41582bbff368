/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_TESTS_TAP_H
#define BIVALVE_TESTS_TAP_H

/* The least of a TAP producer: ok(condition, "what is true"), skip("why"), and `return tap_done();` in main. */
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

#define ok(cond, ...)                                                                    \
	do {                                                                             \
		bool tap_good = (cond);                                                  \
		printf("%sok %d - ", tap_good ? "" : "not ", ++tap_count);               \
		printf(__VA_ARGS__);                                                     \
		printf("\n");                                                            \
		if (!tap_good) {                                                         \
			tap_failed++;                                                    \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);              \
		}                                                                        \
		fflush(stdout);                                                          \
	} while (0)

#define skip(...)                                                                        \
	do {                                                                             \
		printf("ok %d # SKIP ", ++tap_count);                                    \
		printf(__VA_ARGS__);                                                     \
		printf("\n");                                                            \
		fflush(stdout);                                                          \
	} while (0)

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
