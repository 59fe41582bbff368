/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_MODEL_PLAN_H
#define BIVALVE_MODEL_PLAN_H

#include "runtime/base/record.h"

/*
 * The plan: the one description of a workload. Built by runtime/launch from argv, image and policy; const from then on;
 * printed by `bivalve plan`; sent as JSON to the guest's PID 1. No backend sees argv, an image or a policy file.
 * In numbers 0 means "not set" unless said otherwise. All strings are owned by the plan.
 */

/* Bits of plan.namespaces, in the order of their names in JSON: pid mount uts ipc net cgroup user time. */
enum plan_namespace {
	PLAN_NS_PID, PLAN_NS_MOUNT, PLAN_NS_UTS, PLAN_NS_IPC, PLAN_NS_NET, PLAN_NS_CGROUP, PLAN_NS_USER, PLAN_NS_TIME,
	PLAN_NS_COUNT,
};
#define PLAN_NS(x) (UINT64_C(1) << PLAN_NS_##x)

/* An existing namespace to join. Its bit is not in plan.namespaces, which are the new ones. */
struct plan_join {
	char *type;     /* as in plan.namespaces */
	char *path;     /* of this host: /proc/PID/ns/net, /run/netns/x */
};

struct plan_time_offset { /* of the new time namespace, linux/timens_offsets */
	char *clock;    /* "monotonic", "boottime" */
	int64_t seconds;
	uint64_t nanoseconds;
};

struct plan_pair { /* sysctls, annotations, cgroup v2's own files */
	char *key, *value;
};

