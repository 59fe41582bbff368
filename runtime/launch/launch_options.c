/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that describe a workload, and what their values may be. `launch`, `plan`, `compare` and `sandbox` take
 * rows of them; prepare.c makes the plan of what they say.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policies/units.h"
#include "runtime/base/alloc.h"
#include "runtime/launch/prepare.h"

enum { MAX_VCPUS = 64 };

static int parse_cpus(const char *text, void *target, struct error *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0.01) || value > MAX_VCPUS)
		return error_set(err, EINVAL, "%s: expected a number of processors, 0.01 to %d", text, MAX_VCPUS);
	*(double *)target = value;
	return 0;
}

static int parse_size(const char *text, void *target, struct error *err)
{
	if (size_parse(text, target) < 0 || *(uint64_t *)target == 0)
		return error_set(err, EINVAL, "%s: expected a size such as 64m or 1.5g", text);
	return 0;
}

static int parse_duration(const char *text, void *target, struct error *err)
{
	if (duration_parse_us(text, target) < 0 || *(uint64_t *)target == 0)
		return error_set(err, EINVAL, "%s: expected a time with its unit, such as 500ms, 10s or 5m", text);
	return 0;
}

static int parse_pids(const char *text, void *target, struct error *err)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || value == 0 || value > 4194304)
		return error_set(err, EINVAL, "%s: expected a number of processes, 1 to 4194304", text);
	*(uint64_t *)target = value;
	return 0;
}

static int parse_count(const char *text, void *target, struct error *err)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || value < 3 || value > 1UL << 40)
		return error_set(err, EINVAL, "%s: expected a number of at least 3", text);
	*(uint64_t *)target = value;
	return 0;
}

void launch_option_rows(struct launch_options *o, struct option_row rows[LAUNCH_ROWS])
{
	const struct option_row table[] = {
		{ 0, "vm", OPTION_FLAG, &o->vm, NULL, "run in a microVM with a kernel of its own", NULL },
		{ 0, "backend", OPTION_STRING, &o->backend, "NAME", "the shell: container (default) or vm", NULL },
		{ 0, "policy", OPTION_STRING, &o->policy, "P", "a policy by name or file (default)", NULL },
		{ 'm', "memory", OPTION_PARSED, &o->memory_bytes, "SIZE", "memory limit: 64m, 2g", parse_size },
		{ 0, "cpus", OPTION_PARSED, &o->cpus, "N", "processors, also a fraction: 1.5", parse_cpus },
		{ 0, "pids-limit", OPTION_PARSED, &o->pids, "N", "processes and threads at once", parse_pids },
		{ 0, "upper-size", OPTION_PARSED, &o->upper_bytes, "SIZE",
			"room for what it writes to its root, in memory", parse_size },
		{ 0, "disk", OPTION_PARSED, &o->disk_bytes, "SIZE", "the same on a disk of its own", parse_size },
		{ 0, "disk-inodes", OPTION_PARSED, &o->upper_inodes, "N", "files and folders that it may make there",
			parse_count },
		{ 0, "cpu-time", OPTION_PARSED, &o->cpu_time_us, "TIME", "end it after so much CPU time (status 124)",
			parse_duration },
		{ 0, "output-limit", OPTION_PARSED, &o->output_bytes, "SIZE",
			"end it after so much output (status 137)", parse_size },
		{ 0, "fsize", OPTION_PARSED, &o->file_bytes, "SIZE", "no file may become larger", parse_size },
		{ 0, "nofile", OPTION_PARSED, &o->open_files, "N", "open files of a process", parse_count },
		{ 0, "best-effort", OPTION_FLAG, &o->best_effort, NULL,
			"go on without limits that this host cannot bind; the report names them", NULL },
		{ 0, "read-only", OPTION_FLAG, &o->read_only, NULL, "the root file system cannot be written", NULL },
		{ 'v', "volume", OPTION_LIST, &o->volumes, "SRC:DST[:ro]", "show a folder or file of the host",
			NULL },
		{ 0, "tmpfs", OPTION_LIST, &o->tmpfs, "DST[:OPTS]", "an empty file system in memory", NULL },
		{ 'e', "env", OPTION_LIST, &o->env, "K=V", "set a variable; K alone copies ours", NULL },
		{ 'w', "workdir", OPTION_STRING, &o->workdir, "DIR", "working directory", NULL },
		{ 'u', "user", OPTION_STRING, &o->user, "USER[:GROUP]", "by name or number, as the image knows them",
			NULL },
		{ 'i', "interactive", OPTION_FLAG, &o->interactive, NULL, "pass on standard input (else it is empty)",
			NULL },
		{ 't', "tty", OPTION_FLAG, &o->terminal, NULL, "give it a terminal", NULL },
		{ 0, "name", OPTION_STRING, &o->name, "ID", "name of the instance (random)", NULL },
		{ 'h', "hostname", OPTION_STRING, &o->hostname, "NAME", "its host name (the instance's)", NULL },
		{ 0, "entrypoint", OPTION_STRING, &o->entrypoint, "PROGRAM", "instead of the image's", NULL },
		{ 0, "net", OPTION_STRING, &o->network, "none|user|host", "network (none: loopback only)", NULL },
		{ 0, "no-init", OPTION_FLAG, &o->init_off, NULL,
			"the command itself is process 1, without our reaper", NULL },
		{ 'p', "publish", OPTION_LIST, &o->ports, "[IP:]HOST:GUEST[/udp]",
			"pass a port of the host on into it; with --net user", NULL },
		{ 0, "timeout", OPTION_PARSED, &o->timeout_us, "TIME", "end it after: 500ms, 10s, 5m (status 124)",
			parse_duration },
		{ 0, "engine", OPTION_STRING, &o->engine, "auto|kvm|qemu", "what runs the microVM (auto)", NULL },
		{ 0, "start", OPTION_STRING, &o->start, "auto|cold|warm", "use a template if one fits (auto)", NULL },
		{ 0, "from", OPTION_STRING, &o->from, "FILE", "go on from a saved microVM (snapshot save)", NULL },
		{ 0, "kernel", OPTION_STRING, &o->kernel, "NAME", "guest kernel (the preferred one)", NULL },
		{ 0, "report", OPTION_STRING, &o->report, "FILE", "write a JSON report; - is standard output", NULL },
		{ 0, "meta", OPTION_STRING, &o->meta, "FILE",
			"write key:value lines as isolate does; - is standard output", NULL },
		{ 0, "audit", OPTION_STRING, &o->audit, "FILE",
			"write each denial, a line of JSON; - is standard error", NULL },
		{ 0, NULL, OPTION_FLAG, NULL, NULL, NULL, NULL },
	};
	_Static_assert(ARRAY_LEN(table) <= LAUNCH_ROWS, "LAUNCH_ROWS");

	memcpy(rows, table, sizeof table);
}

void launch_options_release(struct launch_options *o)
{
	strv_free(o->volumes);
	strv_free(o->env);
	strv_free(o->tmpfs);
	strv_free(o->ro_paths);
	strv_free(o->rw_paths);
	strv_free(o->ports);
	*o = (struct launch_options){ 0 };
}
