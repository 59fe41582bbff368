/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_CHILD_H
#define BIVALVE_BENCH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/error.h"
#include "runtime/base/strbuf.h"

/*
 * The processes that are measured, and the signals that end a benchmark. Children have process groups of their own:
 * an interrupt from the terminal comes to us alone, and we end them in order.
 */
struct bench_stop {
	int fd;                  /* signalfd of SIGINT, SIGTERM, SIGHUP, which are blocked */
	bool stopped;            /* one came: no new sample is begun */
};
int bench_stop_init(struct bench_stop *s, struct error *err);
void bench_stop_release(struct bench_stop *s); /* the signals act as before */
bool bench_stopped(struct bench_stop *s);      /* looks for one without waiting */

struct child {
	pid_t pid;               /* 0: none */
	int pidfd, in, out;      /* our ends of its standard input and output; -1: /dev/null */
	uint64_t begin_ns;       /* before it was started */
};
enum child_pipes { CHILD_IN = 1, CHILD_OUT = 2 };

/* Starts argv[0], a path; root: its root directory, NULL: ours. */
struct child_options {
	unsigned pipes;          /* enum child_pipes */
	int errors;              /* where its standard error goes; 0: to ours */
	const char *root, *cwd;
	char *const *env;        /* NULL: ours */
};
int child_start(char *const *argv, const struct child_options *o, struct child *ret, struct error *err);
/*
 * Waits for its end, its output collected into out (may be NULL). *ret_status: as waitpid(2); *ret_end_ns: when it
 * was seen. -ETIMEDOUT and -EINTR (a stop): it still runs, and child_end() is due. Returns 0 or -errno.
 */
int child_wait(struct child *c, struct bench_stop *stop, uint64_t timeout_ms, struct strbuf *out, int *ret_status,
		uint64_t *ret_end_ns);
/*
 * Reads one line (without its end) of its output. -EPIPE: it ended; else as child_wait(). more: what came after it.
 */
int child_line(struct child *c, struct bench_stop *stop, uint64_t timeout_ms, struct strbuf *more, char **ret_line);
/* Ends it if it runs: end of file, SIGTERM after grace_ms, SIGKILL 10 s later; reaps it. Idempotent. */
void child_end(struct child *c, uint64_t grace_ms);

#endif
