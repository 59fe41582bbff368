/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BENCH_HELPER_H
#define BIVALVE_BENCH_HELPER_H

#include <stddef.h>
#include <stdint.h>

/*
 * bivalve-bench: the built-in workloads, one static program that runs unchanged on the host, in a container and in a
 * guest. It needs nothing of its root file system but /dev/null and /dev/zero (and a folder, where one is its
 * argument).
 */
enum { HELPER_VALUES = 8, HELPER_ERROR = 200 };

/* What a workload says. A failure is an error, never a number. */
struct outcome {
	double values[HELPER_VALUES];
	size_t n;
	char error[HELPER_ERROR];
};

/*
 * One workload: runs for about ms milliseconds by the clock of the kernel that it runs on. arg: the rest of the
 * request, "" if there is none. Returns 0, or -1 with the error filled.
 */
struct workload {
	const char *name;
	const char *values;  /* what it gives, in order, with units */
	int (*run)(uint64_t ms, const char *arg, struct outcome *ret);
};

/* The workloads of each file; each ends with name NULL. helper_main.c lists the tables. */
extern const struct workload cpu_workloads[], memory_workloads[], syscall_workloads[], process_workloads[];
extern const struct workload disk_workloads[], net_workloads[], other_workloads[];

uint64_t helper_now_ns(void);
/* Fills the error: "what: text of errno". Returns -1. */
int outcome_fail(struct outcome *o, const char *what);
int outcome_value(struct outcome *o, double value); /* adds one; returns 0 */

double helper_median(double *values, size_t n); /* sorts them; n at least 1 */
/*
 * Calls batch(state, n) with growing n, then on for about ms milliseconds, and gives nanoseconds per operation: all the
 * time that passed, whatever took it. batch does n operations and returns 0, or -1 with errno.
 */
int helper_measure(uint64_t ms, int (*batch)(void *state, uint64_t n), void *state, double *ret_ns);
/*
 * The same, but the median of batches of a quarter of a millisecond or longer: what an operation takes while the
 * processor is ours. What takes it away now and then (interrupts, other processes, a hypervisor below) leaves no trace
 * unless it hits every other batch; that is for the workloads wake and gap to see.
 */
int helper_measure_usual(uint64_t ms, int (*batch)(void *state, uint64_t n), void *state, double *ret_ns);

#endif
