/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fallback engine: QEMU's microvm machine, emulated where there is no usable KVM. Same kernel, initramfs, disks and
 * agent channel as our own VMM.
 *
 * The child becomes QEMU with these descriptors: 0 /dev/null, 1 and 2 the log, 3 the log for the serial port, 4 the
 * agent's socket, 5 virtiofsd's if there are shares (qemu_shares.h), 6 its monitor's socket, 7 a saved state
 * (qemu_state.h), 8 passt's if there is a network, 9 and up the disks that are copies. It opens kernel, initramfs and
 * other disks by path, from a jail of files (qemu_jail.h), and its own seccomp
 * filter forbids it to fork, exec and gain privileges. Unlike our VMM it keeps its user.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/json.h"
#include "vm-backend/agent_protocol.h"
#include "vm-backend/arch/x86_64/arch.h"
#include "vm-backend/boot.h"
#include "vm-backend/engine.h"
#include "vm-backend/kernel/kernel.h"
#include "vm-backend/measure.h"
#include "vm-backend/qemu_jail.h"
#include "vm-backend/qemu_shares.h"
#include "vm-backend/qemu_state.h"
#include "vm-backend/shares.h"
#include "vm-backend/virtio/net.h"

#define PROGRAM "qemu-system-x86_64"

/* The emulator's local APIC counts nanoseconds. Only our guest kernel knows the word (vm-backend/kernel/patches). */
#define EMULATED_LAPIC " lapic_timer_khz=1000000"

enum {
	LOG_FD = 3,
	AGENT_FD = 4,
	SHARES_FD = 5,
	CONTROL_FD = 6,
	NETWORK_FD = 8,
	DISK_FD = 9,             /* and as many as there may be disks */
	FIRST_OTHER_FD = DISK_FD + VM_MAX_DISKS,
	SAFE_FD = 64,
	TRANSLATION_MIB = 64,
	CALIBRATE_NS = 2000000,
	DISK_SET = 2,            /* the set of descriptors of the first disk */
};
_Static_assert((int)QEMU_STATE_FD + 1 == (int)NETWORK_FD, "the descriptors of the program");

/* The program's path (owned by the caller), looked up in PATH and where distributions put it; NULL: not there. */
char *qemu_find_program(void)
{
	const char *path = getenv("PATH");
	_cleanup_free_ char *folders = xasprintf("%s:/usr/bin:/usr/local/bin:/usr/libexec", path ? path : "");
	char *rest = folders, *folder;

	while ((folder = strsep(&rest, ":"))) {
		_cleanup_free_ char *program = xasprintf("%s/" PROGRAM, folder);

		if (*folder == '/' && access(program, X_OK) == 0)
			return steal_ptr(program);
	}
	return NULL;
}

bool qemu_accelerated(void)
{
	char reason[160];

	return engine_kvm.probe(reason, sizeof reason) == 1;
}

static int qemu_probe(char *reason, size_t size)
{
	_cleanup_free_ char *program = qemu_find_program();
	bool accelerated = qemu_accelerated();

	if (!program)
		(void)snprintf(reason, size, "no " PROGRAM " in PATH"); /* here and below: a cut reason is still one */
	else
		(void)snprintf(reason, size, "%s with %s", program, accelerated ? "KVM" : "emulation (TCG)");
	return program ? 1 : 0;
}

/* An emulated guest's TSC is the host's: told its rate, the kernel need not measure it, and its clock is right. */
static uint64_t measure_tsc_khz(void)
{
	uint64_t t0 = clock_now_ns(), c0 = __builtin_ia32_rdtsc(), t1, c1;

	do {
		t1 = clock_now_ns();
		c1 = __builtin_ia32_rdtsc();
	} while (t1 - t0 < CALIBRATE_NS);
	return (c1 - c0) * 1000000 / (t1 - t0);
}

static void add(char ***argv, const char *option, char *owned_value)
{
	strv_push(argv, xstrdup(option));
	if (owned_value)
		strv_push(argv, owned_value);
}

