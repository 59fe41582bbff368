/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values: see error.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/error.h"

/* Texts from images, guests and documents end up in messages: no line, no escape of theirs reaches a terminal. */
static void make_one_line(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -code;
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->message, sizeof err->message, fmt, ap); /* a cut message is still a message */
	va_end(ap);
	make_one_line(err->message);
	return -code;
}

int error_sys(struct error *err, const char *fmt, ...)
{
	int code = errno ? errno : EIO;
	size_t len;
	va_list ap;

	if (!err)
		return -code;
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	len = strlen(err->message);
	(void)snprintf(err->message + len, sizeof err->message - len, ": %s", strerror(code));
	make_one_line(err->message);
	return -code;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char old[sizeof err->message];
	size_t len;
	va_list ap;

	if (!err)
		return -EIO;
	memcpy(old, err->message, sizeof old);
	va_start(ap, fmt);
	(void)vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	len = strlen(err->message);
	(void)snprintf(err->message + len, sizeof err->message - len, ": %s", old);
	make_one_line(err->message);
	return -err->code;
}
