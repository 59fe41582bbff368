/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fallback engine's jail: Landlock, an almost empty bounding set, no_new_privs. QEMU's own seccomp filter follows
 * when it has parsed its options. Landlock, and not a root of our own, because QEMU needs its libraries and firmware
 * and this must also work without root.
 *
 * Not defended against: a QEMU that was broken into still reads what is world-readable below /usr, /etc/localtime and
 * the rest of the table below, and as root's user it could change files of root's if Landlock were missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "vm-backend/qemu_jail.h"

/* Newer than the headers of Debian 12; Documentation/userspace-api/landlock.rst. */
enum {
	FS_TRUNCATE = 1 << 14,   /* ABI 3, Linux 6.2 */
	FS_IOCTL_DEVICE = 1 << 15, /* ABI 5, Linux 6.10 */
	NET_ALL = 1 << 0 | 1 << 1, /* ABI 4, Linux 6.7: bind and connect of TCP */
	SCOPE_ALL = 1 << 0 | 1 << 1, /* ABI 6, Linux 6.12: abstract unix sockets and signals */
};

struct ruleset {
	uint64_t fs, net, scope;
};

#define READ_FILE (LANDLOCK_ACCESS_FS_READ_FILE)
#define READ_TREE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RUN_TREE  (READ_TREE | LANDLOCK_ACCESS_FS_EXECUTE)
#define READ_WRITE (READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* What every QEMU opens on its way up; what does not exist is passed over. */
static const struct {
	const char *path;
	uint64_t access;
} allowed[] = {
	{ "/usr", RUN_TREE },            /* the program, its libraries and firmware */
	{ "/lib", RUN_TREE },            /* where these are not links into /usr */
	{ "/lib64", RUN_TREE },
	{ "/etc/ld.so.cache", READ_FILE },
	{ "/etc/ld.so.preload", READ_FILE },
	{ "/etc/localtime", READ_FILE }, /* the guest's clock chip */
	{ "/proc", READ_TREE },          /* its own status and threads */
	{ "/sys/devices/system", READ_TREE }, /* processors and NUMA nodes */
	{ "/dev/null", READ_WRITE },
	{ "/dev/urandom", READ_FILE },
	{ "/dev/kvm", READ_WRITE | FS_IOCTL_DEVICE },
};

static struct ruleset handled(int abi)
{
	struct ruleset r = { .fs = (1 << 13) - 1 }; /* ABI 1, Linux 5.13: execute to make_sym */

	if (abi >= 2)
		r.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4)
		r.net = NET_ALL;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEVICE;
	if (abi >= 6)
		r.scope = SCOPE_ALL;
	return r;
}

/* How much of struct ruleset a kernel of this ABI takes. */
static size_t ruleset_size(int abi)
{
	return abi < 4 ? offsetof(struct ruleset, net) : abi < 6 ? offsetof(struct ruleset, scope)
			: sizeof(struct ruleset);
}

static int allow(int ruleset, const struct ruleset *all, const char *path, uint64_t access)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .allowed_access = access & all->fs, .parent_fd = fd };

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static const char *ram_path(const struct vm_config *config)
{
	return config->restore ? config->restore->ram_path : config->ram_path;
}

static int allow_all(int ruleset, const struct ruleset *all, const struct vm_config *config)
{
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allow(ruleset, all, allowed[i].path, allowed[i].access) < 0)
			return -1;
	if (!config->restore && (allow(ruleset, all, config->kernel_path, READ_FILE) < 0 ||
			allow(ruleset, all, config->initramfs_path, READ_FILE) < 0))
		return -1;
	/* To go on from it too: QEMU opens what it maps privately for writing. */
	if (ram_path(config) && allow(ruleset, all, ram_path(config), READ_WRITE) < 0)
		return -1;
	for (size_t i = 0; i < config->n_disks; i++) {
		const struct vm_disk *disk = &config->disks[i];

		if (!disk->copied && allow(ruleset, all, disk->path, disk->read_only ? READ_FILE
				: READ_WRITE | FS_TRUNCATE) < 0)
			return -1;
	}
	return 0;
}

static int restrict_files(const struct vm_config *config)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset all = handled(abi);
	_cleanup_close_ int ruleset = -1;

	if (abi < 1)
		return 0; /* an old kernel, or Landlock is off */
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, ruleset_size(abi), 0);
	if (ruleset < 0 || allow_all(ruleset, &all, config) < 0)
		return -1;
	return (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}

int qemu_jail_enter(const struct vm_config *config)
{
	/* Reading stays: root may have a store in a folder that is another user's. Execution grants nothing else. */
	for (int cap = 0; geteuid() == 0 && cap <= CAP_LAST_CAP; cap++)
		if (cap != CAP_DAC_READ_SEARCH && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
				errno != EINVAL && errno != EPERM) /* without CAP_SETPCAP: no_new_privs does it */
			return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return restrict_files(config);
}
