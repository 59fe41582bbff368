/* SPDX-License-Identifier: Apache-2.0 */
/* What the hostile guest tells, by the serial port. */
#include "tests/containment/hostile/hostile.h"

void print(const char *s)
{
	for (; *s; s++)
		out8(SERIAL, (u8)*s);
}

void print_number(u64 n)
{
	char digits[24], *at = digits + sizeof digits - 1;

	*at = '\0';
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	print(at);
}

/* The attacks have been at it too: no divisor, no interrupts, no loop-back. */
void serial_mend(void)
{
	out8(SERIAL + 3, 3);
	out8(SERIAL + 1, 0);
	out8(SERIAL + 4, 3);
	print("\n");
}
