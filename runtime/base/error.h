/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_ERROR_H
#define BIVALVE_BASE_ERROR_H

/*
 * One error: an errno value for code that decides, one line of text for people. The text names the field, file or
 * step at fault. It lives on the caller's stack; nothing to free.
 */
struct error {
	int code;           /* positive errno value; 0: no error */
	char message[1024]; /* one line, no newline, UTF-8 or plain bytes */
};

/*
 * Fills err (which may be NULL) with code and a formatted line.
 * Returns -code, so that `return error_set(err, EINVAL, "…")` is the usual way out.
 */
int error_set(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like error_set with the current errno; appends ": " and its text. Returns -errno (-EIO if errno is 0). */
int error_sys(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "fmt: " in front of the message that is already there. Returns -err->code. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
