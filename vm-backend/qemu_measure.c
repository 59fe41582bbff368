/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU's machines tell of themselves: the time of each vCPU's thread, which it names, and what its block layer
 * counts, by its monitor. It keeps no count of what its devices' queues carry, and of exits only KVM's own, which there
 * are none of where it emulates; its balloon does not say what it has given back.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "vm-backend/engine.h"
#include "vm-backend/measure.h"
#include "vm-backend/qmp.h"

#define ANSWER_NS UINT64_C(500000000)   /* the monitor's loop waits meanwhile */
enum { MAX_COMM = 64 };

/* "CPU 3/TCG" or "CPU 3/KVM": the number; -1: another thread. */
static long vcpu_of(int proc_fd, const char *thread)
{
	_cleanup_free_ char *path = xasprintf("task/%s/comm", thread), *comm = NULL;
	char *end;
	long n;

	if (file_read_at(proc_fd, path, MAX_COMM, &comm, NULL, NULL) < 0 || strncmp(comm, "CPU ", 4) ||
			!isdigit((unsigned char)comm[4]))
		return -1;
	n = strtol(comm + 4, &end, 10);
	return *end == '/' ? n : -1;
}

static void measure_vcpus(const struct vm_config *config, int proc_fd, struct machine_stats *ret)
{
	int fd = openat(proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir)
		return; /* the process is gone */
	ret->vcpus = xcalloc(config->vcpus, sizeof *ret->vcpus);
	ret->n_vcpus = config->vcpus;
	while ((e = readdir(dir))) {
		long n = isdigit((unsigned char)e->d_name[0]) ? vcpu_of(proc_fd, e->d_name) : -1;

		if (n >= 0 && (unsigned long)n < config->vcpus)
			ret->vcpus[n].cpu_us = measure_thread_us(proc_fd, strtoull(e->d_name, NULL, 10));
	}
	closedir(dir);
}

static uint64_t count_of(const struct json *j, const char *key)
{
	const struct json *value = json_get(j, key);

	uint64_t n;

	return value && json_uint(value, &n) ? n : 0;
}

/* The answer's list has the disks in their order, by the names that we gave them (engine_qemu.c). */
static int measure_disks(const struct vm_config *config, struct machine_stats *ret)
{
	_cleanup_json_ struct json *answer = NULL;
	struct error err;
	struct qmp q;
	int r = qmp_open(&q, config->control[0], ANSWER_NS, &err);

	if (r == 0)
		r = qmp_query(&q, "{\"execute\":\"query-blockstats\"}", -1, &answer, &err);
	qmp_close(&q);
	if (r < 0 || !answer)
		return -1;
	ret->disks = xcalloc(config->n_disks, sizeof *ret->disks);
	json_foreach(disk, json_get(answer, "return")) {
		const struct json *stats = json_get(disk, "stats");

		if (ret->n_disks == config->n_disks)
			break;
		ret->disks[ret->n_disks] = (struct machine_disk){
			xasprintf("vd%c", (char)('a' + ret->n_disks)),
			count_of(stats, "rd_operations"), count_of(stats, "wr_operations"),
			count_of(stats, "flush_operations"), count_of(stats, "rd_bytes"), count_of(stats, "wr_bytes"),
		};
		ret->n_disks++;
	}
	return 0;
}

void qemu_measure(const struct vm_config *config, int proc_fd, bool stopped, struct machine_stats *ret)
{
	static const char *const unknown[] = { "exits", "queues", "returned_bytes" };

	measure_vcpus(config, proc_fd, ret);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		strv_push(&ret->not_counted, xstrdup(unknown[i]));
	if (config->n_disks && (stopped || !config->control || measure_disks(config, ret) < 0))
		strv_push(&ret->not_counted, xstrdup("disks"));
}
