/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "vm-backend/guest/guest_rest.h"

/* A window is longer than the kernel's delay between two reports of free memory (vm-backend/kernel/patches). */
enum { WINDOW_MS = 1200, MAX_WINDOWS = 8, MAX_STAT_BYTES = 1 << 20 };
enum { SECOND_MS = 1000, AWAKE_MS = 120, ASLEEP_MS = 60 };
/* To sleep is one switch, to wake up another. A third is forgiven: the kernel's statistics, once a second. */
enum { OWN_SWITCHES = 4 };

/* How often a processor of this machine has gone from one process to another. 0: not known. */
static uint64_t switches(void)
{
	_cleanup_free_ char *text = NULL;
	const char *at;

	if (file_read_at(AT_FDCWD, "/proc/stat", MAX_STAT_BYTES, &text, NULL, NULL) < 0)
		return 0;
	at = strstr(text, "\nctxt ");
	return at ? strtoull(at + strlen("\nctxt "), NULL, 10) : 0;
}

static void sleep_ms(uint64_t ms)
{
	const struct timespec time = { (time_t)(ms / SECOND_MS), (long)(ms % SECOND_MS) * 1000000 };

	(void)nanosleep(&time, NULL); /* no signal has a handler here */
}

/*
 * What the kernel does every second or two, if a processor is awake anyway, comes due at its clock's whole seconds. Who
 * is awake for some ticks then has it done, and not again while a short workload runs. A short sleep is for what that
 * leaves to be done.
 */
static void catch_up(void)
{
	uint64_t end;

	sleep_ms(SECOND_MS - clock_now_ns() / 1000000 % SECOND_MS);
	end = clock_now_ns() + AWAKE_MS * UINT64_C(1000000);
	while (clock_now_ns() < end)
		;
	sleep_ms(ASLEEP_MS);
}

void guest_rest(void)
{
	for (int i = 0; i < MAX_WINDOWS; i++) {
		uint64_t before = switches();

		sleep_ms(WINDOW_MS);
		if (switches() - before <= OWN_SWITCHES)
			break;
	}
	catch_up();
}
