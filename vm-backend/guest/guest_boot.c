/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What PID 1 does before it speaks to the host. Everything here is the guest's own: nothing comes from the host but
 * the initramfs and the devices.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "container-backend/network.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"
#include "vm-backend/agent_protocol.h"
#include "vm-backend/guest/guest_boot.h"
#include "vm-backend/shares.h"

enum { MAX_LIST_BYTES = 64 * 1024, STEP_MS = 20, DEVICE_SECONDS = 60 };

#define PORTS  "/sys/class/virtio-ports"
#define DISK   "/dev/vda"
#define CGROUP "/sys/fs/cgroup"

/* In this order. A file system more costs every boot: only what spawn and the workload's own mounts need. */
static const struct {
	const char *source, *target, *type;
	unsigned long flags;
	const char *data;
} mounts[] = {
	{ "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755" },
	{ "tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755" },
	{ "cgroup2", CGROUP, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
};

/*
 * The initramfs is the root of the mount tree, and pivot_root(2) refuses that one. Bound onto itself and moved over /
 * it has a parent; after chroot it also counts as the top of the namespace, which user namespaces demand.
 */
static int make_root_pivotable(struct error *err)
{
	if (mount("/", "/root", NULL, MS_BIND, NULL) < 0 || chdir("/root") < 0 ||
			mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return error_sys(err, "guest: cannot move the root");
	return 0;
}

int guest_mount_all(struct error *err)
{
	int r = make_root_pivotable(err);

	for (size_t i = 0; i < ARRAY_LEN(mounts) && r == 0; i++)
		if (mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].data) < 0)
			r = error_sys(err, "guest: cannot mount %s", mounts[i].target);
	return r;
}

/* By the kernel's log: it comes out wherever a panic does, while the console may lead nowhere. */
void guest_tell(const char *format, ...)
{
	_cleanup_close_ int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
	char line[512] = "<3>bivalve-guest: "; /* an error, by its priority */
	size_t len = strlen(line);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line + len, sizeof line - len, format, args); /* what is cut is lost */
	va_end(args);
	(void)!write(log >= 0 ? log : STDERR_FILENO, line, strlen(line)); /* one record; there is nobody else to tell */
}

void guest_load_modules(const char *list_path)
{
	_cleanup_free_ char *list = NULL;
	char *rest, *name;

	if (file_read_at(AT_FDCWD, list_path, MAX_LIST_BYTES, &list, NULL, NULL) < 0)
		return; /* a kernel with all drivers built in */
	for (rest = list; (name = strsep(&rest, "\n"));) {
		_cleanup_free_ char *path = xasprintf("/modules/%s", name);
		_cleanup_close_ int fd = *name ? open(path, O_RDONLY | O_CLOEXEC) : -1;

		if (fd < 0)
			continue;
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			guest_tell("cannot load %s: %s", name, strerror(errno));
		(void)unlink(path); /* its memory is the workload's now */
	}
}

int guest_setup_cgroups(struct error *err)
{
	static const char *const controllers[] = { "+cpu", "+memory", "+pids" };

	if (mkdir(CGROUP "/init", 0755) < 0)
		return error_sys(err, "guest: cannot make a cgroup");
	if (file_write_once(AT_FDCWD, CGROUP "/init/cgroup.procs", "0") < 0)
		return error_set(err, EIO, "guest: cannot move to a cgroup");
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) /* one that is missing is missed where a limit needs it */
		(void)file_write_once(AT_FDCWD, CGROUP "/cgroup.subtree_control", controllers[i]);
	/* The group limits what is used. What is only asked for is not measured by
	 * this machine's size: as on a host. */
	(void)file_write_once(AT_FDCWD, "/proc/sys/vm/overcommit_memory", "1");
	return 0;
}

void guest_loopback_up(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd >= 0)
		(void)ioctl(fd, SIOCSIFFLAGS, &request); /* a kernel without network is a kernel without network */
}

