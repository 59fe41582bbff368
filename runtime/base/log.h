/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_LOG_H
#define BIVALVE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/*
 * Beside standard error, lines are appended to fd (kept open, CLOEXEC), each as one object {"level","msg","time"} or,
 * not
 * json, as `time=… level=… msg=…`: what container engines read back from their runtimes. -1: no longer.
 */
void log_set_file(int fd, bool json);
/* One line to standard error, "bivalve: " in front. Layers 0 to 3 use LOG_LEVEL_DEBUG only. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
