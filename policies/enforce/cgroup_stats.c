/* SPDX-License-Identifier: Apache-2.0 */
/* What a group's controllers count, and who is in it. What this kernel or layout does not count stays 0. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"

enum { MAX_LINES = 4096, MAX_PROCESSES = 1 << 20 };

/* A file of one hierarchy; NULL: not there. The caller's. */
static char *text_of(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, const char *file)
{
	char dir[CGROUP_DIR_MAX], *text = NULL;

	return cgroup_dir_in(host, path, h, dir) && cgroup_read(dir, file, &text) == 0 ? text : NULL;
}

static uint64_t number_of(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, const char *file)
{
	char dir[CGROUP_DIR_MAX];

	return cgroup_dir_in(host, path, h, dir) ? cgroup_read_u64(dir, file) : 0;
}

static uint64_t line_of(const struct cgroup_host *host, const char *path, enum cgroup_hierarchy h, const char *file,
		const char *key)
{
	_cleanup_free_ char *text = text_of(host, path, h, file);

	return text ? cgroup_find_u64(text, key) : 0;
}

/* v1 counts the sum to the nanosecond, but which part of it was the kernel's by clock ticks only. */
static void read_cpuacct(
	const struct cgroup_host *host, const char *path, uint64_t *ret_user_us, uint64_t *ret_system_us)
{
	uint64_t total = number_of(host, path, CGROUP_CPUACCT, "cpuacct.usage") / 1000;
	uint64_t user = total ? number_of(host, path, CGROUP_CPUACCT, "cpuacct.usage_user") : 0;
	uint64_t system = total ? number_of(host, path, CGROUP_CPUACCT, "cpuacct.usage_sys") : 0;

	*ret_system_us =
		user + system ? (uint64_t)((double)total * (double)system / ((double)user + (double)system)) : 0;
	*ret_user_us = total - *ret_system_us;
}

void cgroup_cpu(const struct cgroup_host *host, const char *path, struct cgroup_cpu *ret)
{
	_cleanup_free_ char *text = NULL;

	*ret = (struct cgroup_cpu){ 0 };
	if (host->layout != CGROUP_V2) {
		read_cpuacct(host, path, &ret->user_us, &ret->system_us);
		return;
	}
	text = text_of(host, path, CGROUP_CPU, "cpu.stat");
	ret->user_us = text ? cgroup_find_u64(text, "user_usec") : 0;
	ret->system_us = text ? cgroup_find_u64(text, "system_usec") : 0;
}

struct cgroup_cpu cgroup_cpu_without(struct cgroup_cpu all, struct cgroup_cpu part)
{
	return (struct cgroup_cpu){ all.user_us > part.user_us ? all.user_us - part.user_us : 0,
		all.system_us > part.system_us ? all.system_us - part.system_us : 0 };
}

static uint64_t throttled_us(const struct cgroup_host *host, const char *cpu_stat)
{
	return host->layout == CGROUP_V2 ? cgroup_find_u64(cpu_stat, "throttled_usec")
		: cgroup_find_u64(cpu_stat, "throttled_time") / 1000;
}

void cgroup_stats(const struct cgroup_host *host, const char *path, struct cgroup_stats *ret)
{
	_cleanup_free_ char *cpu_stat = text_of(host, path, CGROUP_CPU, "cpu.stat");

	*ret = (struct cgroup_stats){ 0 };
	cgroup_cpu(host, path, &ret->cpu);
	ret->cpu_throttled = cpu_stat ? cgroup_find_u64(cpu_stat, "nr_throttled") : 0;
	ret->cpu_throttled_us = cpu_stat ? throttled_us(host, cpu_stat) : 0;
	ret->pids_denied = line_of(host, path, CGROUP_PIDS, "pids.events", "max");
	if (host->layout == CGROUP_V2) {
		ret->peak_memory_bytes = number_of(host, path, CGROUP_MEMORY, "memory.peak");
		ret->oom_kills = line_of(host, path, CGROUP_MEMORY, "memory.events", "oom_kill");
		return;
	}
	ret->peak_memory_bytes = number_of(host, path, CGROUP_MEMORY, "memory.max_usage_in_bytes");
	ret->oom_kills = line_of(host, path, CGROUP_MEMORY, "memory.oom_control", "oom_kill");
}