static bool has_rates(const struct vm_disk *disk)
{
	for (size_t i = 0; i < VM_RATES; i++)
		if (disk->rates[i])
			return true;
	return false;
}

/* JSON, since a path may hold what QEMU's own option syntax takes for its own. */
static char *describe_disk(size_t i, const struct vm_disk *disk)
{
	struct json_writer *w = json_writer_new(true);
	char name[32], copy[32];

	(void)snprintf(name, sizeof name, "disk%zu", i); /* always fits, like the next */
	(void)snprintf(copy, sizeof copy, "/dev/fdset/%zu", DISK_SET + i);
	json_begin_object(w, NULL);
	if (has_rates(disk)) {
		json_put_string(w, "driver", "throttle");
		json_put_string(w, "node-name", name);
		json_put_string(w, "throttle-group", name);
		json_put_bool(w, "read-only", disk->read_only);
		if (!disk->read_only)
			json_put_string(w, "discard", "unmap");
		json_begin_object(w, "file");
	}
	json_put_string(w, "driver", "raw");
	if (!has_rates(disk))
		json_put_string(w, "node-name", name);
	json_put_bool(w, "read-only", disk->read_only);
	if (!disk->read_only)
		json_put_string(w, "discard", "unmap");
	json_begin_object(w, "file");
	json_put_string(w, "driver", "file");
	json_put_string(w, "filename", disk->copied ? copy : disk->path);
	json_put_string(w, "locking", disk->read_only || disk->copied ? "off" : "on");
	json_put_bool(w, "read-only", disk->read_only);
	json_end(w);
	if (has_rates(disk))
		json_end(w);
	json_end(w);
	return json_writer_finish(w, NULL);
}

static char *describe_rates(size_t i, const struct vm_disk *disk)
{
	static const char *const names[VM_RATES] = { "bps-read", "bps-write", "iops-read", "iops-write" };
	struct json_writer *w = json_writer_new(true);
	char name[32];

	(void)snprintf(name, sizeof name, "disk%zu", i); /* always fits */
	json_begin_object(w, NULL);
	json_put_string(w, "qom-type", "throttle-group");
	json_put_string(w, "id", name);
	json_begin_object(w, "limits");
	for (size_t j = 0; j < VM_RATES; j++)
		if (disk->rates[j])
			json_put_uint(w, names[j], disk->rates[j]);
	json_end(w);
	json_end(w);
	return json_writer_finish(w, NULL);
}

static const char *ram_file(const struct vm_config *config)
{
	return config->restore ? config->restore->ram_path : config->ram_path;
}

/*
 * Without a slot by name QEMU chooses, and the guest finds disks in the order in which they are added (the lowest slots
 * by name get no interrupts with ACPI).
 */
static void add_devices(char ***argv, const struct vm_config *config)
{
	add(argv, "-object", xstrdup("rng-builtin,id=rng"));
	add(argv, "-device", xstrdup("virtio-rng-device,rng=rng"));
	add(argv, "-chardev", xasprintf("socket,id=agent,fd=%d", AGENT_FD));
	add(argv, "-device", xstrdup("virtio-serial-device,max_ports=2"));
	add(argv, "-device", xstrdup("virtserialport,chardev=agent,name=" AGENT_PORT_NAME));
	for (size_t i = 0; i < config->n_disks; i++) {
		if (config->disks[i].copied)
			add(argv, "-add-fd", xasprintf("fd=%zu,set=%zu", DISK_FD + i, DISK_SET + i));
		if (has_rates(&config->disks[i]))
			add(argv, "-object", describe_rates(i, &config->disks[i]));
		add(argv, "-blockdev", describe_disk(i, &config->disks[i]));
		add(argv, "-device", xasprintf("virtio-blk-device,drive=disk%zu", i));
	}
	if (config->n_shares) { /* after the disks, whose order counts */
		add(argv, "-chardev", xasprintf("socket,id=shares,fd=%d", SHARES_FD));
		add(argv, "-device", xstrdup("vhost-user-fs-device,chardev=shares,tag=" SHARES_TAG));
	}
	if (config->network_fd >= 0) {
		const uint8_t *m = config->mac;

		add(argv, "-netdev", xasprintf("stream,id=net,server=off,addr.type=fd,addr.str=%d", NETWORK_FD));
		add(argv, "-device", xasprintf("virtio-net-device,netdev=net,host_mtu=%d,"
				"mac=%02x:%02x:%02x:%02x:%02x:%02x",
				NET_MTU, m[0], m[1], m[2], m[3], m[4], m[5]));
	}
	/*
	 * What the guest reports as free QEMU also punches out of the file behind its memory, private or not: it would
	 * take it from a template and all who go on from it. So a machine with such a file is not told. It has the
	 * device all the same: a state saved of either kind then fits the other.
	 */
	add(argv, "-device", xasprintf("virtio-balloon-device,free-page-reporting=%s",
			ram_file(config) ? "off" : "on"));
	if (config->log_fd >= 0) {
		add(argv, "-add-fd", xasprintf("fd=%d,set=1", LOG_FD));
		add(argv, "-chardev", xstrdup("file,id=log,path=/dev/fdset/1,append=on"));
	} else {
		add(argv, "-chardev", xstrdup("null,id=log"));
	}
	add(argv, "-serial", xstrdup("chardev:log"));
}

