/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_BASE_OPTIONS_H
#define BIVALVE_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "runtime/base/error.h"

/*
 * Command-line options as a table: parsed, and printed by --help, from the same rows. Accepted: --name VALUE,
 * --name=VALUE, -x VALUE, -xVALUE, bundled flags (-it), --flag=true and --flag=false. The first other word ends the
 * options ("--" too).
 */
enum option_kind {
	OPTION_FLAG,   /* bool: set to true, or to what follows the '=' */
	OPTION_STRING, /* const char *: points into argv */
	OPTION_LIST,   /* char **: a copy is pushed, strv_push() */
	OPTION_PARSED, /* whatever parse makes of the text */
};

struct option_row {
	char letter;             /* 0: none */
	const char *name;        /* without the dashes */
	enum option_kind kind;
	void *target;
	const char *argument;    /* its name in the help, "SIZE"; NULL for flags */
	const char *help;        /* NULL: not in the help */
	int (*parse)(const char *text, void *target, struct error *err);
};

/*
 * Parses argv[1…]. *ret_first is the index of the first word that is no option. --help and -h are answered by the
 * caller: *ret_help is set and parsing ends. Rows end with name NULL. Returns 0 or -EINVAL.
 */
int options_parse(const struct option_row *rows, int argc, char **argv, int *ret_first, bool *ret_help,
		struct error *err);
void options_print(const struct option_row *rows, FILE *to);

#endif
