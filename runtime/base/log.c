/* SPDX-License-Identifier: Apache-2.0 */
/* One line to standard error at a time, in one write so that processes do not mix theirs. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/json.h"
#include "runtime/base/log.h"
#include "runtime/base/strbuf.h"

static enum log_level threshold = LOG_LEVEL_INFO;
static int file_fd = -1;
static bool file_json;

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_set_file(int fd, bool json)
{
	file_fd = fd;
	file_json = json;
}

static char *as_json(const char *level, const char *message, const char *stamp)
{
	struct json_writer *w = json_writer_new(true);

	json_begin_object(w, NULL);
	json_put_string(w, "level", level);
	json_put_string(w, "msg", message);
	json_put_string(w, "time", stamp);
	json_end(w);
	return json_writer_finish(w, NULL);
}

static char *as_text(const char *level, const char *message, const char *stamp)
{
	struct strbuf b = { 0 };

	strbuf_printf(&b, "time=\"%s\" level=%s msg=\"", stamp, level);
	for (const char *c = message; *c; c++)
		strbuf_printf(&b, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
	strbuf_puts(&b, "\"");
	return b.text;
}

static void to_file(enum log_level level, const char *message)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	time_t now = time(NULL);
	char stamp[40] = "", *text, *line;
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &tm); /* fits */
	text = (file_json ? as_json : as_text)(names[level], message, stamp);
	if (asprintf(&line, "%s\n", text) >= 0) {
		(void)!write(file_fd, line, strlen(line)); /* in one write: it is appended whole */
		free(line);
	}
	free(text);
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
	if (file_fd >= 0)
		to_file(level, line + len);
	len += n;
	if ((size_t)len > sizeof line - 2)
		len = sizeof line - 2;
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)len); /* no one left to tell */
}