/*
 * The guest's memory. With shares virtiofsd reads and writes it itself. A file is shared while it is filled, and
 * private to everybody who goes on from it. The name is part of a saved state.
 */
static char *describe_ram(const struct vm_config *config)
{
	const char *path = ram_file(config);
	struct json_writer *w = json_writer_new(true);

	json_begin_object(w, NULL);
	json_put_string(w, "qom-type", path ? "memory-backend-file" : config->n_shares ? "memory-backend-memfd"
			: "memory-backend-ram");
	json_put_string(w, "id", "ram");
	json_put_uint(w, "size", config->memory_bytes);
	if (path)
		json_put_string(w, "mem-path", path);
	json_put_bool(w, "share", path ? !config->restore : config->n_shares > 0);
	if (!path) /* taken page by page, as by engine kvm: a machine may be larger than what the host has free */
		json_put_bool(w, "reserve", false);
	json_end(w);
	return json_writer_finish(w, NULL);
}

/* QEMU adds the words that list the devices itself when there is no ACPI. */
static char *command_line(const struct vm_config *config, bool accelerated, bool acpi)
{
	const char *console = !acpi && boot_has_word(config->command_line, "quiet") ? ARCH_QUIET_CONSOLE
			: " 8250.nr_uarts=1 console=ttyS0";
	const char *waits = "tsc=reliable no_timer_check random.trust_cpu=on cryptomgr.notests "
			"rcupdate.rcu_expedited=1";

	if (accelerated)
		return xasprintf("%s%s %s", acpi ? "random.trust_cpu=on" : waits, console, config->command_line);
	return xasprintf("tsc_early_khz=%llu%s mitigations=off %s%s %s", (unsigned long long)measure_tsc_khz(),
			acpi ? "" : EMULATED_LAPIC, waits, console, config->command_line);
}

char *qemu_kernel_words(const struct vm_config *config, bool *ret_accelerated, bool *ret_acpi)
{
	*ret_accelerated = qemu_accelerated();
	*ret_acpi = !kernel_file_no_acpi(config->kernel_path);
	return command_line(config, *ret_accelerated, *ret_acpi);
}

static void add_kernel(char ***argv, const struct vm_config *config, bool accelerated, bool acpi)
{
	add(argv, "-kernel", xstrdup(config->kernel_path));
	add(argv, "-initrd", xstrdup(config->initramfs_path));
	add(argv, "-append", command_line(config, accelerated, acpi));
}

