/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options before the verb. A new one: a row here, a line in docs/oci.md, a test in tests/integration/state.bats.
 *
 * What cannot be done is refused by name. Flags that only tune the peer's own implementation (--criu, the manager's
 * name
 * where there is just one) are taken and have no effect: engines pass them without asking.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/base/options.h"
#include "runtime/launch/oci_globals.h"

static struct oci_globals globals; /* written once, by oci_globals_parse() */

static const struct option_row rows[] = {
	{ 0, "root", OPTION_STRING, &globals.root, "DIR", "folder of the instances' state", NULL },
	{ 0, "log", OPTION_STRING, &globals.log, "FILE", "append errors and warnings to FILE too", NULL },
	{ 0, "log-format", OPTION_STRING, &globals.log_format, "FORMAT", "of that file: text (default) or json", NULL },
	{ 0, "log-level", OPTION_STRING, &globals.log_level, "LEVEL", "error, warning, info (default) or debug", NULL },
	{ 0, "debug", OPTION_FLAG, &globals.debug, NULL, "the same as --log-level debug", NULL },
	{ 0, "cgroup-manager", OPTION_STRING, &globals.cgroup_manager, "NAME", "cgroupfs, systemd or disabled", NULL },
	{ 0, "systemd-cgroup", OPTION_FLAG, &globals.systemd_cgroup, NULL, "cgroupsPath is slice:prefix:name", NULL },
	{ 0, "rootless", OPTION_STRING, &globals.rootless, "WHETHER", "true, false or auto (default)", NULL },
	{ 0, "criu", OPTION_STRING, &globals.criu, "PATH", "taken, without effect", NULL },
	{ 'v', "version", OPTION_FLAG, &globals.version, NULL, "print the version", NULL },
	{ 0 },
};

const struct oci_globals *oci_globals(void)
{
	return &globals;
}

void oci_globals_print(FILE *to)
{
	options_print(rows, to);
}

bool oci_rootless(void)
{
	const char *said = globals.rootless;

	return said && strcmp(said, "auto") ? !strcmp(said, "true") : geteuid() != 0;
}

static int one_of(const char *option, const char *value, const char *const *words, struct error *err)
{
	int i = 0;

	if (!value)
		return 0;
	while (words[i] && strcmp(words[i], value))
		i++;
	return words[i] ? i : error_set(err, EINVAL, "--%s %s: unknown: see `bivalve --help`", option, value);
}

static int open_log(struct error *err)
{
	const char *path = globals.log;
	int fd;

	if (!path || !*path)
		return 0;
	if (!strncmp(path, "file:", 5)) /* crun's spelling */
		path += 5;
	else if (!strncmp(path, "journald:", 9) || !strncmp(path, "syslog:", 7))
		return error_set(err, EOPNOTSUPP, "--log %s: only a file can be written to", path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return error_sys(err, "--log %s", path);
	if (fd < 64) { /* out of the way of descriptors that --preserve-fds hands on */
		int high = fcntl(fd, F_DUPFD_CLOEXEC, 64);

		if (high >= 0) {
			(void)close(fd);
			fd = high;
		}
	}
	log_set_file(fd, globals.log_format && !strcmp(globals.log_format, "json"));
	return 0;
}

static int set_level(struct error *err)
{
	static const char *const words[] = { "error", "warning", "info", "debug", "warn", NULL };
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG,
		LOG_LEVEL_WARNING };
	int i = one_of("log-level", globals.log_level, words, err);

	if (i < 0)
		return i;
	if (globals.log_level)
		log_set_level(levels[i]);
	if (globals.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	return 0;
}

/* The environment is how the folder reaches everybody who asks for it, bivalve-image too. */
static int set_root(struct error *err)
{
	if (!globals.root)
		return 0;
	if (!*globals.root)
		return error_set(err, EINVAL, "--root: empty");
	return setenv("BIVALVE_RUN", globals.root, 1) < 0 ? error_sys(err, "--root") : 0;
}

int oci_globals_parse(int argc, char **argv, int *ret_first, struct error *err)
{
	static const char *const formats[] = { "text", "json", NULL }, *const managers[] = { "cgroupfs", "systemd",
		"disabled", NULL }, *const whether[] = { "true", "false", "auto", NULL };
	const char *slash = argv[0] ? strrchr(argv[0], '/') : NULL;
	bool help;
	int r;

	globals.vm = argv[0] && !strcmp(slash ? slash + 1 : argv[0], "bivalve-vm");
	r = options_parse(rows, argc, argv, ret_first, &help, err);
	if (r < 0)
		return r;
	globals.help = help;
	r = one_of("log-format", globals.log_format, formats, err);
	if (r >= 0)
		r = open_log(err);
	if (r == 0)
		r = set_level(err);
	if (r == 0)
		r = set_root(err);
	if (r == 0)
		r = one_of("rootless", globals.rootless, whether, err);
	if (r >= 0)
		r = one_of("cgroup-manager", globals.cgroup_manager, managers, err);
	if (r >= 0 && globals.cgroup_manager && !strcmp(globals.cgroup_manager, "systemd"))
		globals.systemd_cgroup = true;
	return r < 0 ? r : 0;
}
