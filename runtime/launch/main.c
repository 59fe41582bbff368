/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher: finds the verb, runs it, reports a failure once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/launch/commands.h"
#include "runtime/launch/oci_globals.h"
#include "runtime/launch/version.h"
#include "runtime/model/instance.h"

static void print_help(FILE *to)
{
	fputs("bivalve runs any workload in one of two shells, a container or a KVM microVM, from the same image\n"
	      "and under the same policy.\n\n"
	      "Usage: bivalve [OPTIONS] COMMAND [OPTIONS] …\n\nCommands:\n", to);
	for (const struct command *c = commands; c->name; c++)
		fprintf(to, "  %-10s %s\n", c->name, c->summary);
	fputs("\nOptions before the command:\n", to);
	oci_globals_print(to);
	fputs("\n`bivalve COMMAND --help` explains one. Exit status of a run: the workload's; "
	      "128+n when signal n ended\n"
	      "it; 124 time-out; 125 bivalve's own error; 126 not executable; 127 not found.\n",
		to);
}

/* A closed standard descriptor would be taken by the next open: then a workload's output would go to a file of ours. */
static void fill_standard_fds(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
			_exit(EXIT_BIVALVE); /* nothing to say it on */
	}
}

static const struct command *find_command(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static int usage_error(const char *what, const char *word)
{
	log_line(LOG_LEVEL_ERROR, "%s%s: see `bivalve --help`", what, word);
	return EXIT_BIVALVE;
}

/* "runc version" and its spec line are read by engines: three lines, "NAME version X" first. */
static void print_version(void)
{
	printf("bivalve version %s\nrelease: %s\nspec: %s\n", BIVALVE_VERSION, BIVALVE_VERSION, INSTANCE_OCI_VERSION);
}

/* What is asked of the program itself rather than of a verb. Exit status, or -1: nothing. */
static int answer_globals(int argc, int at, char **argv)
{
	const struct oci_globals *g = oci_globals();

	if (g->version && !g->help) {
		print_version();
		return 0;
	}
	if (g->help || (at < argc && !strcmp(argv[at], "help"))) {
		print_help(stdout);
		return 0;
	}
	if (at < argc)
		return -1;
	print_help(stderr);
	return EXIT_BIVALVE;
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	const struct command *command;
	int at, r;

	fill_standard_fds();
	r = oci_globals_parse(argc, argv, &at, &err);
	if (r == 0) {
		r = answer_globals(argc, at, argv);
		if (r >= 0)
			return r;
		command = find_command(argv[at]);
		if (!command)
			return usage_error("unknown command ", argv[at]);
		r = command->run(argc - at, argv + at, &err);
		if (fflush(stdout) != 0 && r == 0) {
			log_line(LOG_LEVEL_ERROR, "cannot write to standard output: %s", strerror(errno));
			return EXIT_BIVALVE;
		}
	}
	if (r >= 0)
		return r;
	log_line(LOG_LEVEL_ERROR, "%s", err.message[0] ? err.message : strerror(-r));
	return EXIT_BIVALVE;
}