static char **make_argv(const struct vm_config *config, bool accelerated)
{
	bool acpi = !kernel_file_no_acpi(config->kernel_path);
	char **argv = NULL;

	add(&argv, PROGRAM, NULL);
	add(&argv, "-name", xasprintf("bivalve-%s,debug-threads=on", config->name ? config->name : "guest"));
	add(&argv, "-M", xasprintf("microvm,acpi=%s,pit=on,pic=on,rtc=on,x-option-roms=off,memory-backend=ram",
			acpi ? "on" : "off"));
	add(&argv, "-object", describe_ram(config));
	add(&argv, "-nodefaults", NULL);
	add(&argv, "-no-user-config", NULL);
	add(&argv, "-no-reboot", NULL);
	add(&argv, "-display", xstrdup("none"));
	add(&argv, "-global", xstrdup("virtio-mmio.force-legacy=false"));
	add(&argv, "-sandbox", xstrdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
	add(&argv, "-accel", accelerated ? xstrdup("kvm") : xasprintf("tcg,thread=multi,tb-size=%d", TRANSLATION_MIB));
	add(&argv, "-cpu", xstrdup(accelerated ? "host" : "max"));
	add(&argv, "-smp", xasprintf("%u", config->vcpus));
	add(&argv, "-m", xasprintf("%lluM", (unsigned long long)(config->memory_bytes >> 20)));
	if (!config->restore) /* else it is in memory, and QEMU would read it for nothing */
		add_kernel(&argv, config, accelerated, acpi);
	add_devices(&argv, config);
	if (config->control) {
		add(&argv, "-chardev", xasprintf("socket,id=control,fd=%d", CONTROL_FD));
		add(&argv, "-mon", xstrdup("chardev=control,mode=control"));
	}
	if (config->restore)
		add(&argv, "-incoming", xstrdup("defer"));
	return argv;
}

/* The disks that are copies, to their places; which nothing stands at, since all else was moved up. */
static bool place_disks(const struct vm_config *config, const int copies[VM_MAX_DISKS])
{
	for (size_t i = 0; i < config->n_disks; i++)
		if (config->disks[i].copied && dup2(copies[i], DISK_FD + (int)i) < 0)
			return false;
	return true;
}

/* In the child; what fails is written to status_fd as an errno value. */
static void become_qemu(const struct vm_config *config, const char *program, char *const argv[], pid_t parent,
		int shares_fd, int status_fd)
{
	int control = config->control ? config->control[1] : -1;
	int state = config->restore ? config->restore->state_fd : -1;
	/* One heap, in steps of a MiB: one for each thread grows by a page at a time, a system call each. */
	static char *const environment[] = { (char *)(uintptr_t)"LC_ALL=C",
		(char *)(uintptr_t)"MALLOC_ARENA_MAX=1",
		(char *)(uintptr_t)"MALLOC_TOP_PAD_=1048576", NULL };
	int agent = fcntl(config->agent_fd, F_DUPFD_CLOEXEC, SAFE_FD), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log = fcntl(config->log_fd >= 0 ? config->log_fd : null, F_DUPFD_CLOEXEC, SAFE_FD), code;
	int copies[VM_MAX_DISKS], network;
	sigset_t none;

	(void)sigemptyset(&none);
	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL); /* what cannot be set is so already */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid(); /* out of reach of a terminal's signals; a fresh child is no group leader */
	status_fd = fcntl(status_fd, F_DUPFD_CLOEXEC, SAFE_FD);
	network = fcntl(config->network_fd >= 0 ? config->network_fd : null, F_DUPFD_CLOEXEC, SAFE_FD);
	shares_fd = fcntl(shares_fd >= 0 ? shares_fd : null, F_DUPFD_CLOEXEC, SAFE_FD);
	control = fcntl(control >= 0 ? control : null, F_DUPFD_CLOEXEC, SAFE_FD);
	state = fcntl(state >= 0 ? state : null, F_DUPFD_CLOEXEC, SAFE_FD);
	for (size_t i = 0; i < config->n_disks; i++)
		copies[i] = config->disks[i].copied ? fcntl(config->disks[i].copy_fd, F_DUPFD_CLOEXEC, SAFE_FD) : -1;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && null >= 0 && dup2(null, 0) == 0 &&
			dup2(log, 1) == 1 && dup2(log, 2) == 2 && dup2(log, LOG_FD) == LOG_FD &&
			dup2(agent, AGENT_FD) == AGENT_FD && dup2(shares_fd, SHARES_FD) == SHARES_FD &&
			dup2(control, CONTROL_FD) == CONTROL_FD && dup2(state, QEMU_STATE_FD) == QEMU_STATE_FD &&
			dup2(network, NETWORK_FD) == NETWORK_FD && place_disks(config, copies)) {
		(void)syscall(SYS_close_range, FIRST_OTHER_FD, SAFE_FD - 1, 0); /* all others close on exec */
		if (qemu_jail_enter(config) == 0)
			(void)execve(program, argv, environment);
	}
	code = errno;
	(void)fd_write_full(status_fd, &code, sizeof code); /* else the exit tells that something went wrong */
	_exit(1);
}

