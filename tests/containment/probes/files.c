/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to files that were not given: by path, by descriptor, by device, by handle, by mount, by set-user-ID program. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/containment/probes/probe.h"

/* True when a file of that path has the canary's content. *ret_error: why it cannot be read. */
static bool has_canary(const struct settings *settings, const char *path, int *ret_error)
{
	char text[256];
	ssize_t n = read_text(path, text, sizeof(text));

	if (n < 0)
		*ret_error = (int)-n;
	return n > 0 && settings->token[0] && strstr(text, settings->token);
}

static struct result read_host_file(const struct settings *settings)
{
	static const char *const ways[] = {
		"", "/proc/1/root", "/proc/1/cwd", "/proc/self/root/../../../..", "/proc/self/cwd/../../../..",
		"/../../../../../..", "/proc/1/root/proc/1/root", "/dev/fd/../../../root",
	};
	char path[400];
	int error = 0;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", ways[i], settings->file);
		if (has_canary(settings, path, &error))
			return reached_host("by %s", *ways[i] ? ways[i] : "its path");
	}
	return blocked(error, "by its path and %zu detours", sizeof(ways) / sizeof(*ways) - 1);
}

/* The classic: a descriptor outside of the new root, then up. */
static struct result chroot_breakout(const struct settings *settings)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	char path[400];

	if (root < 0 || chroot("/dev") < 0)
		return blocked(errno, "chroot");
	if (fchdir(root) < 0)
		return blocked(errno, "fchdir");
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return blocked(errno, "chdir(..)");
	if (chroot(".") < 0)
		return blocked(errno, "chroot(.)");
	(void)snprintf(path, sizeof(path), "/%s", settings->file);
	if (has_canary(settings, path, &error))
		return reached_host("out of two roots");
	return blocked(error, "chroot is permitted, but the way up ends at its own root");
}

/* The launch has mounted a volume on SHARE/link/in, where SHARE/link points to a folder beside the host's canary. */
static struct result symlinked_mount_target(const struct settings *settings)
{
	char path[200], target[256];
	struct stat status;
	ssize_t n;

	if (strcmp(settings->on, "host") == 0)
		return not_run("nothing is mounted here");
	(void)snprintf(path, sizeof(path), "%s/link", settings->share);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return not_run("no such mount was asked for");
	target[n] = '\0';
	if (stat(target, &status) < 0)
		return blocked(errno, "the link leads nowhere in here");
	return blocked(0, "the mount is at the link's target beneath its own root");
}

/* Descriptors that nobody meant to pass on, and what is above a folder among them. */
static struct result inherited_descriptors(const struct settings *settings)
{
	char path[400];
	int error = ENOENT, count = 0;

	for (int fd = 3; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		count++;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/../../../../../../..%s", fd, settings->file);
		if (has_canary(settings, path, &error))
			return reached_host("above descriptor %d", fd);
	}
	if (count)
		return allowed("%d descriptors beyond the standard ones", count);
	(void)snprintf(path, sizeof(path), "/proc/self/cwd/../../../../../../..%s", settings->file);
	if (has_canary(settings, path, &error))
		return reached_host("above the working folder");
	return blocked(error, "no descriptor but the standard ones, nothing above the working folder");
}

/* The launcher's own program, as process 1 has it open. */
static struct result overwrite_launcher(const struct settings *settings)
{
	int fd = open("/proc/1/exe", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return blocked(errno, "/proc/1/exe");
	close(fd);
	return allowed("/proc/1/exe opens for writing");
}

/* Through the root into the image: in here it may well seem changed. */
static struct result write_image(const struct settings *settings)
{
	int fd;
	ssize_t n;

	if (strcmp(settings->on, "host") == 0)
		return not_run("no image here");
	fd = open("/bin/busybox", O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return blocked(errno, "/bin/busybox");
	n = write(fd, settings->token, strlen(settings->token));
	n = n < 0 ? -errno : n;
	close(fd);
	return n < 0 ? blocked((int)-n, "writing") : allowed("/bin/busybox written, in its own layer");
}

static struct result write_fixed_volume(const struct settings *settings)
{
	char path[200];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/written", settings->fixed);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return blocked(errno, "a file in a read-only volume");
	close(fd);
	return reached_host("a file in a read-only volume");
}

static long first_disk(void)
{
	char text[4096], *line = text, *end;
	unsigned int major_number, minor_number;

	if (read_text("/proc/partitions", text, sizeof(text)) < 0)
		return 0;
	for (; (end = strchr(line, '\n')); line = end + 1)
		if (sscanf(line, "%u %u", &major_number, &minor_number) == 2)
			return (long)makedev(major_number, minor_number);
	return 0;
}

/* A device node of one's own making, in whatever can be written to, then read by it. */
static struct result open_made_node(const char *folder, mode_t type, dev_t device)
{
	char path[300], text[16];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/probe-node", folder);
	if (mknod(path, type | 0600, device) < 0)
		return blocked(errno, "mknod in %s", folder);
	n = read_text(path, text, sizeof(text));
	(void)unlink(path);
	return n < 0 ? blocked((int)-n, "opening what mknod made") : allowed("mknod, and read %zd bytes", n);
}

static struct result mknod_anywhere(const struct settings *settings, mode_t type, dev_t device)
{
	const char *const folders[] = { settings->share, "/dev", "/dev/shm", "/tmp" };
	struct result result = blocked(0, "no folder");

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		result = open_made_node(folders[i], type, device);
		if (result.outcome != OUTCOME_BLOCKED)
			break;
	}
	return result;
}

static struct result mknod_disk(const struct settings *settings)
{
	long disk = first_disk();
	struct result result;

