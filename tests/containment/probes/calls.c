/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that open much of the kernel, or the whole machine, and other doors to it. Calls that could do harm get
 * arguments that are refused, but only behind the check of permission: that errno means "permitted".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

static struct result bpf(const struct settings *settings)
{
	union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
		.max_entries = 1 };

	return verdict(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)), 0, "BPF_MAP_CREATE");
}

static struct result perf_events(const struct settings *settings)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes),
		.config = PERF_COUNT_SW_CPU_CLOCK };

	return verdict(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0), 0, "perf_event_open");
}

static struct result user_page_faults(const struct settings *settings)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return allowed("/dev/userfaultfd");
	return verdict(syscall(SYS_userfaultfd, O_CLOEXEC), 0, "userfaultfd");
}

static struct result io_uring(const struct settings *settings)
{
	struct io_uring_params parameters = { 0 };

	return verdict(syscall(SYS_io_uring_setup, 4, &parameters), 0, "io_uring_setup");
}

static struct result load_module(const struct settings *settings)
{
	static const char not_elf[64];

	return verdict(syscall(SYS_init_module, not_elf, sizeof(not_elf), ""), ENOEXEC, "init_module");
}

static struct result kexec(const struct settings *settings)
{
	return verdict(syscall(SYS_kexec_load, 0, 0, NULL, 0xff00UL), EINVAL, "kexec_load");
}

static struct result restart_machine(const struct settings *settings)
{
	return verdict(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL, "reboot");
}

static struct result swap_on(const struct settings *settings)
{
	return verdict(swapon("/no-such-swap", 0), ENOENT, "swapon");
}

static struct result ports(const struct settings *settings)
{
	return verdict(iopl(3), 0, "iopl");
}

/* The length of a tick, set to what it is. */
static struct result set_clock(const struct settings *settings)
{
	struct timex clock = { 0 };

	if (adjtimex(&clock) < 0)
		return blocked(errno, "adjtimex");
	clock.modes = ADJ_TICK;
	return verdict(adjtimex(&clock), 0, "adjtimex(ADJ_TICK)");
}

static struct result set_host_name(const struct settings *settings)
{
	char name[65] = "";

	(void)gethostname(name, sizeof(name) - 1);
	if (!settings->timid)
		(void)snprintf(name, sizeof(name), "%.40s", settings->token);
	return verdict(sethostname(name, strlen(name)), 0, "sethostname");
}

/* ---- calls past the filter ---- */

/* getpid by 32-bit conventions: another table, in which other numbers are dangerous. */
static struct result enter_i386(const struct settings *settings)
{
#ifdef __x86_64__
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	if (ret == getpid())
		return allowed("getpid by int 0x80");
	return blocked(ret < 0 ? (int)-ret : 0, "getpid by int 0x80");
#else
	return not_run("not an x86-64");
#endif
}

static struct result enter_x32(const struct settings *settings)
{
#ifdef __x86_64__
	return verdict(syscall(0x40000000L | SYS_getpid), 0, "getpid by its x32 number");
#else
	return not_run("not an x86-64");
#endif
}

const struct probe call_probes[] = {
	{ "bpf", bpf, 0 },
	{ "perf-events", perf_events, 0 },
	{ "user-page-faults", user_page_faults, 0 },
	{ "io-uring", io_uring, 0 },
	{ "load-module", load_module, 0 },
	{ "kexec", kexec, 0 },
	{ "restart-machine", restart_machine, 0 },
	{ "swap-on", swap_on, 0 },
	{ "ports", ports, 0 },
	{ "set-clock", set_clock, 0 },
	{ "set-host-name", set_host_name, 0 },
	{ "enter-i386", enter_i386, 0 },
	{ "enter-x32", enter_x32, 0 },
	{ NULL, NULL, 0 },
};
