/* SPDX-License-Identifier: Apache-2.0 */
/* One line to standard error at a time, in one write so that processes do not mix theirs. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/base/log.h"

static enum log_level threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int len, n;

	if (level > threshold)
		return;
	len = snprintf(line, sizeof line, "bivalve: ");
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof line - (size_t)len - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len += n;
	if ((size_t)len > sizeof line - 2)
		len = sizeof line - 2;
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)len); /* no one left to tell */
}