static void measure_cpu(const struct cgroup_host *host, const char *path, struct stats *s)
{
	_cleanup_free_ char *text = text_of(host, path, CGROUP_CPU, "cpu.stat");
	bool v2 = host->layout == CGROUP_V2;

	if (text) {
		s->throttle_periods = cgroup_find_u64(text, "nr_periods");
		s->throttled_periods = cgroup_find_u64(text, "nr_throttled");
		s->throttled_us = throttled_us(host, text);
	}
	if (!v2) {
		read_cpuacct(host, path, &s->cpu_user_us, &s->cpu_system_us);
		s->cpu_us = s->cpu_user_us + s->cpu_system_us;
	} else if (text) {
		s->cpu_us = cgroup_find_u64(text, "usage_usec");
		s->cpu_user_us = cgroup_find_u64(text, "user_usec");
		s->cpu_system_us = cgroup_find_u64(text, "system_usec");
	}
}

static void read_pairs(const char *text, struct stats *s)
{
	for (const char *line = text; *line && s->n_memory < MAX_LINES;
		line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, " \n");

		if (line[len] != ' ' || len == 0)
			continue;
		s->memory = xreallocarray(s->memory, s->n_memory + 1, sizeof *s->memory);
		s->memory[s->n_memory++] = (struct stats_pair){ xstrndup(line, len), strtoull(line + len, NULL, 10) };
	}
}

/* v1's word for "no limit" is the largest number of whole pages. */
static uint64_t limit_v1(uint64_t value)
{
	return value >= INT64_MAX / 65536 * 65536 ? UINT64_MAX : value;
}

