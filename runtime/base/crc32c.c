/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C, eight bytes at a step by as many tables, or by the processor's own instruction where it has one. */
#include <stdbool.h>
#include <string.h>

#include "runtime/base/crc32c.h"

enum { STEP = 8 };
#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t by_bytes(uint32_t crc, const uint8_t *data, size_t len)
{
	for (; len; len--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
	}
	return crc;
}

static void make_tables(uint32_t tables[STEP][256])
{
	for (uint32_t i = 0; i < 256; i++)
		tables[0][i] = by_bytes(0, &(uint8_t){ (uint8_t)i }, 1);
	for (int t = 1; t < STEP; t++)
		for (uint32_t i = 0; i < 256; i++)
			tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

/* The tables are made anew for each long text: a few microseconds against its milliseconds. */
static uint32_t by_tables(uint32_t crc, const uint8_t *data, size_t len)
{
	uint32_t tables[STEP][256];

	make_tables(tables);
	for (; len >= STEP; len -= STEP, data += STEP) {
		uint64_t word;

		memcpy(&word, data, sizeof word); /* little-endian, as everything that is saved */
		word ^= crc;
		crc = 0;
		for (int i = 0; i < STEP; i++)
			crc ^= tables[STEP - 1 - i][word >> 8 * i & 0xff];
	}
	return by_bytes(crc, data, len);
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t len)
{
	uint64_t wide = crc;

	for (; len >= STEP; len -= STEP, data += STEP) {
		uint64_t word;

		memcpy(&word, data, sizeof word);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len; len--)
		crc = __builtin_ia32_crc32qi(crc, *data++);
	return crc;
}

static bool have_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t len)
{
	return by_tables(crc, data, len);
}

static bool have_instruction(void)
{
	return false;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	return ~(have_instruction() ? by_instruction(~crc, data, len) : by_tables(~crc, data, len));
}

uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t len)
{
	return ~by_tables(~crc, data, len);
}
