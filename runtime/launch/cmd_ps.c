/* SPDX-License-Identifier: Apache-2.0 */
/* `bivalve ps`: an instance's processes, as the host sees a container's and the guest's kernel a microVM's. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "runtime/base/alloc.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_verb.h"

/* The columns of `ps -ef`, which is what the peers' tables are and what engines take apart. */
static void print_row(const struct backend_process *p)
{
	time_t start = (time_t)(p->start_ns / 1000000000);
	uint64_t seconds = p->cpu_us / 1000000;
	char since[16] = "-";
	struct tm tm;

	if (start && gmtime_r(&start, &tm))
		(void)strftime(since, sizeof since, "%H:%M", &tm); /* fits */
	printf("%-8" PRIu64 " %7" PRIu64 " %7" PRIu64 " %2d %5s %-8s %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " ",
		p->uid, p->pid, p->parent, 0, since, "?", seconds / 3600, seconds / 60 % 60, seconds % 60);
	for (const char *c = p->command ? p->command : ""; *c; c++) /* the workload chose it: no escapes of its own */
		putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
	putchar('\n');
}

static void print_table(const struct backend_process *p, size_t n)
{
	printf("%-8s %7s %7s %2s %5s %-8s %8s %s\n", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD");
	for (size_t i = 0; i < n; i++)
		print_row(&p[i]);
}

static void print_json(const struct backend_process *p, size_t n)
{
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;

	json_begin_array(w, NULL);
	for (size_t i = 0; i < n; i++)
		json_put_uint(w, NULL, p[i].pid);
	json_end(w);
	text = json_writer_finish(w, NULL);
	puts(text);
}

int cmd_ps(int argc, char **argv, struct error *err)
{
	_cleanup_target_ struct verb_target t = VERB_TARGET_NONE;
	struct backend_process *processes = NULL;
	const char *format = "table";
	const struct option_row rows[] = {
		{ 'f', "format", OPTION_STRING, &format, "FORMAT", "table, or json: the pids alone", NULL },
		{ 0 },
	};
	int at, r = verb_parse(rows, argc, argv, "ps [OPTIONS] ID", 1, 1, &at, err);
	size_t n = 0;

	if (r != 0)
		return r < 0 ? r : 0;
	if (strcmp(format, "table") && strcmp(format, "json"))
		return error_set(err, EINVAL, "--format %s: expected table or json", format);
	r = verb_open(argv[at], false, &t, err);
	if (r < 0)
		return r;
	if (!t.backend->processes)
		return error_set(err, EOPNOTSUPP, "ps: the shell %s cannot do that", t.in.backend);
	if (t.status != INSTANCE_STOPPED && t.status != INSTANCE_CREATING)
		r = t.backend->processes(&t.in, &processes, &n, err);
	if (r < 0)
		return r;
	(!strcmp(format, "json") ? print_json : print_table)(processes, n);
	backend_processes_free(processes, n);
	return 0;
}