	if (!disk)
		disk = settings->disk;
	if (!disk)
		return not_run("no disk");
	result = mknod_anywhere(settings, S_IFBLK, (dev_t)disk);
	/* In a VM these are the VM's own disks. */
	if (result.outcome == OUTCOME_ALLOWED && strcmp(settings->on, "vm") != 0)
		return reached_host("%s", result.detail);
	return result;
}

static struct result mknod_memory(const struct settings *settings)
{
	return mknod_anywhere(settings, S_IFCHR, makedev(1, 1));
}

/* Nodes that are there without being asked for: any disk, and what speaks to the kernel. */
static struct result device_nodes(const struct settings *settings)
{
	static const char *const asked[] = { "/dev/mem", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control",
		"/dev/vhost-net", "/dev/vhost-vsock", "/dev/uinput", "/dev/mapper/control", "/dev/btrfs-control" };
	DIR *dir = opendir("/dev");
	struct dirent *entry;
	struct result result = blocked(ENOENT, "no disk and none of %zu nodes", sizeof(asked) / sizeof(*asked));
	struct stat status;

	while (dir && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISBLK(status.st_mode))
			result = allowed("/dev/%.60s is there", entry->d_name);
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked) && result.outcome == OUTCOME_BLOCKED; i++)
		if (access(asked[i], F_OK) == 0)
			result = allowed("%s is there", asked[i]);
	if (dir)
		closedir(dir);
	return result;
}

/* The handle is the canary's; the mount it is opened by is any of the same file system, as a volume may be. */
static struct result open_by_handle(const struct settings *settings)
{
	struct file_handle *handle = calloc(1, sizeof(*handle) + MAX_HANDLE_SZ);
	int type = 0, at = 0, mount_fd, fd;
	char text[256];
	ssize_t n;

	if (!handle || sscanf(settings->handle, "%d:%n", &type, &at) != 1)
		return not_run("the host's file system has no handles");
	handle->handle_type = type;
	for (const char *hex = settings->handle + at; *hex && handle->handle_bytes < MAX_HANDLE_SZ; hex += 2) {
		unsigned int byte;

		if (sscanf(hex, "%2x", &byte) != 1)
			break;
		handle->f_handle[handle->handle_bytes++] = (unsigned char)byte;
	}
	mount_fd = open(settings->share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount_fd < 0)
		return blocked(errno, "the volume");
	fd = open_by_handle_at(mount_fd, handle, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return blocked(errno, "open_by_handle_at");
	n = read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	return strstr(text, settings->token) ? reached_host("a file beside the volume") : allowed("some file");
}

int mounts_apart(const struct settings *settings)
{
	bool apart = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;

	return apart || strcmp(settings->on, "host") != 0 ? 0 : -1;
}

static struct result remount_writable(const struct settings *settings)
{
	const char *const paths[] = { settings->fixed, "/proc/sys", "/" };
	int error = 0;

	if (mounts_apart(settings) < 0)
		return blocked(errno, "a mount namespace");
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (mount(NULL, paths[i], NULL, MS_REMOUNT | MS_BIND, NULL) == 0)
			return allowed("%s", i == 0 ? "a read-only volume" : paths[i]);
		error = errno;
	}
	return blocked(error, "a volume, /proc/sys and /");
}

static struct result new_mount(const struct settings *settings)
{
	if (mounts_apart(settings) < 0)
		return blocked(errno, "a mount namespace");
	if (mount("proc", "/dev/shm", "proc", 0, NULL) < 0)
		return blocked(errno, "another /proc, nothing masked in it");
	(void)umount2("/dev/shm", MNT_DETACH);
	return allowed("another /proc, nothing masked in it");
}