static int open_uevents(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* Waits for the kernel to tell of any device, but not for long: an event may have come before we listened. */
static void await_uevent(int uevents)
{
	struct pollfd p = { .fd = uevents, .events = POLLIN };
	char event[4096];

	(void)poll(&p, 1, STEP_MS); /* with fd -1 a short sleep */
	while (uevents >= 0 && recv(uevents, event, sizeof event, 0) > 0)
		;
}

/* Opens the port whose name attribute is the agent's; -ENOENT while there is none. */
static int find_port(void)
{
	DIR *dir = opendir(PORTS);
	struct dirent *e;
	int fd = -ENOENT;

	while (dir && fd == -ENOENT && (e = readdir(dir))) {
		_cleanup_free_ char *attribute = xasprintf(PORTS "/%s/name", e->d_name);
		_cleanup_free_ char *device = xasprintf("/dev/%s", e->d_name), *name = NULL;

		if (e->d_name[0] == '.' || file_read_at(AT_FDCWD, attribute, 4096, &name, NULL, NULL) < 0)
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (strcmp(name, AGENT_PORT_NAME))
			continue;
		fd = open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			fd = errno == ENOENT ? -ENOENT : -errno; /* the node follows soon */
	}
	if (dir)
		(void)closedir(dir); /* only read */
	return fd;
}

/* A port hangs up until the host is there. */
static bool is_connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) > 0 && !(p.revents & POLLHUP);
}

int guest_open_port(struct error *err)
{
	_cleanup_close_ int uevents = open_uevents();
	uint64_t end = clock_now_ns() + DEVICE_SECONDS * UINT64_C(1000000000);
	int fd = find_port();

	while (fd == -ENOENT && clock_now_ns() < end) {
		await_uevent(uevents);
		fd = find_port();
	}
	if (fd < 0)
		return error_set(err, -fd, "guest: no port named " AGENT_PORT_NAME);
	while (!is_connected(fd) && clock_now_ns() < end)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL); /* the host's answer is on its way */
	return fd;
}

static void await_disk(const char *device)
{
	_cleanup_close_ int uevents = open_uevents();
	uint64_t end = clock_now_ns() + DEVICE_SECONDS * UINT64_C(1000000000);

	while (access(device, F_OK) < 0 && clock_now_ns() < end)
		await_uevent(uevents);
}

void guest_find_scratch(const char *device)
{
	guest_load_modules(GUEST_DISK_MODULES);
	await_disk(device);
}

int guest_mount_image(struct error *err)
{
	await_disk(DISK);
	if (mkdir(GUEST_IMAGE, 0755) < 0)
		return error_sys(err, "guest: cannot make " GUEST_IMAGE);
	if (mount(DISK, GUEST_IMAGE, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
		return error_sys(err, "guest: cannot mount the image's disk " DISK);
	return 0;
}

/*
 * Modes and owners are checked here, by the guest's kernel: the host's server only knows what it was told. The device
 * was found, if there is one, when the module was loaded.
 */
int guest_mount_shares(struct error *err)
{
	guest_load_modules(GUEST_SHARE_MODULES);
	if (mkdir(SHARES_FOLDER, 0755) < 0)
		return error_sys(err, "guest: cannot make " SHARES_FOLDER);
	if (mount(SHARES_TAG, SHARES_FOLDER, "virtiofs", MS_NODEV, NULL) < 0)
		return errno == ENODEV ? error_set(err, ENODEV,
						 "guest: this kernel cannot mount host directories (virtiofs); "
						 "if it was imported by an older version, import it again: bivalve "
						 "kernel import")
				       : error_sys(err, "guest: cannot mount the host's directories");
	return 0;
}

void guest_prepare_network(const struct plan *plan)
{
	if (plan->network == NETWORK_USER)
		guest_load_modules(GUEST_NETWORK_MODULES);
}

int guest_join_network(const struct plan *plan, struct error *err)
{
	guest_prepare_network(plan);
	return plan->network == NETWORK_USER ? network_configure_card(plan, err) : 0;
}

void guest_power_off(void)
{
	sync();
	(void)reboot(RB_AUTOBOOT); /* with reboot=t and no reset allowed the machine ends */
	for (;;)
		(void)pause();
}
