/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probes SETTINGS [NAME…]: runs these probes, or all, each in a process and session of its own and for at most 100 s.
 * SETTINGS is a file of key=value lines. On standard output, tab-separated, as they come:
 *
 *	start	NAME
 *	probe	NAME	OUTCOME	ERRNO	DETAIL
 *
 * ERRNO is a name of errno(3), or of the signal that ended the probe, or "-". `probes --list` prints the names.
 * Others of its faces: --privileges (what an executed program has), SETTINGS --linger, SETTINGS --victim NAME.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

enum { LIMIT_S = 100 }; /* in an emulated machine under load, filling memory has taken more than 20 s */

static const struct probe *const tables[] = {
	file_probes, kernel_file_probes, process_probes, call_probes, wall_probes, network_probes,
	flood_probes,
};
static const char *const outcomes[] = {
	[OUTCOME_NOT_RUN] = "not-run", [OUTCOME_BLOCKED] = "blocked", [OUTCOME_ALLOWED] = "allowed",
	[OUTCOME_HOST] = "host",
};

/* ---- what the probes use ---- */

static struct result result_va(enum outcome outcome, int error, const char *format, va_list arguments)
{
	struct result result = { .outcome = outcome, .error = error };

	(void)vsnprintf(result.detail, sizeof(result.detail), format, arguments); /* cut: it is for people */
	return result;
}

#define RESULT_OF(outcome, error, format) ({ \
	va_list arguments_; \
	va_start(arguments_, format); \
	struct result result_ = result_va(outcome, error, format, arguments_); \
	va_end(arguments_); \
	result_; })

struct result not_run(const char *why)
{
	struct result result = { .outcome = OUTCOME_NOT_RUN };

	(void)snprintf(result.detail, sizeof(result.detail), "%s", why);
	return result;
}

struct result blocked(int error, const char *format, ...)
{
	return RESULT_OF(OUTCOME_BLOCKED, error, format);
}

struct result allowed(const char *format, ...)
{
	return RESULT_OF(OUTCOME_ALLOWED, 0, format);
}

struct result reached_host(const char *format, ...)
{
	return RESULT_OF(OUTCOME_HOST, 0, format);
}

struct result verdict(long ret, int harmless_error, const char *what)
{
	if (ret < 0 && errno != harmless_error)
		return blocked(errno, "%s", what);
	return ret < 0 ? allowed("%s: permitted, then %s as meant", what, strerrorname_np(errno)) : allowed("%s", what);
}

ssize_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n;
}

bool is_canary(const struct settings *settings, long pid)
{
	char path[64], name[256];

	(void)snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	return settings->token[0] && read_text(path, name, sizeof(name)) > 0 && strstr(name, settings->token);
}

/* ---- settings ---- */

#define TEXT(name) { #name, offsetof(struct settings, name), sizeof(((struct settings *)0)->name) }
#define NUMBER(name) { #name, offsetof(struct settings, name), 0 }
static const struct {
	const char *key;
	size_t offset, size;    /* size 0: a number */
} setting_rows[] = {
	TEXT(on), TEXT(token), TEXT(file), TEXT(handle), TEXT(address), TEXT(mnt), TEXT(net), TEXT(pid_ns), TEXT(user),
	TEXT(share), TEXT(fixed), NUMBER(pid), NUMBER(victim), NUMBER(port), NUMBER(key), NUMBER(shm), NUMBER(disk),
	NUMBER(timid),
};

static void set(struct settings *settings, const char *key, const char *value)
{
	for (size_t i = 0; i < sizeof(setting_rows) / sizeof(*setting_rows); i++) {
		char *field = (char *)settings + setting_rows[i].offset;

		if (strcmp(key, setting_rows[i].key) != 0)
			continue;
		if (setting_rows[i].size)
			(void)snprintf(field, setting_rows[i].size, "%s", value);
		else
			*(long *)field = strtol(value, NULL, 10);
		return;
	}
	fprintf(stderr, "probes: unknown setting %s\n", key);
	exit(2);
}

static void read_settings(struct settings *settings, const char *path)
{
	static char text[8192];
	char *rest = text, *line;

	if (read_text(path, text, sizeof(text)) < 0) {
		fprintf(stderr, "probes: no settings at %s\n", path);
		exit(2);
	}
	while ((line = strsep(&rest, "\n"))) {
		char *equals = strchr(line, '=');

		if (!equals)
			continue;
		*equals = '\0';
		set(settings, line, equals + 1);
	}
}

/* ---- running one ---- */

static bool ended(pid_t pid, int *ret_status)
{
	struct timespec pause = { .tv_nsec = 2000000 }, now, start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (waitpid(pid, ret_status, WNOHANG) == pid)
			return true;
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < LIMIT_S);
	return false;
}

static void report(const struct probe *probe, const struct result *result, const char *word)
{
	printf("probe\t%s\t%s\t%s\t%s\n", probe->name, outcomes[result->outcome],
		word ? word : result->error ? strerrorname_np(result->error) : "-", result->detail);
	fflush(stdout);
}

static void run(const struct probe *probe, const struct settings *settings, struct result *shared)
{
	char signal_name[16];
	int status = 0;
	pid_t pid;

	printf("start\t%s\n", probe->name);
	fflush(stdout);
	if ((probe->flags & PROBE_HARMFUL) && settings->timid) {
		*shared = not_run("harmful where nothing stops it");
		report(probe, shared, NULL);
		return;
	}
	*shared = blocked(0, "ended without a result");
	pid = fork();
	if (pid == 0) {
		(void)setsid(); /* so that what it leaves can be killed */
		*shared = probe->run(settings);
		_exit(0);
	}
	if (pid < 0) {
		*shared = blocked(errno, "fork");
		report(probe, shared, NULL);
		return;
	}
	if (!ended(pid, &status)) {
		*shared = blocked(0, "still running after %d s", LIMIT_S);
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		report(probe, shared, "HANG");
		return;
	}
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		(void)snprintf(signal_name, sizeof(signal_name), "SIG%s", sigabbrev_np(WTERMSIG(status)));
	report(probe, shared, WIFSIGNALED(status) ? signal_name : NULL);
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static int list(void)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct probe *probe = tables[i]; probe->name; probe++)
			puts(probe->name);
	return 0;
}

int main(int argc, char **argv)
{
	static struct settings settings;
	struct result *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	if (argc == 2 && strcmp(argv[1], "--privileges") == 0)
		return stage_privileges();
	if (argc < 2 || shared == MAP_FAILED)
		return fprintf(stderr, "usage: probes SETTINGS [NAME…]\n"), 2;
	read_settings(&settings, argv[1]);
	if (argc == 3 && strcmp(argv[2], "--linger") == 0)
		return stage_linger(&settings);
	if (argc == 4 && strcmp(argv[2], "--victim") == 0)
		for (;;)
			pause();
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct probe *probe = tables[i]; probe->name; probe++)
			if (wanted(probe->name, argv + 2))
				run(probe, &settings, shared);
	return 0;
}