static void measure_memory(const struct cgroup_host *host, const char *path, struct stats *s)
{
	_cleanup_free_ char *text = text_of(host, path, CGROUP_MEMORY, "memory.stat");
	bool v2 = host->layout == CGROUP_V2;

	if (!text)
		return;
	read_pairs(text, s);
	s->memory_bytes = number_of(host, path, CGROUP_MEMORY, v2 ? "memory.current" : "memory.usage_in_bytes");
	s->memory_peak_bytes = number_of(host, path, CGROUP_MEMORY, v2 ? "memory.peak" : "memory.max_usage_in_bytes");
	s->memory_limit_bytes =
		limit_v1(number_of(host, path, CGROUP_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes"));
	s->swap_bytes =
		number_of(host, path, CGROUP_MEMORY, v2 ? "memory.swap.current" : "memory.memsw.usage_in_bytes");
	s->swap_limit_bytes = limit_v1(number_of(host, path, CGROUP_MEMORY, v2 ? "memory.swap.max" :
			"memory.memsw.limit_in_bytes"));
	s->memory_failures = v2 ? line_of(host, path, CGROUP_MEMORY, "memory.events", "max") :
			number_of(host, path, CGROUP_MEMORY, "memory.failcnt");
	s->memory_cache_bytes = cgroup_find_u64(text, v2 ? "file" : "total_cache");
	s->oom_kills = line_of(host, path, CGROUP_MEMORY, v2 ? "memory.events" : "memory.oom_control", "oom_kill");
}

static struct stats_io *io_of(struct stats *s, unsigned major, unsigned minor, const char *operation)
{
	for (size_t i = 0; i < s->n_io; i++)
		if (s->io[i].major == major && s->io[i].minor == minor && !strcmp(s->io[i].operation, operation))
			return &s->io[i];
	if (s->n_io >= MAX_LINES)
		return NULL;
	s->io = xreallocarray(s->io, s->n_io + 1, sizeof *s->io);
	s->io[s->n_io] = (struct stats_io){ major, minor, xstrdup(operation), 0, 0 };
	return &s->io[s->n_io++];
}

/* "8:0 Read 4096". Returns whether there was any. */
static bool read_io_v1(struct stats *s, const char *text, bool bytes)
{
	bool any = false;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned major, minor;
		char word[16];
		unsigned long long value;
		struct stats_io *io;

		if (sscanf(line, "%u:%u %15s %llu", &major, &minor, word, &value) != 4 ||
				(strcmp(word, "Read") && strcmp(word, "Write")))
			continue;
		io = io_of(s, major, minor, word[0] == 'R' ? "read" : "write");
		if (io)
			*(bytes ? &io->bytes : &io->operations) = value;
		any = true;
	}
	return any;
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
static void read_io_v2(struct stats *s, const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned long long rbytes, wbytes, rios, wios;
		unsigned major, minor;
		struct stats_io *io;

		if (sscanf(line, "%u:%u rbytes=%llu wbytes=%llu rios=%llu wios=%llu", &major, &minor, &rbytes, &wbytes,
				&rios, &wios) != 6)
			continue;
		if ((io = io_of(s, major, minor, "read")))
			*io = (struct stats_io){ major, minor, io->operation, rbytes, rios };
		if ((io = io_of(s, major, minor, "write")))
			*io = (struct stats_io){ major, minor, io->operation, wbytes, wios };
	}
}

/* Which of the two counts depends on the devices' schedulers. */
static void measure_io(const struct cgroup_host *host, const char *path, struct stats *s)
{
	static const char *const files[][2] = {
		{ "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive" },
		{ "blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive" },
		{ "blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive" },
	};

	if (host->layout == CGROUP_V2) {
		_cleanup_free_ char *text = text_of(host, path, CGROUP_BLKIO, "io.stat");

		if (text)
			read_io_v2(s, text);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_cleanup_free_ char *bytes = text_of(host, path, CGROUP_BLKIO, files[i][0]);
		_cleanup_free_ char *operations = bytes ? text_of(host, path, CGROUP_BLKIO, files[i][1]) : NULL;

		if (operations && read_io_v1(s, bytes, true) && read_io_v1(s, operations, false))
			return;
	}
}

static void measure_hugepages(const struct cgroup_host *host, const char *path, struct stats *s)
{
	bool v2 = host->layout == CGROUP_V2;
	DIR *d = opendir("/sys/kernel/mm/hugepages");
	struct dirent *e;

	while (d && (e = readdir(d))) { /* hugepages-2048kB */
		unsigned long long kb;
		char size[24], file[64];
		_cleanup_free_ char *usage = NULL, *events = NULL;
		struct stats_hugepages *h;

		if (sscanf(e->d_name, "hugepages-%llukB", &kb) != 1)
			continue;
		/* They fit. */
		(void)snprintf(size, sizeof size, kb >= 1 << 20 ? "%lluGB" : kb >= 1 << 10 ? "%lluMB" : "%lluKB",
				kb >= 1 << 20 ? kb >> 20 : kb >= 1 << 10 ? kb >> 10 : kb);
		(void)snprintf(file, sizeof file, "hugetlb.%s.%s", size, v2 ? "current" : "usage_in_bytes");
		usage = text_of(host, path, CGROUP_HUGETLB, file);
		if (!usage)
			continue;
		s->hugepages = xreallocarray(s->hugepages, s->n_hugepages + 1, sizeof *s->hugepages);
		h = &s->hugepages[s->n_hugepages++];
		*h = (struct stats_hugepages){ .page_size = xstrdup(size), .usage_bytes = strtoull(usage, NULL, 10) };
		(void)snprintf(file, sizeof file, "hugetlb.%s.%s", size, v2 ? "events" : "max_usage_in_bytes");
		if (!v2)
			h->max_bytes = number_of(host, path, CGROUP_HUGETLB, file);
		else
			h->failures = line_of(host, path, CGROUP_HUGETLB, file, "max");
		(void)snprintf(file, sizeof file, "hugetlb.%s.failcnt", size);
		if (!v2)
			h->failures = number_of(host, path, CGROUP_HUGETLB, file);
	}
	if (d)
		(void)closedir(d);
}

int cgroup_measure(const struct cgroup_host *host, const char *path, struct stats *ret, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	struct stats s = { 0 };

	if (cgroup_first_dir(host, path, dir) < 0)
		return error_set(err, ENOENT, "control group %s: there is none", path);
	measure_cpu(host, path, &s);
	measure_memory(host, path, &s);
	s.pids = number_of(host, path, CGROUP_PIDS, "pids.current");
	s.pids_limit = number_of(host, path, CGROUP_PIDS, "pids.max");
	if (s.pids_limit == UINT64_MAX)
		s.pids_limit = 0;
	measure_io(host, path, &s);
	measure_hugepages(host, path, &s);
	*ret = s;
	return 0;
}

struct list {
	pid_t *pids;
	size_t n;
};

static int collect(pid_t pid, void *arg)
{
	struct list *l = arg;

	if (l->n >= MAX_PROCESSES)
		return -E2BIG;
	if (l->n % 64 == 0)
		l->pids = xreallocarray(l->pids, l->n + 64, sizeof *l->pids);
	l->pids[l->n++] = pid;
	return 0;
}

int cgroup_processes(const struct cgroup_host *host, const char *path, pid_t **ret, size_t *ret_n, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	struct list l = { 0 };
	int r;

	if (cgroup_first_dir(host, path, dir) < 0)
		return error_set(err, ENOENT, "control group %s: there is none", path);
	r = cgroup_each_process(dir, collect, &l);
	if (r < 0) {
		free(l.pids);
		return error_set(err, -r, "control group %s: cannot list its processes: %s", path, strerror(-r));
	}
	*ret = l.pids;
	*ret_n = l.n;
	return 0;
}