static struct result unmask(const struct settings *settings)
{
	static const char *const paths[] = { "/proc/kcore", "/proc/sys", "/proc/keys", "/sys/firmware", "/dev/shm" };
	int error = 0;

	if (mounts_apart(settings) < 0)
		return blocked(errno, "a mount namespace");
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (umount2(paths[i], MNT_DETACH) == 0)
			return allowed("%s taken away", paths[i]);
		error = errno;
	}
	return blocked(error, "taking covers off /proc");
}

/* ---- set-user-ID ---- */

struct privileges {
	unsigned int euid;
	unsigned long long capabilities;
};

static struct privileges own_privileges(void)
{
	struct privileges own = { .euid = geteuid() };
	char text[4096], *line;

	if (read_text("/proc/self/status", text, sizeof(text)) > 0 && (line = strstr(text, "CapEff:")))
		(void)sscanf(line, "CapEff: %llx", &own.capabilities);
	return own;
}

int stage_privileges(void)
{
	struct privileges own = own_privileges();

	printf("%u %llx\n", own.euid, own.capabilities);
	return 0;
}

/* As somebody else where that may be: then runs a set-user-ID program of the host's root, and asks what it has. */
static struct result setuid_gain(const struct settings *settings)
{
	struct privileges before, after = { 0 };
	char path[200], text[128] = "";
	int ends[2];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/set-user-id", settings->fixed);
	if (pipe(ends) < 0 || access(path, X_OK) < 0)
		return blocked(errno, "the program");
	if (setresuid(65534, 65534, 65534) < 0 && errno != EPERM && errno != EINVAL)
		return blocked(errno, "setresuid");
	before = own_privileges();
	if (fork() == 0) {
		(void)dup2(ends[1], 1);
		execl(path, path, "--privileges", (char *)NULL);
		dprintf(1, "error %d", errno);
		_exit(0);
	}
	close(ends[1]);
	n = read(ends[0], text, sizeof(text) - 1);
	if (n > 0 && sscanf(text, "error %u", &after.euid) == 1)
		return blocked((int)after.euid, "running it");
	if (n <= 0 || sscanf(text, "%u %llx", &after.euid, &after.capabilities) != 2)
		return blocked(0, "it said nothing");
	if (before.euid != 0 && after.euid == 0)
		return allowed("user %u became 0", before.euid);
	if (after.capabilities & ~before.capabilities)
		return allowed("capabilities %llx became %llx", before.capabilities, after.capabilities);
	return blocked(0, "it has no more than before");
}

/* A set-user-ID program left in a volume: whose it is on the host, tests/containment/run looks. */
static struct result plant_setuid(const struct settings *settings)
{
	char path[200];
	int fd;

	if (strcmp(settings->on, "host") == 0)
		return not_run("the host's own folders");
	(void)snprintf(path, sizeof(path), "%s/planted", settings->share);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (fd < 0)
		return blocked(errno, "a program in the volume");
	return verdict(fchmod(fd, 04755), 0, "a set-user-ID program in the volume");
}

/* ---- locks ---- */

/* The host holds a lock of this file: who sees it shares its state. */
static struct result lock_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return blocked(errno, "opening it");
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return blocked(0, "a lock of its own: the host's is not seen");
	return errno == EWOULDBLOCK ? allowed("the host's lock is seen") : blocked(errno, "flock");
}

static struct result lock_volume(const struct settings *settings)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/locked", settings->share);
	return lock_of(path);
}

static struct result lock_image(const struct settings *settings)
{
	if (strcmp(settings->on, "host") == 0)
		return not_run("no image here");
	return lock_of("/bin/busybox");
}

const struct probe file_probes[] = {
	{ "read-host-file", read_host_file, 0 },
	{ "chroot-breakout", chroot_breakout, 0 },
	{ "symlinked-mount-target", symlinked_mount_target, 0 },
	{ "inherited-descriptors", inherited_descriptors, 0 },
	{ "overwrite-launcher", overwrite_launcher, 0 },
	{ "write-image", write_image, 0 },
	{ "write-fixed-volume", write_fixed_volume, PROBE_HARMFUL },
	{ "mknod-disk", mknod_disk, 0 },
	{ "mknod-memory", mknod_memory, 0 },
	{ "device-nodes", device_nodes, 0 },
	{ "open-by-handle", open_by_handle, 0 },
	{ "remount-writable", remount_writable, 0 },
	{ "new-mount", new_mount, 0 },
	{ "unmask", unmask, 0 },
	{ "setuid-gain", setuid_gain, 0 },
	{ "plant-setuid", plant_setuid, 0 },
	{ "lock-volume", lock_volume, 0 },
	{ "lock-image", lock_image, 0 },
	{ NULL, NULL, 0 },
};
