/* SPDX-License-Identifier: Apache-2.0 */
/* What `spec` writes: a config.json equal in meaning to runc's, so that what is known of one holds for the other. */
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/json.h"
#include "runtime/oci/spec.h"

static const char *const args[] = { "sh", NULL };
static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm",
	NULL };
static const char *const capabilities[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", NULL };
static const char *const capability_sets[] = { "bounding", "effective", "permitted", NULL };
static const char *const masked[] = { "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi", NULL };
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
	NULL };

enum when { ALWAYS, ROOTFUL, ROOTLESS, CGROUP_V2 };

static const struct {
	const char *destination, *type, *source, *options[8];
	enum when when;
} mounts[] = {
	{ "/proc", "proc", "proc", { NULL }, ALWAYS },
	{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" }, ALWAYS },
	{ "/dev/pts", "devpts", "devpts", { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" },
		ROOTFUL },
	{ "/dev/pts", "devpts", "devpts", { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" },
		ROOTLESS },
	{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" }, ALWAYS },
	{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" }, ALWAYS },
	{ "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" }, ROOTFUL },
	/* Without a network namespace of its own a user may not mount sysfs anew. */
	{ "/sys", "none", "/sys", { "rbind", "nosuid", "noexec", "nodev", "ro" }, ROOTLESS },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" }, ALWAYS },
};

static const struct {
	const char *type;
	enum when when;
} namespaces[] = {
	{ "pid", ALWAYS }, { "network", ROOTFUL }, { "ipc", ALWAYS }, { "uts", ALWAYS }, { "mount", ALWAYS },
	{ "user", ROOTLESS }, { "cgroup", CGROUP_V2 },
};

static bool wanted(enum when when, bool rootless)
{
	struct statfs fs;

	if (when == CGROUP_V2) /* as runc does */
		return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
	return when == ALWAYS || when == (rootless ? ROOTLESS : ROOTFUL);
}

static void put_strings(struct json_writer *w, const char *key, const char *const *list)
{
	json_begin_array(w, key);
	for (; *list; list++)
		json_put_string(w, NULL, *list);
	json_end(w);
}

static void put_process(struct json_writer *w)
{
	json_begin_object(w, "process");
	json_put_bool(w, "terminal", true);
	json_begin_object(w, "user");
	json_put_uint(w, "uid", 0);
	json_put_uint(w, "gid", 0);
	json_end(w);
	put_strings(w, "args", args);
	put_strings(w, "env", env);
	json_put_string(w, "cwd", "/");
	json_begin_object(w, "capabilities");
	for (size_t i = 0; capability_sets[i]; i++)
		put_strings(w, capability_sets[i], capabilities);
	json_end(w);
	json_begin_array(w, "rlimits");
	json_begin_object(w, NULL);
	json_put_string(w, "type", "RLIMIT_NOFILE");
	json_put_uint(w, "hard", 1024);
	json_put_uint(w, "soft", 1024);
	json_end(w);
	json_end(w);
	json_put_bool(w, "noNewPrivileges", true);
	json_end(w);
}

static void put_mounts(struct json_writer *w, bool rootless)
{
	json_begin_array(w, "mounts");
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		if (!wanted(mounts[i].when, rootless))
			continue;
		json_begin_object(w, NULL);
		json_put_string(w, "destination", mounts[i].destination);
		json_put_string(w, "type", mounts[i].type);
		json_put_string(w, "source", mounts[i].source);
		if (mounts[i].options[0])
			put_strings(w, "options", mounts[i].options);
		json_end(w);
	}
	json_end(w);
}

static void put_map(struct json_writer *w, const char *key, uint64_t host)
{
	json_begin_array(w, key);
	json_begin_object(w, NULL);
	json_put_uint(w, "containerID", 0);
	json_put_uint(w, "hostID", host);
	json_put_uint(w, "size", 1);
	json_end(w);
	json_end(w);
}

static void put_linux(struct json_writer *w, bool rootless)
{
	json_begin_object(w, "linux");
	if (rootless) {
		put_map(w, "uidMappings", geteuid());
		put_map(w, "gidMappings", getegid());
	} else {
		json_begin_object(w, "resources");
		json_begin_array(w, "devices");
		json_begin_object(w, NULL);
		json_put_bool(w, "allow", false);
		json_put_string(w, "access", "rwm");
		json_end(w);
		json_end(w);
		json_end(w);
	}
	json_begin_array(w, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		if (!wanted(namespaces[i].when, rootless))
			continue;
		json_begin_object(w, NULL);
		json_put_string(w, "type", namespaces[i].type);
		json_end(w);
	}
	json_end(w);
	put_strings(w, "maskedPaths", masked);
	put_strings(w, "readonlyPaths", read_only);
	json_end(w);
}

char *oci_spec_default(bool rootless)
{
	struct json_writer *w = json_writer_new(false);

	json_begin_object(w, NULL);
	json_put_string(w, "ociVersion", "1.2.0");
	put_process(w);
	json_begin_object(w, "root");
	json_put_string(w, "path", "rootfs");
	json_put_bool(w, "readonly", true);
	json_end(w);
	json_put_string(w, "hostname", "bivalve");
	put_mounts(w, rootless);
	put_linux(w, rootless);
	json_end(w);
	return json_writer_finish(w, NULL);
}
