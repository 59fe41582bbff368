/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and durations in the notation of command lines and policies. Integers throughout: no rounding surprises. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "policies/units.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Longer suffixes first: the first that fits is taken. */
static const struct unit durations[] = {
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", 1000000 },
	{ "m", UINT64_C(60) * 1000000 },
	{ "h", UINT64_C(3600) * 1000000 },
	{ "d", UINT64_C(86400) * 1000000 },
	{ NULL, 0 },
};

struct decimal {
	uint64_t whole, fraction, divisor; /* whole + fraction / divisor */
};

/* Reads "12" or "12.75" and moves *at behind it. Digits after the ninth of the fraction are ignored. */
static int read_decimal(const char **at, struct decimal *ret)
{
	struct decimal d = { .divisor = 1 };
	const char *s = *at;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(d.whole, 10, &d.whole) ||
				__builtin_add_overflow(d.whole, (uint64_t)(*s - '0'), &d.whole))
			return -ERANGE;
	if (*s == '.') {
		if (s[1] < '0' || s[1] > '9')
			return -EINVAL;
		for (s++; *s >= '0' && *s <= '9'; s++)
			if (d.divisor < 1000000000) {
				d.fraction = d.fraction * 10 + (uint64_t)(*s - '0');
				d.divisor *= 10;
			}
	}
	*at = s;
	*ret = d;
	return 0;
}

static int scale(const struct decimal *d, uint64_t factor, uint64_t *ret)
{
	uint64_t value;

	if (__builtin_mul_overflow(d->whole, factor, &value))
		return -ERANGE;
	/* The product fits 128 bits and the quotient is below factor. */
	if (__builtin_add_overflow(value, (uint64_t)((unsigned __int128)d->fraction * factor / d->divisor), &value))
		return -ERANGE;
	*ret = value;
	return 0;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	static const char letters[] = "kmgt";
	const char *letter;
	uint64_t factor = 1;
	struct decimal d;
	int r = read_decimal(&text, &d);

	if (r < 0)
		return r;
	if (*text && (letter = strchr(letters, *text | 0x20))) {
		factor = UINT64_C(1) << (10 * (letter - letters + 1));
		text++;
		if (!strcasecmp(text, "b") || !strcasecmp(text, "ib"))
			text = "";
	} else if (!strcasecmp(text, "b")) {
		text = "";
	}
	return *text ? -EINVAL : scale(&d, factor, ret_bytes);
}

int duration_parse_us(const char *text, uint64_t *ret_us)
{
	uint64_t total = 0, part;

	if (!strcmp(text, "0")) {
		*ret_us = 0;
		return 0;
	}
	do {
		const struct unit *u = durations;
		struct decimal d;
		int r = read_decimal(&text, &d);

		if (r < 0)
			return r;
		while (u->suffix && strncmp(text, u->suffix, strlen(u->suffix)) != 0)
			u++;
		if (!u->suffix)
			return -EINVAL;
		text += strlen(u->suffix);
		r = scale(&d, u->factor, &part);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(total, part, &total))
			return -ERANGE;
	} while (*text);
	*ret_us = total;
	return 0;
}
