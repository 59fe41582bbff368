/* SPDX-License-Identifier: Apache-2.0 */
/* Files by which the kernel is told things, or tells: /proc/sys, sysfs, cgroup. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

/* Writes to a file that exists. Timid: opens it for writing only. */
static struct result write_to(const struct settings *settings, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return blocked(errno, "%s", path);
	if (settings->timid) {
		close(fd);
		return allowed("%s opens for writing", path);
	}
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : n;
	close(fd);
	return n < 0 ? blocked((int)-n, "%s: writing", path) : allowed("%s written", path);
}

/* A program's name that does not exist, for what the kernel starts by itself. */
static struct result write_program(const struct settings *settings, const char *path, const char *prefix)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%s/%s", prefix, settings->token);
	return write_to(settings, path, text);
}

static struct result core_pattern(const struct settings *settings)
{
	return write_program(settings, "/proc/sys/kernel/core_pattern", "|");
}

static struct result modprobe_path(const struct settings *settings)
{
	return write_program(settings, "/proc/sys/kernel/modprobe", "");
}

static struct result uevent_helper(const struct settings *settings)
{
	return write_program(settings, "/sys/kernel/uevent_helper", "");
}

/* 'h' prints a line of help to the kernel's log. */
static struct result sysrq(const struct settings *settings)
{
	return write_to(settings, "/proc/sysrq-trigger", "h");
}

static struct result sysctl(const struct settings *settings)
{
	return write_to(settings, "/proc/sys/vm/overcommit_ratio", "51");
}

static struct result binfmt_misc(const struct settings *settings)
{
	char text[256];
	struct result result;

	(void)snprintf(text, sizeof(text), ":%s:M::\\x7f%.8s::/%s:", settings->token, settings->token, settings->token);
	result = write_to(settings, "/proc/sys/fs/binfmt_misc/register", text);
	if (result.outcome != OUTCOME_BLOCKED)
		return result;
	if (mounts_apart(settings) < 0)
		return blocked(errno, "a mount namespace");
	if (mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc", 0, NULL) < 0)
		return blocked(errno, "not mounted here, and mounting it");
	result = write_to(settings, "/proc/sys/fs/binfmt_misc/register", text);
	(void)umount2("/proc/sys/fs/binfmt_misc", MNT_DETACH); /* nothing depends on it */
	return result;
}

/* A release agent of any hierarchy that is here or can be mounted: the host runs it as root. */
static struct result release_agent(const struct settings *settings)
{
	static const char *const controllers[] = { "memory", "rdma", "misc", "pids" };
	struct result result = blocked(ENOENT, "no hierarchy of version 1 here");
	DIR *dir = opendir("/sys/fs/cgroup");
	struct dirent *entry;
	char path[400];

	while (dir && (entry = readdir(dir))) {
		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/release_agent", entry->d_name);
		if (access(path, F_OK) == 0)
			result = write_program(settings, path, "");
		if (result.outcome == OUTCOME_ALLOWED)
			break;
	}
	if (dir)
		closedir(dir);
	if (result.outcome == OUTCOME_ALLOWED)
		return result;
	if (mounts_apart(settings) < 0)
		return blocked(errno, "a mount namespace");
	for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers); i++) {
		if (mount("cgroup", "/dev/shm", "cgroup", 0, controllers[i]) < 0) {
			result = blocked(errno, "mounting the hierarchy of %s", controllers[i]);
			continue;
		}
		result = write_program(settings, "/dev/shm/release_agent", "");
		(void)umount2("/dev/shm", MNT_DETACH);
		if (result.outcome == OUTCOME_ALLOWED)
			break;
	}
	return result;
}

static struct result raise_cgroup_limits(const struct settings *settings)
{
	static const char *const files[][2] = {
		{ "/sys/fs/cgroup/memory.max", "max" }, { "/sys/fs/cgroup/pids.max", "max" },
		{ "/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1" }, { "/sys/fs/cgroup/pids/pids.max", "max" },
	};
	struct result result = blocked(ENOENT, "no cgroup file system here");