/* The form of the kernel that boots faster: unpacked, if QEMU can enter it. */
static const char *choose_kernel(const struct vm_config *config)
{
	_cleanup_close_ int fd = config->vmlinux_path ? open(config->vmlinux_path, O_RDONLY | O_CLOEXEC) : -1;

	return fd >= 0 && arch_kernel_pvh(fd) ? config->vmlinux_path : config->kernel_path;
}

static int check_files(const struct vm_config *config, struct error *err)
{
	int r = config->restore ? 0 : kernel_file_check(config->kernel_path, NULL, NULL, err);

	if (r < 0)
		return r;
	if (config->restore && !config->control)
		return error_set(err, EINVAL, "a machine that goes on from a saved state needs a control socket");
	if (!config->restore && access(config->initramfs_path, R_OK) < 0)
		return error_sys(err, "cannot open the initramfs %s", config->initramfs_path);
	for (size_t i = 0; i < config->n_disks; i++)
		if (access(config->disks[i].path, config->disks[i].read_only || config->disks[i].copied ?
				R_OK : R_OK | W_OK) < 0)
			return error_sys(err, "cannot open the disk %s", config->disks[i].path);
	return 0;
}

static int qemu_spawn(const struct vm_config *asked, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	struct vm_config own = *asked;
	const struct vm_config *config = &own;
	_cleanup_free_ char *program = qemu_find_program();
	_cleanup_close_ int status_read = -1, status_write = -1, shares = -1;
	_cleanup_strv_ char **argv = NULL;
	pid_t pid, parent = getpid();
	int status[2], code, pidfd, r;

	if (!asked->restore)
		own.kernel_path = choose_kernel(asked);
	r = check_files(config, err);
	if (r < 0)
		return r;
	if (!program)
		return error_set(err, ENOENT, "no " PROGRAM " in PATH");
	if (config->n_shares) {
		r = qemu_shares_start(config, &shares, err);
		if (r < 0)
			return r;
	}
	argv = make_argv(config, qemu_accelerated());
	if (pipe2(status, O_CLOEXEC) < 0)
		return error_sys(err, "cannot make a pipe");
	status_read = status[0];
	status_write = status[1];
	pid = fork();
	if (pid == 0)
		become_qemu(config, program, argv, parent, shares, status_write);
	if (pid < 0)
		return error_sys(err, "cannot fork");
	close_cleanup(&status_write);
	status_write = -1;
	pidfd = pidfd_open_pid(pid);
	if (fd_read_full(status_read, &code, sizeof code) == 0 && pidfd >= 0) {
		*ret_pid = pid;
		*ret_pidfd = pidfd;
		r = config->restore ? qemu_state_restore(config, err) : 0;
		if (r == 0)
			return 0;
	}
	close_cleanup(&pidfd);
	(void)kill(pid, SIGKILL); /* our child and not yet reaped */
	(void)waitpid(pid, NULL, 0);
	return r < 0 ? r : error_set(err, ENOEXEC, "cannot run %s: %s", program,
			pidfd < 0 ? "no pidfd" : strerror(code));
}

const struct vm_engine engine_qemu = {
	.name = "qemu",
	.probe = qemu_probe,
	.spawn = qemu_spawn,
	.save = qemu_state_save,
	.resume = qemu_state_resume,
	.identity = qemu_state_identity,
	.measure = qemu_measure,
	.overhead_bytes = 384 << 20,
	.entry_unseen = true,
};
