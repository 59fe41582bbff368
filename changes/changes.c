/* SPDX-License-Identifier: Apache-2.0 */
/* The list itself, and how it looks. */
#include <inttypes.h>
#include <string.h>

#include "changes/changes.h"
#include "runtime/base/alloc.h"

void changes_release(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].path);
		free(c->list[i].target);
	}
	free(c->list);
	*c = (struct changes){ .source = -1 };
}

struct change *changes_add(struct changes *c)
{
	if (c->n >= CHANGES_MAX) {
		c->omitted++;
		c->complete = false;
		return NULL;
	}
	if (c->n % 64 == 0)
		c->list = xreallocarray(c->list, c->n + 64, sizeof *c->list);
	c->list[c->n] = (struct change){ 0 };
	return &c->list[c->n++];
}

const char *change_kind_name(enum change_kind kind)
{
	static const char *const names[] = { "none", "created", "modified", "deleted" };

	return names[kind];
}

const char *change_type_name(enum change_type type)
{
	static const char *const names[] = { "file", "folder", "link", "fifo", "socket", "device", "nothing" };

	return names[type];
}

char *change_path(const struct change *change, char *const *places)
{
	const char *place = places[change->nth];

	return *change->path ? xasprintf("%s/%s", strcmp(place, "/") ? place : "", change->path) : xstrdup(place);
}

/* Names are the workload's: what a terminal would take for a command of its own is spelled out. */
static void print_text(const char *text, FILE *to)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f || c == '\\')
			(void)fprintf(to, "\\%03o", c); /* a reader that is gone needs no list; here and below */
		else
			(void)fputc(c, to);
	}
}

void changes_print(const struct changes *c, char *const *places, FILE *to)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct change *e = &c->list[i];
		enum change_type type = e->kind == CHANGE_DELETED ? e->real_type : e->type;
		_cleanup_free_ char *path = change_path(e, places);

		(void)fprintf(to, "  %-9s %-7s", change_kind_name(e->kind), change_type_name(type));
		if (e->kind != CHANGE_DELETED && type == CHANGE_FILE)
			(void)fprintf(to, "%12" PRIu64 " bytes  ", e->size);
		else
			(void)fprintf(to, "%20s", "");
		print_text(path, to);
		if (e->type == CHANGE_LINK && e->kind != CHANGE_DELETED) {
			(void)fputs(" -> ", to);
			print_text(e->target, to);
		}
		(void)fprintf(to, "%s%s%s\n", e->conflict ? "  (" : "", e->conflict ? e->conflict : "",
			e->conflict ? ")" : "");
	}
	if (!c->complete)
		(void)fprintf(to, "  the list is not complete: %s\n",
			c->omitted ? "too much, or too deep" : "it was cut off");
}
