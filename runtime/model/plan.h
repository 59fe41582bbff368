/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_PLAN_H
#define BIVALVE_MODEL_PLAN_H

#include "runtime/base/record.h"

/*
 * The plan: the one description of a workload. Built by runtime/launch from argv, image and policy; const from then on;
 * printed by `bivalve plan`; sent as JSON to the guest's PID 1. No backend sees argv, an image or a policy file.
 * In numbers 0 means "not set" unless said otherwise. All strings are owned by the plan.
 */

/* Bits of plan.namespaces, in the order of their names in JSON: pid mount uts ipc net cgroup user. */
enum plan_namespace {
	PLAN_NS_PID, PLAN_NS_MOUNT, PLAN_NS_UTS, PLAN_NS_IPC, PLAN_NS_NET, PLAN_NS_CGROUP, PLAN_NS_USER,
	PLAN_NS_COUNT,
};
#define PLAN_NS(x) (UINT64_C(1) << PLAN_NS_##x)

struct plan_rlimit {
	char *type;     /* "nofile": RLIMIT_ in lower case without the prefix */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

struct plan_capabilities { /* a bit per capability number, linux/capability.h */
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct plan_process {
	char **argv;             /* at least one; argv[0] is searched in the environment's PATH, in the root */
	char **env;              /* "NAME=value" */
	char *cwd;               /* absolute; made if missing */
	char *user;              /* "name|uid[:group|gid]", looked up in the root's /etc/passwd and group; NULL: 0:0 */
	bool terminal;           /* a pseudo-terminal is standard input, output and error */
	uint64_t rows, columns;  /* its first size; 0: unknown */
	bool init;               /* a reaper of ours is PID 1 and the workload its child; else the workload is PID 1 */
	bool no_new_privs;
	struct plan_capabilities capabilities;
	struct plan_rlimit *rlimits;
	size_t n_rlimits;
	uint64_t umask;          /* 0: 0022 */
};

struct plan_mount {
	char *destination;       /* absolute, in the root; missing directories are made */
	char *type;              /* "bind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup" */
	char *source;            /* bind: an absolute path of the host */
	char **options; /* mount(8) words: ro nosuid nodev noexec, or the file system's own (size=…, mode=…) */
};

struct plan_device {
	char *path;              /* in the root */
	uint64_t major, minor, mode; /* a character device */
};

struct plan_id_map {
	uint64_t inside, outside, count;
};

struct plan_root {
	char *image;             /* the name as the user wrote it */
	char *digest;            /* "sha256:…" of the image's manifest */
	char **lowers;           /* directories of this host (or guest), lowest layer first */
	char *disk;              /* the EROFS disk with the same content, for the VM; NULL for the container */
	uint64_t upper_bytes;    /* size of the tmpfs that takes the writes; 0: half the memory, as tmpfs does */
	bool read_only;          /* no upper at all */
};

struct plan_resources { /* bound by cgroups */
	uint64_t memory_bytes;   /* memory and swap together */
	uint64_t cpu_quota_us;   /* CPU time per period */
	uint64_t cpu_period_us;  /* 100000 when quota is set and this is 0 */
	uint64_t cpu_weight;     /* cgroup v2 weight, 1 to 10000 */
	uint64_t pids;           /* processes and threads */
};

struct plan_limits { /* watched by the supervisor */
	uint64_t wall_us;
};

enum plan_engine { ENGINE_AUTO, ENGINE_KVM, ENGINE_QEMU };
enum plan_network { NETWORK_NONE, NETWORK_HOST };

struct plan_vm {
	uint64_t memory_bytes;   /* guest RAM */
	uint64_t vcpus;
	int engine;              /* enum plan_engine */
	char *kernel;            /* name in the kernel store */
	char *kernel_path, *initramfs_path; /* files of this host */
	char *vmlinux_path; /* the same kernel unpacked, for the engine that boots it faster; NULL: there is none */
};

struct plan {
	char *id;
	char *backend;           /* "container" or "vm" */
	char *hostname;
	char *policy;            /* name or path as given */
	uint64_t namespaces;     /* PLAN_NS bits */
	int network;             /* enum plan_network */
	struct plan_root root;
	struct plan_process process;
	struct plan_mount *mounts;
	size_t n_mounts;
	struct plan_device *devices;
	size_t n_devices;
	struct plan_id_map *uid_maps, *gid_maps; /* with PLAN_NS(USER) */
	size_t n_uid_maps, n_gid_maps;
	char **masked_paths, **readonly_paths;
	struct bytes seccomp;    /* struct sock_filter[]: ready for seccomp(2); empty: no filter */
	struct plan_resources resources;
	struct plan_limits limits;
	struct plan_vm vm;
};

extern const struct record_type plan_type;         /* see record.h: read, write, release */

#endif
