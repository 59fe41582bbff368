/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_LAUNCH_BENCH_COLUMNS_H
#define BIVALVE_LAUNCH_BENCH_COLUMNS_H

#include "bench/run.h"
#include "runtime/launch/prepare.h"

/* The columns of `bench` and `compare`: command lines of our own program, and what they need in the store. */

/* What all columns share. Strings are the caller's. */
struct column_options {
	const char *backends;    /* "native,container,vm": also one twice */
	const char *policy, *engine, *kernel;
	const char *data;        /* a folder of the host for the suites disk and meta */
	bool needs_data, needs_usr;
};

/* The path of bivalve-bench beside this program. The caller frees it. */
char *bench_helper_path(void);
/*
 * Makes, if it is not there, the image of the workloads: bivalve-bench, and places for /usr, /data and /tmp. Its
 * name, which holds a digest of the program, is the caller's to free. Returns 0 or -errno.
 */
int bench_make_image(const char *helper, char **ret_name, struct error *err);
/*
 * Fills the columns. One that cannot run here keeps its place, with its error. Facts (image, policy, kernel, cgroups)
 * go to the result. Returns 0, or -EINVAL for a list that makes no sense.
 */
int bench_make_columns(struct bench_context *c, const struct column_options *o, const char *helper, const char *image,
		struct error *err);

/*
 * The columns of `isolation`: for each backend the same policy with no wall, and with one at a time. The policies are
 * files in o->data. Returns 0 or -errno.
 */
int bench_make_walls(struct bench_context *c, const struct column_options *o, const char *image, struct error *err);
/* Runs one of our own programs to its end; what it prints is thrown away, its errors are not. Returns 0 or -errno. */
int bench_run_quietly(char **argv, const char *what, struct error *err);
/* Boots a template for the image of o, unless there is one. Returns 0 or -errno. */
int bench_make_template(const struct launch_options *o, struct error *err);
bool bench_have_templates(void); /* of any image */

/* Splits "native,container,vm" into kinds. Their number, or -EINVAL. */
int bench_parse_backends(const char *text, enum bench_kind kinds[BENCH_MAX_COLUMNS], struct error *err);
/* The first words of a launch in a column of that kind: program, verb, shell and kind of start. */
void bench_launch_words(struct bench_column *k);
/* "native", "container", "vm"; the second of a kind is "container 2". */
char *bench_column_name(const struct bench_context *c, enum bench_kind kind);
/*
 * Plans it and makes what the store lacks, so that no sample pays for it; facts of a VM go to the result. 0 or
 * -errno.
 */
int bench_try(struct bench_context *c, struct launch_options *o, enum bench_kind kind, struct error *err);

#endif
