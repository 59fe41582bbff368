/* SPDX-License-Identifier: Apache-2.0 */
/* What a saved machine's processor was: a guest that has seen features and a clock rate cannot go on without them. */
#include <cpuid.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/crc32c.h"
#include "vm-backend/arch/x86_64/arch.h"

/* Bits that say where this was asked, not what the processor can. */
#define OSXSAVE (1u << 27)

char *arch_cpu_identity(void)
{
	static const unsigned leaves[] = { 0, 1, 7, 0xd, 0x15, 0x80000001, 0x80000007, 0x80000008 };
	uint32_t brand[12] = { 0 }, features = 0;
	char name[sizeof brand + 1] = "";

	for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
		uint32_t r[4] = { 0 };

		if (!__get_cpuid_count(leaves[i], 0, &r[0], &r[1], &r[2], &r[3]))
			continue;
		if (leaves[i] == 1) {
			r[1] = 0; /* which processor this is */
			r[2] &= ~OSXSAVE;
		}
		if (leaves[i] == 0xd)
			r[1] = 0; /* what is enabled now */
		features = crc32c(features, r, sizeof r);
	}
	for (unsigned i = 0; i < 3; i++)
		(void)__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2],
				&brand[4 * i + 3]); /* without a name the features must do */
	memcpy(name, brand, sizeof brand);
	return xasprintf("%s %08x", name[0] ? name + strspn(name, " ") : "unnamed", features);
}
