/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 for the few binary fields of our JSON documents. */
#include <errno.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const uint8_t *data, size_t len)
{
	char *text = xcalloc((len + 2) / 3 * 4 + 1, 1), *to = text;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) |
			(i + 2 < len ? data[i + 2] : 0);

		*to++ = alphabet[v >> 18];
		*to++ = alphabet[v >> 12 & 63];
		*to++ = i + 1 < len ? alphabet[v >> 6 & 63] : '=';
		*to++ = i + 2 < len ? alphabet[v & 63] : '=';
	}
	return text;
}

static int value_of(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

int base64_decode(const char *text, uint8_t **ret_data, size_t *ret_len)
{
	size_t len = strlen(text), pad, n = 0;
	_cleanup_free_ uint8_t *data = NULL;

	if (len % 4)
		return -EINVAL;
	pad = len && text[len - 1] == '=' ? (text[len - 2] == '=' ? 2 : 1) : 0;
	data = xcalloc(len / 4 * 3 + 1, 1);
	for (size_t i = 0; i < len; i += 4) {
		size_t skip = i + 4 == len ? pad : 0;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int digit = k < 4 - skip ? value_of(text[i + k]) : 0;

			if (digit < 0)
				return -EINVAL;
			v = v << 6 | (uint32_t)digit;
		}
		if ((skip == 1 && v & 0xff) || (skip == 2 && v & 0xffff))
			return -EINVAL;
		for (size_t k = 0; k < 3 - skip; k++)
			data[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	*ret_data = steal_ptr(data);
	*ret_len = n;
	return 0;
}
