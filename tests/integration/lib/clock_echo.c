/* SPDX-License-Identifier: Apache-2.0 */
/* For each line of its input: the wall clock and the monotonic one, in ns. */
#include <stdio.h>
#include <time.h>

int main(void)
{
	char line[64];

	while (fgets(line, sizeof line, stdin)) {
		struct timespec wall, monotonic;

		(void)clock_gettime(CLOCK_REALTIME, &wall); /* neither can fail */
		(void)clock_gettime(CLOCK_MONOTONIC, &monotonic);
		printf("%lld%09ld %lld%09ld\n", (long long)wall.tv_sec, wall.tv_nsec, (long long)monotonic.tv_sec,
				monotonic.tv_nsec);
		(void)fflush(stdout); /* a reader that left is seen by the next one */
	}
	return 0;
}
