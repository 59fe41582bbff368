/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic in registers: what no kernel comes between, unless the processor itself is emulated. */
#include <string.h>

#include "bench/helper/helper.h"
#include "runtime/base/sha256.h"

static volatile uint64_t sink;
static volatile double float_sink;

/* Multiplications, shifts and a branch that is hard to predict. */
static int integer_batch(void *state, uint64_t n)
{
	uint64_t x = *(uint64_t *)state;

	for (uint64_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (x & 1)
			x += i * UINT64_C(0x9e3779b97f4a7c15);
	}
	*(uint64_t *)state = x | 1;
	sink = x;
	return 0;
}

/* One step of the Lorenz system: additions and multiplications that wait for each other. */
static int float_batch(void *state, uint64_t n)
{
	double *p = state, x = p[0], y = p[1], z = p[2];

	for (uint64_t i = 0; i < n; i++) {
		double dx = 10 * (y - x), dy = x * (28 - z) - y, dz = x * y - 8.0 / 3 * z;

		x += dx * 0.001;
		y += dy * 0.001;
		z += dz * 0.001;
	}
	p[0] = x;
	p[1] = y;
	p[2] = z;
	float_sink = x;
	return 0;
}

static int hash_batch(void *state, uint64_t n)
{
	static const uint8_t data[4096];

	for (uint64_t i = 0; i < n; i++)
		sha256_blocks(state, data, sizeof data / 64);
	return 0;
}

static int integer(uint64_t ms, int (*measure)(uint64_t, int (*)(void *, uint64_t), void *, double *),
		struct outcome *ret)
{
	uint64_t state = 88172645463325252u;
	double ns;

	return measure(ms, integer_batch, &state, &ns) < 0 ? outcome_fail(ret, "integer") : outcome_value(ret, ns);
}

static int run_integer(uint64_t ms, const char *arg, struct outcome *ret)
{
	return integer(ms, helper_measure_usual, ret);
}

/* All the time, also that of others: what a victim of neighbours feels. */
static int run_integer_wall(uint64_t ms, const char *arg, struct outcome *ret)
{
	return integer(ms, helper_measure, ret);
}

static int run_float(uint64_t ms, const char *arg, struct outcome *ret)
{
	double state[3] = { 1, 1, 1 }, ns;

	return helper_measure_usual(ms, float_batch, state, &ns) < 0 ? outcome_fail(ret, "float")
								     : outcome_value(ret, ns);
}

static int run_sha256(uint64_t ms, const char *arg, struct outcome *ret)
{
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
		0x5be0cd19 };
	double ns;

	if (helper_measure_usual(ms, hash_batch, state, &ns) < 0)
		return outcome_fail(ret, "sha256");
	sink = state[0];
	return outcome_value(ret, 4096 / ns * 1e9 / 1048576);
}

const struct workload cpu_workloads[] = {
	{ "integer", "ns a step", run_integer },
	{ "integer-wall", "ns a step, time of others included", run_integer_wall },
	{ "float", "ns a step", run_float },
	{ "sha256", "MiB/s", run_sha256 },
	{ NULL, NULL, NULL },
};
