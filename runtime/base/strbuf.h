/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_STRBUF_H
#define BIVALVE_BASE_STRBUF_H

#include <stddef.h>

/* A growing text. {0} is empty; text is NUL-terminated once anything was added. */
struct strbuf {
	char *text;
	size_t len, size;
};

void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_release(struct strbuf *b);
#define _cleanup_strbuf_ __attribute__((cleanup(strbuf_release)))

#endif
