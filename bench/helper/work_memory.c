/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: bandwidth, latency, and page faults. A guest pays for a second stage of translation, and twice for a first
 * touch.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/helper/helper.h"

enum { TRIAD_DOUBLES = 1 << 20, CHASE_CELLS = 1 << 19, CELL = 64, TOUCH_PAGES = 1024, PAGE = 4096 };

struct triad {
	double *a, *b, *c;
};

static volatile uint64_t sink;

/* n passes of a = b + s * c over three arrays of 8 MiB, as STREAM's triad. */
static int triad_batch(void *state, uint64_t n)
{
	struct triad *t = state;

	for (uint64_t pass = 0; pass < n; pass++) {
		for (size_t i = 0; i < TRIAD_DOUBLES; i++)
			t->a[i] = t->b[i] + 3.0 * t->c[i];
		__asm__ volatile("" : : "r"(t->a) : "memory"); /* each pass is really made */
	}
	return 0;
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int run_triad(uint64_t ms, const char *arg, struct outcome *ret)
{
	size_t bytes = 3 * TRIAD_DOUBLES * sizeof(double);
	double *all = map(bytes), ns;
	struct triad t;
	int r;

	if (!all)
		return outcome_fail(ret, "mmap");
	t = (struct triad){ all, all + TRIAD_DOUBLES, all + 2 * TRIAD_DOUBLES };
	for (size_t i = 0; i < TRIAD_DOUBLES; i++) {
		t.a[i] = 0;
		t.b[i] = (double)i;
		t.c[i] = 1;
	}
	r = helper_measure_usual(ms, triad_batch, &t, &ns);
	(void)munmap(all, bytes);
	return r < 0 ? outcome_fail(ret, "triad") : outcome_value(ret, (double)bytes / ns * 1e9 / 1048576);
}

struct cell {
	struct cell *next;
	char rest[CELL - sizeof(struct cell *)];
};

static int chase_batch(void *state, uint64_t n)
{
	struct cell *at = *(struct cell **)state;

	while (n--)
		at = at->next;
	*(struct cell **)state = at;
	sink = (uintptr_t)at;
	return 0;
}

/* One cycle through all cells in random order (Sattolo), 32 MiB: no prefetcher guesses it. */
static void link_cells(struct cell *cells)
{
	static uint32_t order[CHASE_CELLS];
	uint64_t x = 88172645463325252u;

	for (uint32_t i = 0; i < CHASE_CELLS; i++)
		order[i] = i;
	for (uint32_t i = CHASE_CELLS - 1; i > 0; i--) {
		uint32_t j, swap = order[i];

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		j = (uint32_t)(x % i);
		order[i] = order[j];
		order[j] = swap;
	}
	for (uint32_t i = 0; i < CHASE_CELLS; i++)
		cells[order[i]].next = &cells[order[(i + 1) % CHASE_CELLS]];
}

static int run_chase(uint64_t ms, const char *arg, struct outcome *ret)
{
	static struct cell *cells; /* made once: linking takes longer than a sample */
	struct cell *at;
	double ns;

	if (!cells) {
		cells = map(CHASE_CELLS * sizeof *cells);
		if (!cells)
			return outcome_fail(ret, "mmap");
		link_cells(cells);
	}
	at = cells;
	return helper_measure_usual(ms, chase_batch, &at, &ns) < 0 ? outcome_fail(ret, "chase")
								   : outcome_value(ret, ns);
}

static int touch_batch(void *state, uint64_t n)
{
	while (n--) {
		char *p = map(TOUCH_PAGES * PAGE);

		if (!p)
			return -1;
		(void)madvise(p, TOUCH_PAGES * PAGE, MADV_NOHUGEPAGE); /* small pages, so that all hosts do the same */
		for (size_t i = 0; i < TOUCH_PAGES; i++)
			*(volatile char *)(p + i * PAGE) = 1;
		if (munmap(p, TOUCH_PAGES * PAGE) < 0)
			return -1;
	}
	return 0;
}

static int run_touch(uint64_t ms, const char *arg, struct outcome *ret)
{
	double ns;

	if (helper_measure_usual(ms, touch_batch, NULL, &ns) < 0)
		return outcome_fail(ret, "map and touch");
	return outcome_value(ret, ns / TOUCH_PAGES);
}

const struct workload memory_workloads[] = {
	{ "triad", "MiB/s", run_triad },
	{ "chase", "ns a load", run_chase },
	{ "map-touch-unmap", "ns a page", run_touch },
	{ NULL, NULL, NULL },
};
