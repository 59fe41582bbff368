/* SPDX-License-Identifier: Apache-2.0 */
/* What the figures depend on, written down beside them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/run.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

static char *read_text(const char *path)
{
	char *text = NULL;
	size_t len;

	if (file_read_at(AT_FDCWD, path, 1 << 20, &text, &len, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* The value after "key" and a colon in a file of such lines. */
static char *read_key(const char *path, const char *key)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	char *at;

	if (file_read_at(AT_FDCWD, path, 1 << 20, &text, &len, NULL) < 0)
		return NULL;
	at = strstr(text, key);
	at = at ? strchr(at, ':') : NULL;
	if (!at)
		return NULL;
	at += 1 + strspn(at + 1, " \t");
	return xstrndup(at, strcspn(at, "\n"));
}

uint64_t environment_available(void)
{
	_cleanup_free_ char *text = read_key("/proc/meminfo", "MemAvailable");

	return text ? strtoull(text, NULL, 10) * 1024 : 0;
}

static void add_file(struct bench_result *r, const char *key, const char *path)
{
	_cleanup_free_ char *text = read_text(path);

	bench_result_fact(r, key, "%s", text ? text : "unknown");
}

static void add_mitigations(struct bench_result *r)
{
	static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
	_cleanup_strbuf_ struct strbuf all = { 0 };
	DIR *dir = opendir(folder);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[400];
		_cleanup_free_ char *text = NULL;

		(void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		text = e->d_name[0] == '.' ? NULL : read_text(path);
		if (text && strcmp(text, "Not affected"))
			strbuf_printf(&all, "%s%s: %s", all.len ? "; " : "", e->d_name, text);
	}
	if (dir)
		(void)closedir(dir);
	bench_result_fact(r, "mitigations", "%s", all.len ? all.text : dir ? "none needed" : "unknown");
}

/* Jiffies of all processors: stolen ones, and all. */
static void read_steal(unsigned long long *ret_steal, unsigned long long *ret_all)
{
	_cleanup_free_ char *text = read_text("/proc/stat");
	unsigned long long v[8] = { 0 };

	*ret_steal = *ret_all = 0;
	if (!text || sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
			     &v[5], &v[6], &v[7]) != 8)
		return;
	*ret_steal = v[7];
	for (size_t i = 0; i < 8; i++)
		*ret_all += v[i];
}

void environment_begin(struct bench_result *r)
{
	_cleanup_free_ char *model = read_key("/proc/cpuinfo", "model name"),
			    *memory = read_key("/proc/meminfo", "MemTotal");
	unsigned long long steal, all;
	struct utsname u;

	(void)uname(&u); /* cannot fail */
	bench_result_fact(r, "kernel", "%s %s %s", u.sysname, u.release, u.machine);
	bench_result_fact(r, "processor", "%s, %ld online", model ? model : "unknown", sysconf(_SC_NPROCESSORS_ONLN));
	bench_result_fact(r, "memory", "%s", memory ? memory : "unknown");
	add_mitigations(r);
	add_file(r, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	add_file(r, "clock source", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	bench_result_fact(
		r, "page cache", "warm: not dropped, and warmed up by the rounds before the first that counts");
	add_file(r, "load before", "/proc/loadavg");
	read_steal(&steal, &all);
	bench_result_fact(r, "steal", "%llu of %llu jiffies before", steal, all);
}

void environment_end(struct bench_result *r)
{
	const char *before = bench_result_find_fact(r, "steal"), *load = bench_result_find_fact(r, "load before");
	unsigned long long steal, all, steal_before = 0, all_before = 0;
	double share;

	add_file(r, "load after", "/proc/loadavg");
	read_steal(&steal, &all);
	if (!before || sscanf(before, "%llu of %llu", &steal_before, &all_before) != 2 || all <= all_before)
		return;
	share = 100.0 * (double)(steal - steal_before) / (double)(all - all_before);
	bench_result_fact(r, "steal", "%.2f%% of the processors' time", share);
	if (share > 1)
		bench_result_note(r, "the hypervisor below took %.1f%% of this machine's time", share);
	if (load && strtod(load, NULL) > (double)sysconf(_SC_NPROCESSORS_ONLN) * 0.5)
		bench_result_note(r, "the machine was not idle: load %.4s at the beginning, on %ld processors", load,
				sysconf(_SC_NPROCESSORS_ONLN));
}