	for (size_t i = 0; i < sizeof(files) / sizeof(*files) && result.outcome == OUTCOME_BLOCKED; i++)
		if (access(files[i][0], F_OK) == 0)
			result = write_to(settings, files[i][0], files[i][1]);
	return result;
}

/* Its content is seen. A masked file opens, and is empty. */
static struct result content(const char *path)
{
	char text[512];
	ssize_t n = read_text(path, text, sizeof(text));

	if (n < 0)
		return blocked((int)-n, "%s", path);
	return n == 0 ? blocked(0, "%s is empty", path) : allowed("%s is read", path);
}

static struct result kcore(const struct settings *settings)
{
	return content("/proc/kcore");
}

static struct result kallsyms(const struct settings *settings)
{
	char text[512];
	ssize_t n = read_text("/proc/kallsyms", text, sizeof(text));

	if (n > 0 && strspn(text, "0") == 16)
		return blocked(0, "/proc/kallsyms has no addresses");
	return content("/proc/kallsyms");
}

/* Settings of devices and of the kernel's parts; nothing is written. */
static struct result sysfs(const struct settings *settings)
{
	static const char *const paths[] = {
		"/sys/kernel/mm/ksm/run", "/sys/kernel/mm/transparent_hugepage/enabled",
		"/sys/devices/system/cpu/cpu0/uevent", "/sys/devices/system/cpu/cpu1/online", "/sys/class/net/lo/mtu",
		"/sys/power/state", "/sys/bus/platform/uevent", "/sys/module/printk/parameters/time",
	};
	int error = ENOENT;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		int fd = open(paths[i], O_WRONLY | O_CLOEXEC);

		if (fd >= 0) {
			close(fd);
			return allowed("%s opens for writing", paths[i]);
		}
		error = errno == ENOENT ? error : errno;
	}
	return blocked(error, "%zu files of /sys, for writing", sizeof(paths) / sizeof(*paths));
}

/* What tells about the machine, its other users or the kernel's layout. */
static struct result kernel_information(const struct settings *settings)
{
	static const char *const paths[] = {
		"/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/acpi/wakeup",
		"/proc/scsi/scsi", "/proc/slabinfo", "/proc/modules", "/proc/interrupts",
		"/sys/firmware/memmap/0/start", "/sys/kernel/notes", "/sys/kernel/debug/sched/debug",
		"/sys/module/kernel/sections/.text",
	};
	char text[64], seen[100] = "";
	int error = 0;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		ssize_t n = read_text(paths[i], text, sizeof(text));

		if (n < 0 && n != -ENOENT)
			error = (int)-n;
		if (n > 0 && strlen(seen) + strlen(paths[i]) + 2 < sizeof(seen))
			(void)sprintf(seen + strlen(seen), " %s", paths[i]);
	}
	return *seen ? allowed("read:%s", seen) : blocked(error, "%zu such files", sizeof(paths) / sizeof(*paths));
}

static struct result kmsg(const struct settings *settings)
{
	static const char *const paths[] = { "/dev/kmsg", "/proc/kmsg" };
	char text[512];

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (read_text(paths[i], text, sizeof(text)) > 0)
			return allowed("%s is read", paths[i]);
	return verdict(klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text)), 0, "syslog");
}

const struct probe kernel_file_probes[] = {
	{ "core-pattern", core_pattern, 0 },
	{ "modprobe-path", modprobe_path, 0 },
	{ "uevent-helper", uevent_helper, 0 },
	{ "sysrq", sysrq, 0 },
	{ "sysctl", sysctl, 0 },
	{ "sysfs", sysfs, 0 },
	{ "binfmt-misc", binfmt_misc, 0 },
	{ "release-agent", release_agent, 0 },
	{ "raise-cgroup-limits", raise_cgroup_limits, 0 },
	{ "kcore", kcore, 0 },
	{ "kallsyms", kallsyms, 0 },
	{ "kmsg", kmsg, 0 },
	{ "kernel-information", kernel_information, 0 },
	{ NULL, NULL, 0 },
};