struct plan_rlimit {
	char *type;     /* "nofile": RLIMIT_ in lower case without the prefix */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

struct plan_capabilities { /* a bit per capability number, linux/capability.h */
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct plan_scheduler { /* sched_setattr(2); runtime-spec 1.1, process.scheduler */
	char *policy;            /* "SCHED_OTHER", …; NULL: as the caller's */
	int64_t nice, priority;
	char **flags;            /* "SCHED_FLAG_RESET_ON_FORK", … */
	uint64_t runtime_ns, deadline_ns, period_ns;
};

struct plan_io_priority { /* ioprio_set(2); runtime-spec 1.1 */
	char *class;             /* "IOPRIO_CLASS_RT", …; NULL: as the caller's */
	int64_t priority;        /* 0 to 7 */
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
	uint64_t umask;          /* 0: 0022, unless umask_set */
	bool umask_set;
	char **groups;           /* more supplementary groups, decimal */
	char *apparmor_profile, *selinux_label; /* NULL: none asked for */
	int64_t oom_score_adj;
	bool oom_score_adj_set;
	uint64_t personality;    /* personality(2) */
	bool personality_set;
	struct plan_scheduler scheduler;
	struct plan_io_priority io_priority;
	/* process.execCPUAffinity (runtime-spec 1.2.1), of what is executed later: "0-3,7"; NULL: untouched. */
	char *exec_cpus_initial, *exec_cpus_final; /* before it joins the control group, and in it */
	bool keyring;            /* a session keyring of its own */
	uint64_t preserve_fds;   /* descriptors 3 … 3+n-1 of the caller become the workload's */
};

struct plan_id_map {
	uint64_t inside, outside, count;
};

struct plan_mount {
	char *destination;       /* absolute, in the root; missing directories are made */
	/*
	 * "bind", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup"; others as the kernel has. "overlay", unless
	 * mounts_exact: the folder source as it is, with what is written to it kept aside, see plan.changes.
	 */
	char *type;
	char *source;            /* bind, overlay: an absolute path of the host */
	/*
	 * mount(8) words: ro nosuid nodev noexec, propagation (rslave), recursive ones (rro), idmap ridmap tmpcopyup,
	 * or the file system's own (size=…, mode=…) */
	char **options;
	/* of an idmapped mount; none: those of the plan, if "idmap" is an option */
	struct plan_id_map *uid_maps, *gid_maps;
	size_t n_uid_maps, n_gid_maps;
};

struct plan_device {
	char *path;              /* in the root */
	char *type;              /* "c" (also NULL, "u"), "b", "p" (a FIFO) */
	uint64_t major, minor, mode;
	uint64_t uid, gid;       /* its owner, inside */
};

struct plan_root {
	char *image;             /* the name as the user wrote it */
	char *digest;            /* "sha256:…" of the image's manifest */
	/* a directory that is the root itself, written to directly; no lowers, no disk, no upper */
	char *path;
	bool empty;              /* a tmpfs that holds what the mounts and links below need; no lowers, disk, path */
	struct plan_pair *links; /* of an empty root: symbolic links, key the absolute path, value what it says */
	size_t n_links;
	char **lowers;           /* directories of this host (or guest), lowest layer first */
	char *disk;              /* the EROFS disk with the same content, for the VM; NULL for the container */
	uint64_t upper_bytes;    /* room for the writes; 0: as for any tmpfs */
	uint64_t tmpfs_bytes;    /* of each tmpfs that was given no size; 0: half the memory, as Linux does */
	uint64_t upper_inodes;   /* files and folders among them; 0: as tmpfs does */
	bool upper_disk;         /* a disk of its own takes the writes where that can be, rather than a tmpfs */
	/* that disk while it is empty (images/scratch.h), of which each run has a copy; NULL: a tmpfs */
	char *scratch;
	bool read_only;          /* no upper at all */
	char *propagation;       /* of the root's mount: "private", "rslave", …; NULL: rprivate */
};

/* A limit for one device. Which of the lists it is in says what rate is. */
struct plan_device_rate {
	uint64_t major, minor;
	uint64_t rate;           /* weight (10 to 1000), bytes/s or operations/s */
	uint64_t leaf_rate;      /* weights only */
};

struct plan_device_rule { /* the devices controller; the later rule wins */
	bool allow;
	char *type;              /* "a", "b", "c" */
	int64_t major, minor;    /* -1: all */
	char *access;            /* of r w m */
};

struct plan_hugepage_limit {
	char *page_size;         /* "2MB" */
	uint64_t bytes;
};

struct plan_rdma_limit {
	char *device;
	uint64_t handles, objects; /* UINT64_MAX: not limited */
};

struct plan_net_priority {
	char *interface;
	uint64_t priority;
};

struct plan_resources { /* bound by cgroups; runtime-spec config-linux.md "Control groups" */
	uint64_t memory_bytes;   /* UINT64_MAX: explicitly unlimited */
	/* memory and swap together; 0: as memory_bytes, no swap; UINT64_MAX: swap is not limited */
	uint64_t memory_swap_bytes;
	uint64_t memory_reservation_bytes;
	uint64_t memory_kernel_bytes, memory_kernel_tcp_bytes; /* v1 */
	uint64_t memory_swappiness; /* with the next */
	bool memory_swappiness_set;
	bool memory_oom_kill_off, memory_check_before_update;
	uint64_t cpu_shares;     /* v1's, 2 to 262144; turned into a weight on v2 */
	uint64_t cpu_burst_us;
	int64_t cpu_realtime_runtime_us;
	uint64_t cpu_realtime_period_us;
	char *cpu_set, *memory_nodes; /* "0-3,5" */
	int64_t cpu_idle;        /* 1: SCHED_IDLE for the group */
	bool pids_unlimited;     /* explicitly: with pids 0 */
	uint64_t io_weight, io_leaf_weight; /* v1's 10 to 1000; 0: not set */
	struct plan_device_rate *io_weights, *io_read_bytes, *io_write_bytes, *io_read_ops, *io_write_ops;
	size_t n_io_weights, n_io_read_bytes, n_io_write_bytes, n_io_read_ops, n_io_write_ops;
	/* a second, of each disk that holds what the workload reads and writes; nobody names one */
	uint64_t disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops;
	struct plan_hugepage_limit *hugepages;
	size_t n_hugepages;
	uint64_t net_class;      /* net_cls.classid */
	struct plan_net_priority *net_priorities;
	size_t n_net_priorities;
	struct plan_rdma_limit *rdma;
	size_t n_rdma;
	/* none: every device; else what is not allowed is refused, bar the usual nodes */
	struct plan_device_rule *devices;
	size_t n_devices;
	struct plan_pair *unified; /* v2 files and what is written to them */
	size_t n_unified;
	uint64_t cpu_quota_us;   /* CPU time per period */
	uint64_t cpu_period_us;  /* 100000 when quota is set and this is 0 */
	uint64_t cpu_weight;     /* cgroup v2 weight, 1 to 10000 */
	uint64_t pids;           /* processes and threads */
};

struct plan_limits { /* watched by the supervisor */
	uint64_t wall_us;        /* from the workload's first instruction */
	uint64_t cpu_us;         /* of all its processes together */
	uint64_t output_bytes;   /* to standard output and error together */
	uint64_t file_bytes;     /* of the largest file: RLIMIT_FSIZE, unless process.rlimits has one */
	uint64_t open_files;     /* of a process: RLIMIT_NOFILE, likewise */
};

enum plan_engine { ENGINE_AUTO, ENGINE_KVM, ENGINE_QEMU };
enum plan_start { START_AUTO, START_COLD, START_WARM };
enum plan_changes { CHANGES_NONE, CHANGES_LIST, CHANGES_CONTENTS };
/* The nth overlay's upper, in the scratch file system that is handed out. */
#define PLAN_OVERLAY_UPPER "o%zu/upper"
enum plan_network { NETWORK_NONE, NETWORK_HOST, NETWORK_USER };

struct plan_port { /* of the host, passed on into the instance */
	char *address;           /* of the host, IPv4; NULL: every one */
	uint64_t host, guest;
	bool udp;                /* else TCP */
};

/* With NETWORK_USER: the one interface beside loopback, eth0, the same in both shells. */
struct plan_interface {
	char *mac;               /* "02:00:00:00:00:01" */
	char *address, *gateway, *dns; /* IPv4, dotted */
	uint64_t prefix;         /* bits of the network's mask */
	struct plan_port *ports;
	size_t n_ports;
};

struct plan_vm {
	uint64_t memory_bytes;   /* guest RAM */
	uint64_t vcpus;
	int engine;              /* enum plan_engine */
	int start;               /* enum plan_start: whether a template may, must not or must be used */
	char *templates;         /* the folder of templates; NULL: none are used */
	char *from;              /* a saved instance's file that it goes on from; NULL: none */
	char *kernel;            /* name in the kernel store */
	char *kernel_path, *initramfs_path; /* files of this host */
	char *vmlinux_path; /* the same kernel unpacked, for the engine that boots it faster; NULL: there is none */
};

/* Programs to run at points of the life cycle, with the state on standard input. */
struct plan_hook {
	char *path;              /* absolute */
	char **args, **env;      /* args[0] too; NULL: just the path, and the environment of ours */
	uint64_t timeout_s;      /* 0: none */
};
enum plan_hook_stage {
	HOOK_PRESTART, HOOK_CREATE_RUNTIME, HOOK_CREATE_CONTAINER, HOOK_START_CONTAINER, HOOK_POSTSTART, HOOK_POSTSTOP,
	HOOK_STAGES,
};
struct plan_hooks { /* in this order in JSON, and as an array by stage: plan_hooks_of() */
	struct plan_hook *prestart, *create_runtime, *create_container, *start_container, *poststart, *poststop;
	size_t n_prestart, n_create_runtime, n_create_container, n_start_container, n_poststart, n_poststop;
};

/* Landlock's lists; plan_landlock.restricts has a bit for each that is there, in this order. */
enum plan_landlock_list {
	PLAN_LANDLOCK_READ, PLAN_LANDLOCK_WRITE, PLAN_LANDLOCK_EXECUTE, PLAN_LANDLOCK_LIST, PLAN_LANDLOCK_CONNECT_TCP,
	PLAN_LANDLOCK_BIND_TCP,
};
#define PLAN_LANDLOCK_BIT(list) (UINT64_C(1) << (list))
struct plan_landlock {
	uint64_t restricts;      /* 0: no Landlock at all */
	bool best_effort;        /* what the kernel lacks of it is left out, and named by a milestone "without-…" */
	char **read, **write, **execute, **list; /* paths of the root, and all beneath them */
	char **connect_tcp, **bind_tcp; /* ports, decimal */
};

/* What somebody watches and writes down (policies/enforce/watch.h); plan.audit has a bit for each, in this order. */
enum plan_audit {
	PLAN_AUDIT_DENIED,       /* system calls that the filter denies */
	PLAN_AUDIT_NETWORK,      /* connecting and sending, wherever to */
	PLAN_AUDIT_FILES,        /* files by path */
	PLAN_AUDIT_LEARN,        /* all calls, each once: only for learning, since it is slow */
};
#define PLAN_AUDIT(x) (UINT64_C(1) << PLAN_AUDIT_##x)

struct plan {
	char *id;
	char *backend;           /* "container" or "vm" */
	char *hostname, *domainname;
	char *policy;            /* name or path as given */
	char *policy_digest;     /* policy_digest(), if the report is to have it */
	char *bundle;            /* the OCI bundle's folder, absolute; NULL: not from a bundle */
	uint64_t namespaces;     /* PLAN_NS bits: those to be made */
	struct plan_join *joins; /* those to be joined */
	size_t n_joins;
	struct plan_time_offset *time_offsets;
	size_t n_time_offsets;
	int network;             /* enum plan_network */
	struct plan_interface interface;
	struct plan_root root;
	struct plan_process process;
	struct plan_mount *mounts;
	size_t n_mounts;
	struct plan_device *devices;
	size_t n_devices;
	struct plan_id_map *uid_maps, *gid_maps; /* with PLAN_NS(USER) */
	size_t n_uid_maps, n_gid_maps;
	/* mounts are all there is: no /proc, /dev, /sys of ours; device nodes only in a tmpfs /dev */
	bool mounts_exact;
	char *mount_label;       /* SELinux context of tmpfs and the like; NULL: none */
	char **masked_paths, **readonly_paths;
	struct plan_pair *sysctls;
	size_t n_sysctls;
	struct bytes seccomp;    /* struct sock_filter[]: ready for seccomp(2); empty: no filter */
	uint64_t seccomp_flags;  /* SECCOMP_FILTER_FLAG_ bits */
	char *seccomp_listener;  /* a unix socket of this host that gets the notify descriptor; NULL: none */
	char *seccomp_metadata;
	struct plan_landlock landlock;
	uint64_t audit;          /* PLAN_AUDIT bits; not with seccomp_listener */
	struct plan_hooks hooks;
	struct plan_pair *annotations;
	size_t n_annotations;
	bool figures; /* somebody reads what the report says of resources: all is counted */
	int changes;  /* enum plan_changes: what is handed out of the writes to mounts of type overlay in the end */
	char *cgroup;            /* path below each hierarchy's root; NULL: bivalve-<id> */
	bool no_cgroup;          /* none on the host, whatever cgroup says: container-backend/ungrouped.c */
	bool no_pivot;           /* the root by MS_MOVE and chroot: for hosts whose root is an initramfs */
	struct plan_resources resources;
	struct plan_limits limits;
	struct plan_vm vm;
};

extern const struct record_type plan_type;         /* see record.h: read, write, release */
extern const struct record_type plan_process_type, plan_resources_type, plan_pair_type;

/* The hooks of a stage: their number, *ret_hooks borrowed from the plan. */
size_t plan_hooks_of(const struct plan *plan, enum plan_hook_stage stage, const struct plan_hook **ret_hooks);
/* "prestart", "createRuntime", … as the specification spells them. */
const char *plan_hook_stage_name(enum plan_hook_stage stage);
/* The path of the namespace of this type that is to be joined, or NULL. type: a name of plan.namespaces. */
const char *plan_join_path(const struct plan *plan, enum plan_namespace type);
/* Whether it is an overlay of a folder of the host; a bundle's "overlay" is whatever its options make the kernel
 * mount. */
bool plan_is_overlay(const struct plan *plan, const struct plan_mount *mount);
/* Whether the workload is in a user namespace that is not its maker's, new or joined. */
bool plan_has_userns(const struct plan *plan);

#endif
