/* SPDX-License-Identifier: Apache-2.0 */
/* Options from tables: see options.h. */
#include <errno.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/options.h"

static int take(const struct option_row *row, char *value, struct error *err)
{
	int r;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->target = !value || !strcmp(value, "true");
		return 0;
	case OPTION_STRING:
		*(const char **)row->target = value;
		return 0;
	case OPTION_LIST:
		strv_push(row->target, xstrdup(value));
		return 0;
	case OPTION_PARSED:
		r = row->parse(value, row->target, err);
		return r < 0 ? error_prefix(err, "--%s", row->name) : 0;
	}
	return 0;
}

static const struct option_row *by_name(const struct option_row *rows, const char *name, size_t len)
{
	for (; rows->name; rows++)
		if (strlen(rows->name) == len && !memcmp(rows->name, name, len))
			return rows;
	return NULL;
}

static const struct option_row *by_letter(const struct option_row *rows, char letter)
{
	for (; rows->name; rows++)
		if (rows->letter == letter)
			return rows;
	return NULL;
}

/* --name, --name=value or --name value; moves *at past what it took. */
static int parse_long(const struct option_row *rows, int argc, char **argv, int *at, struct error *err)
{
	char *word = argv[*at] + 2, *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	const struct option_row *row = by_name(rows, word, len);

	if (!row)
		return error_set(err, EINVAL, "unknown option --%.*s: see --help", (int)len, word);
	if (row->kind == OPTION_FLAG && value && strcmp(value, "true") && strcmp(value, "false"))
		return error_set(err, EINVAL, "--%s takes no value", row->name);
	if (row->kind != OPTION_FLAG && !value) {
		if (*at + 1 >= argc)
			return error_set(err, EINVAL, "--%s needs %s", row->name, row->argument);
		value = argv[++*at];
	}
	++*at;
	return take(row, value, err);
}

static int parse_letters(const struct option_row *rows, int argc, char **argv, int *at, struct error *err)
{
	for (char *c = argv[*at] + 1; *c; c++) {
		const struct option_row *row = by_letter(rows, *c);
		char *value = NULL;
		int r;

		if (!row)
			return error_set(err, EINVAL, "unknown option -%c: see --help", *c);
		if (row->kind != OPTION_FLAG) {
			value = c[1] ? c + 1 + (c[1] == '=') : *at + 1 < argc ? argv[++*at] : NULL;
			if (!value)
				return error_set(err, EINVAL, "-%c needs %s", *c, row->argument);
		}
		r = take(row, value, err);
		if (r < 0)
			return r;
		if (value)
			break;
	}
	++*at;
	return 0;
}

int options_parse(const struct option_row *rows, int argc, char **argv, int *ret_first, bool *ret_help,
		struct error *err)
{
	int at = 1, r;

	*ret_help = false;
	while (at < argc && argv[at][0] == '-' && argv[at][1]) {
		if (!strcmp(argv[at], "--")) {
			at++;
			break;
		}
		if (!strcmp(argv[at], "--help") || (!strcmp(argv[at], "-h") && !by_letter(rows, 'h'))) {
			*ret_help = true;
			break;
		}
		r = argv[at][1] == '-' ? parse_long(rows, argc, argv, &at, err)
			: parse_letters(rows, argc, argv, &at, err);
		if (r < 0)
			return r;
	}
	*ret_first = at;
	return 0;
}

void options_print(const struct option_row *rows, FILE *to)
{
	for (; rows->name; rows++) {
		char left[80];
		int n = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", rows->letter ? '-' : ' ',
				rows->letter ? rows->letter : ' ', rows->letter ? ", " : "  ", rows->name,
				rows->argument ? " " : "", rows->argument ? rows->argument : "");

		if (rows->help)
			fprintf(to, "%s%*s%s\n", left, n < 28 ? 28 - n : 1, "", rows->help);
	}
}
