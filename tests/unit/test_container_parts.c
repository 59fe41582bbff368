/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the container shell that need no privilege: what is refused, and with which words. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-backend/devnodes.h"
#include "container-backend/idmap.h"
#include "container-backend/mount_options.h"
#include "container-backend/mounts.h"
#include "container-backend/program.h"
#include "container-backend/sysctls.h"
#include "container-backend/terminal.h"
#include "policies/enforce/caps.h"
#include "policies/enforce/rlimits.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "tests/unit/tap.h"

#define WORDS(...) (char *[]){ __VA_ARGS__, NULL }

/* What some words come to. */
static const struct {
	char **words;
	unsigned long flags;
	uint64_t set, clear, rec_set, rec_clear;
	const char *data;
} option_cases[] = {
	{ WORDS("ro", "nosuid", "size=1m", "mode=1777"), MS_RDONLY | MS_NOSUID, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
		0, 0, 0, "size=1m,mode=1777" },
	{ WORDS("ro", "rw"), 0, 0, MOUNT_ATTR_RDONLY, 0, 0, "" },
	{ WORDS("rw", "ro"), MS_RDONLY, MOUNT_ATTR_RDONLY, 0, 0, 0, "" },
	{ WORDS("noatime"), MS_NOATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, 0, 0, "" },
	{ WORDS("noatime", "strictatime"), MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, 0, 0, "" },
	{ WORDS("noatime", "atime"), 0, 0, MOUNT_ATTR__ATIME, 0, 0, "" },
	{ WORDS("relatime"), MS_RELATIME, 0, MOUNT_ATTR__ATIME, 0, 0, "" },
	{ WORDS("rro", "rnosuid", "rsuid"), 0, 0, 0, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, "" },
	{ WORDS("rnoatime", "rrelatime"), 0, 0, 0, 0, MOUNT_ATTR__ATIME, "" },
	{ WORDS("nosymfollow", "nodiratime", "rsymfollow"), MS_NOSYMFOLLOW | MS_NODIRATIME,
		MOUNT_ATTR_NOSYMFOLLOW | MOUNT_ATTR_NODIRATIME, 0, 0, MOUNT_ATTR_NOSYMFOLLOW, "" },
	{ WORDS("sync", "dirsync", "mand", "nomand", "defaults"), MS_SYNCHRONOUS | MS_DIRSYNC, 0, 0, 0, 0, "" },
	{ WORDS("rsync", "rdefaults"), 0, 0, 0, 0, 0, "rsync,rdefaults" },
	{ WORDS("context=\"a:b:c0,c1\"", "mode=1,size=2"), 0, 0, 0, 0, 0, "context=\"a:b:c0,c1\",mode=1,size=2" },
};

static void test_options(void)
{
	struct mount_options o;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(option_cases); i++) {
		ok(mount_options_parse(option_cases[i].words, 0, &o, &err) == 0 && o.flags == option_cases[i].flags &&
				o.set == option_cases[i].set && o.clear == option_cases[i].clear &&
				o.rec_set == option_cases[i].rec_set && o.rec_clear == option_cases[i].rec_clear &&
				!strcmp(o.data, option_cases[i].data), "%s, …", option_cases[i].words[0]);
		mount_options_release(&o);
	}
	ok(mount_options_parse(WORDS("suid"), MS_NOSUID | MS_NODEV, &o, &err) == 0 && o.flags == MS_NODEV,
			"a word takes away what holds without it");
	mount_options_release(&o);
	ok(mount_options_parse(NULL, MS_NOEXEC, &o, &err) == 0 && o.flags == MS_NOEXEC && !o.bind, "no words at all");
	mount_options_release(&o);
	ok(mount_options_parse(WORDS("rbind", "rslave", "shared"), 0, &o, &err) == 0 && o.bind && o.recursive &&
			o.n_propagation == 2 && o.propagation[0] == (MS_SLAVE | MS_REC) &&
			o.propagation[1] == MS_SHARED, "propagation");
	mount_options_release(&o);
	ok(mount_options_parse(WORDS("rbind", "bind", "tmpcopyup", "ridmap", "remount"), 0, &o, &err) == 0 && o.bind &&
			!o.recursive && o.copy_up && o.idmap && o.idmap_recursive && o.remount, "words for us");
	mount_options_release(&o);
	ok(mount_options_parse(WORDS("move"), 0, &o, &err) == -EINVAL, "move: %s", err.message);
	ok(mount_options_parse(WORDS(""), 0, &o, &err) == -EINVAL, "empty: %s", err.message);
	ok(mount_options_parse(WORDS("private", "private", "private", "private", "shared"), 0, &o, &err) == -EINVAL,
			"too much of a thing: %s", err.message);
}

static void test_clean_paths(void)
{
	static const char *const cases[][2] = { { "/a/b", "/a/b" }, { "a//b/", "/a/b" }, { "/../..", "/" }, { "", "/" },
		{ "/a/./b/../c", "/a/c" }, { "/..a/...", "/..a/..." }, { "../../etc", "/etc" }, { "/a/..", "/" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *clean = place_clean(cases[i][0]);

		ok(!strcmp(clean, cases[i][1]), "\"%s\" is %s", cases[i][0], clean);
	}
	ok(place_within("/proc", "/proc") && place_within("/proc/x", "/proc") && !place_within("/procx", "/proc"),
			"within");
}

static void test_sysctls(void)
{
	const uint64_t all = PLAN_NS(IPC) | PLAN_NS(NET) | PLAN_NS(UTS);
	const struct {
		const char *key;
		uint64_t namespaces;
		int ret;
	} cases[] = {
		{ "kernel.shmmax", all, 0 }, { "kernel/shmmax", all, 0 }, { "kernel.sem", all, 0 },
		{ "fs.mqueue.msg_max", all, 0 }, { "net.ipv4.ip_forward", all, 0 }, { "kernel.domainname", all, 0 },
		{ "net/ipv4/conf/eno2.100/rp_filter", all, 0 },
		{ "kernel.shmmax", all & ~PLAN_NS(IPC), -EPERM }, { "net.core.somaxconn", PLAN_NS(IPC), -EPERM },
		{ "kernel.domainname", PLAN_NS(IPC), -EPERM }, { "kernel.hostname", all, -EINVAL },
		{ "kernel.core_pattern", all, -EPERM }, { "kernel/core_pattern", all, -EPERM },
		{ "kernel.shmmax+kernel.core_pattern", all, -EPERM }, { "kernel.shm_next_id", all, -EPERM },
		{ "vm.overcommit_memory", all, -EPERM }, { "user.max_user_namespaces", all, -EPERM },
		{ "net.ipv4.////kernel.core_pattern", all, 0 }, /* a name that there is not */
		{ "net/../kernel/core_pattern", all, -EINVAL },
		{ "net..ipv4", all, -EINVAL }, { "net.", all, -EINVAL }, { "", all, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan_pair pair = { (char *)(uintptr_t)cases[i].key, (char *)"1" };
		struct plan plan = { .namespaces = cases[i].namespaces, .sysctls = &pair, .n_sysctls = 1 };
		struct error err = { 0 };
		int r = sysctls_check(&plan, &err);

		ok(r == cases[i].ret && (r == 0 || !strncmp(err.message, "sysctls: ", 9)), "sysctl %s: %d %s",
				cases[i].key, r, err.message);
	}
}

static void test_mounts(void)
{
	const struct {
		struct plan_mount m;
		int ret;
		const char *text;
	} cases[] = {
		{ { .destination = "/a", .type = "bind", .source = "/tmp" }, 0, "" },
		{ { .destination = "/a", .type = "tmpfs" }, 0, "" },
		{ { .destination = "a", .type = "tmpfs" }, -EINVAL, "mounts[0]: destination" },
		{ { .destination = "/a/../b", .type = "tmpfs" }, -EINVAL, "mounts[0]: destination" },
		{ { .destination = "/a/..b/...", .type = "tmpfs" }, 0, "" },
		{ { .destination = "//", .type = "tmpfs" }, -EINVAL, "mounts[0]: destination" },
		{ { .destination = NULL, .type = "tmpfs" }, -EINVAL, "mounts[0]: destination" },
		{ { .destination = "/a", .type = "ext4" }, -EINVAL, "mounts[0]: type: unknown: ext4" },
		{ { .destination = "/a", .type = NULL }, -EINVAL, "mounts[0]: type" },
		{ { .destination = "/a", .type = "bind" }, -EINVAL, "mounts[0]: source" },
		{ { .destination = "/a", .type = "bind", .source = "tmp" }, -EINVAL, "mounts[0]: source" },
		{ { .destination = "/a", .type = "bind", .source = "/nowhere/at/all" }, -ENOENT, "mounts[0]: source" },
		{ { .destination = "/a", .type = "bind", .source = "/tmp", .options = (char *[]){ "size=1", NULL } },
			-EINVAL, "mounts[0]: options" },
		{ { .destination = "/a", .type = "tmpfs", .options = (char *[]){ "remount", NULL } }, -EINVAL,
			"mounts[0]: options" },
		{ { .destination = "/proc/sys", .type = "bind", .source = "/tmp" }, -EPERM, "mounts[0]: destination" },
		{ { .destination = "/proc", .type = "tmpfs" }, -EPERM, "mounts[0]: destination: /proc" },
	}, exact[] = {
		{ { .destination = "a", .type = "tmpfs" }, 0, "" },
		{ { .destination = "/a", .type = "ext4", .source = "/dev/x" }, 0, "" },
		{ { .destination = "/a", .type = "none" }, -EINVAL, "mounts[0]: type" },
		{ { .destination = "/a", .type = "none", .source = "/tmp", .options = WORDS("rbind", "rshared") },
			0, "" },
		{ { .destination = "/a", .type = "../x" }, -EINVAL, "mounts[0]: type" },
		{ { .destination = "/a", .type = "tmpfs", .options = WORDS("remount", "ro") }, 0, "" },
		{ { .destination = "/a", .type = "proc", .options = WORDS("tmpcopyup") }, -EINVAL,
			"mounts[0]: options" },
		{ { .destination = "/a", .type = "tmpfs", .options = WORDS("idmap") }, -EINVAL, "mounts[0]: options" },
		{ { .destination = "/proc/cpuinfo", .type = "bind", .source = "/tmp" }, 0, "" },
		{ { .destination = "/x/../proc/./sys", .type = "bind", .source = "/tmp" }, -EPERM,
			"mounts[0]: destination: /proc/sys" },
		{ { .destination = "/proc/cpuinfo", .type = "tmpfs" }, -EPERM, "mounts[0]: destination" },
		{ { .destination = "proc", .type = "bind", .source = "/proc" }, 0, "" },
		{ { .destination = "x/..", .type = "tmpfs" }, -EINVAL, "mounts[0]: destination" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan_mount m = cases[i].m;
		struct plan plan = { .mounts = &m, .n_mounts = 1 };
		struct error err = { 0 };
		int r = mounts_check(&plan, &err);

		ok(r == cases[i].ret && !strncmp(err.message, cases[i].text, strlen(cases[i].text)),
				"mount %zu: %d %s", i, r, err.message);
	}
	for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
		struct plan_mount m = exact[i].m;
		struct plan plan = { .mounts = &m, .n_mounts = 1, .mounts_exact = true };
		struct error err = { 0 };
		int r = mounts_check(&plan, &err);

		ok(r == exact[i].ret && !strncmp(err.message, exact[i].text, strlen(exact[i].text)),
				"mount %zu of a bundle: %d %s", i, r, err.message);
	}
	{
		struct plan_mount *many = xcalloc(10000, sizeof *many);
		struct plan plan = { .mounts = many, .n_mounts = 10000, .mounts_exact = true };
		struct error err = { 0 };

		ok(mounts_check(&plan, &err) == -E2BIG && !strncmp(err.message, "mounts: 10000", 13), "%s",
			err.message);
		free(many);
	}
}

static void test_idmaps(void)
{
	struct plan_id_map own = { 0, geteuid(), 1 }, none[2] = { { 5, geteuid(), 1 }, { 9, 9, 1 } };
	struct plan_id_map wide = { 0, UINT32_MAX - 5, 10 }, empty = { 0, 0, 0 };
	struct plan plan = { .namespaces = PLAN_NS(USER), .uid_maps = &own, .n_uid_maps = 1, .gid_maps = &own,
		.n_gid_maps = 1 };
	struct plan_id_map gid = { 0, getegid(), 1 };
	struct error err = { 0 };

	plan.gid_maps = &gid;
	ok(idmap_check(&plan, &err) == 0, "one's own id can be mapped: %s", err.message);
	plan.uid_maps = none;
	ok(idmap_check(&plan, &err) == -EINVAL, "0 has to be: %s", err.message);
	plan.uid_maps = &wide;
	ok(idmap_check(&plan, &err) == -EINVAL, "past the end: %s", err.message);
	plan.uid_maps = &empty;
	ok(idmap_check(&plan, &err) == -EINVAL, "of no length: %s", err.message);
	plan.n_uid_maps = 0;
	ok(idmap_check(&plan, &err) == -EINVAL, "none at all: %s", err.message);
	plan.namespaces = 0;
	ok(idmap_check(&plan, &err) == -EINVAL && strstr(err.message, "gid_maps"), "without a namespace: %s",
			err.message);
	ok(idmap_has(none, 2, 5) && !idmap_has(none, 2, 6) && idmap_has(none, 2, 9) && idmap_has(NULL, 0, 77),
			"which ids exist");
}

static void test_rlimits(void)
{
	struct plan_rlimit limits[] = { { "nofile", 10, 20 }, { "core", 0, 0 } };
	struct rlimit now;
	struct error err = { 0 };

	ok(rlimits_from_name("nofile") == RLIMIT_NOFILE && rlimits_from_name("rttime") == RLIMIT_RTTIME &&
			rlimits_from_name("NOFILE") == -EINVAL && rlimits_from_name("") == -EINVAL, "names");
	ok(rlimits_check(limits, 2, &err) == 0, "lowering is always possible: %s", err.message);
	limits[0].soft = 21;
	ok(rlimits_check(limits, 2, &err) == -EINVAL, "soft above hard: %s", err.message);
	limits[0].type = "files";
	ok(rlimits_check(limits, 2, &err) == -EINVAL, "unknown: %s", err.message);
	(void)getrlimit(RLIMIT_NOFILE, &now);
	limits[0] = (struct plan_rlimit){ "nofile", 1, now.rlim_max + 1 };
	if (geteuid() != 0)
		ok(rlimits_check(limits, 1, &err) == -EPERM, "raising: %s", err.message);
	limits[0] = (struct plan_rlimit){ "core", 0, 0 };
	ok(rlimits_apply(limits, 1, &err) == 0 && getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max == 0, "applied");
}

static void test_caps(void)
{
	bool all = true;

	for (unsigned i = 0; i <= CAP_LAST_CAP; i++)
		all &= caps_name(i) && caps_from_name(caps_name(i)) == (int)i;
	ok(all, "every capability has a name and is found by it");
	ok(caps_from_name("chown") == CAP_CHOWN && caps_from_name("sys_admin") == CAP_SYS_ADMIN &&
			caps_from_name("Cap_Bpf") == CAP_BPF, "short and long, in any case");
	ok(caps_from_name("CAP_") == -EINVAL && caps_from_name("") == -EINVAL &&
			caps_from_name("cap_chownx") == -EINVAL,
			"unknown names");
	ok(!caps_name(63), "no name for a number that is none");
	ok(caps_available() >> CAP_LAST_CAP <= 3, "the bounding set ends somewhere");
}

static void test_devices(void)
{
	struct plan_device d = { .path = "/dev/x", .major = 1, .minor = 3, .mode = 0666 };
	struct plan plan = { .devices = &d, .n_devices = 1 };
	struct error err = { 0 };

	ok(devnodes_check(&plan, &err) == 0, "a device: %s", err.message);
	d.path = "dev/x";
	ok(devnodes_check(&plan, &err) == -EINVAL, "relative: %s", err.message);
	d = (struct plan_device){ .path = "/dev/x", .type = "x", .mode = 0666 };
	ok(devnodes_check(&plan, &err) == -EINVAL, "type: %s", err.message);
	d = (struct plan_device){ .path = "/dev/x", .type = "p", .mode = 0666, .uid = 7 };
	ok(devnodes_check(&plan, &err) == 0, "a FIFO: %s", err.message);
	d = (struct plan_device){ .path = "/dev/x", .major = 4096, .mode = 0666 };
	ok(devnodes_check(&plan, &err) == -EINVAL, "number: %s", err.message);
	d = (struct plan_device){ .path = "/dev/x", .major = 1, .minor = 3, .mode = 04755 };
	ok(devnodes_check(&plan, &err) == -EINVAL, "mode: %s", err.message);
}

static void put_script(int dir, const char *name, const char *text, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	(void)close(fd);
}

static void test_programs(const char *dir, int fd)
{
	_cleanup_free_ char *path = xasprintf("PATH=/nowhere:%s/a::%s/b", dir, dir);
	char *env[] = { path, NULL };
	static const struct {
		const char *name;
		int status;
		const char *text;
	} cases[] = {
		{ "tool", 0, "/b/tool" },              /* a/tool is a folder */
		{ "nope", EXIT_NO_PROGRAM, "exec: \"nope\": executable file not found in $PATH" },
		{ "", EXIT_NO_PROGRAM, "" },
		{ "data", EXIT_NO_EXEC, "exec: \"data\": permission denied" },
		{ "/etc", EXIT_NO_EXEC, "exec: \"/etc\": is a directory: permission denied" },
		{ "/nope/x", EXIT_NO_PROGRAM, "exec: \"/nope/x\": no such file or directory" },
		{ "/etc/passwd/x", EXIT_NO_PROGRAM, "exec: \"/etc/passwd/x\": no such file or directory" },
		{ "/proc/self/exe", EXIT_NO_EXEC, "exec: \"/proc/self/exe\": a link" },
		{ "evil", EXIT_NO_EXEC, "exec: \"evil\": a link" },
		{ "evil2", EXIT_NO_EXEC, "exec: \"evil2\": a link" },
		{ "loop", EXIT_NO_EXEC, "exec: \"loop\": a link" },
	};
	_cleanup_free_ char *second = xasprintf("#!  %s/b/evil arg\n", dir), *loop = xasprintf("#!%s/b/loop\n", dir);

	if (mkdirat(fd, "a", 0755) < 0 || mkdirat(fd, "b", 0755) < 0 || mkdirat(fd, "a/tool", 0755) < 0)
		abort();
	put_script(fd, "b/tool", "#!/bin/sh\n", 0755);
	put_script(fd, "a/data", "data", 0644);
	put_script(fd, "b/evil", "#!/proc/self/exe\n", 0755);
	put_script(fd, "b/evil2", second, 0755);
	put_script(fd, "b/loop", loop, 0755);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char found[4096] = "";
		struct error err = { 0 };
		int status = program_find(cases[i].name, env, found, sizeof found, &err);
		const char *text = status ? err.message : found + strlen(dir);

		ok(status == cases[i].status && !strncmp(text, cases[i].text, strlen(cases[i].text)), "\"%s\": %d %s",
				cases[i].name, status, text);
	}
}

static void test_places(int root)
{
	struct error err = { 0 };
	struct stat st, again;
	int fd;

	fd = mounts_make_dir(root, "/p/q/r", &err);
	ok(fd >= 0 && fstat(fd, &st) == 0 && fstatat(root, "p/q/r", &again, 0) == 0 && st.st_ino == again.st_ino,
			"folders are made: %s", err.message);
	close_cleanup(&fd);
	fd = mounts_make_file(root, "/p/s/file", &err);
	ok(fd >= 0 && fstatat(root, "p/s/file", &again, 0) == 0 && S_ISREG(again.st_mode), "and files: %s",
			err.message);
	close_cleanup(&fd);
	if (symlinkat("/../../etc", root, "out") < 0 || symlinkat("/gone/by", root, "dangling") < 0 ||
			symlinkat("loop", root, "loop") < 0)
		abort();
	fd = mounts_make_dir(root, "/out/deep", &err);
	ok(fd >= 0 && fstatat(root, "etc/deep", &again, 0) == 0 && access("/etc/deep", F_OK) < 0,
		"a link out of the root leads into it: %s", err.message);
	close_cleanup(&fd);
	fd = mounts_make_dir(root, "/dangling/x", &err);
	ok(fd >= 0 && fstatat(root, "gone/by/x", &again, 0) == 0 && access("/gone", F_OK) < 0,
			"a dangling one leads into the root: %s", err.message);
	close_cleanup(&fd);
	fd = place_open(root, "/dangling/y", (struct place){ .strict = true }, &err);
	ok(fd == -ELOOP, "unless no link may be on the way: %s", err.message);
	fd = place_open(root, "/dangling", (struct place){ .strict = true }, &err);
	ok(fd == -ELOOP, "nor at its end: %s", err.message);
	fd = place_open(root, "/strict/y", (struct place){ .strict = true, .file = true }, &err);
	ok(fd >= 0 && fstatat(root, "strict/y", &again, 0) == 0 && S_ISREG(again.st_mode), "%s", err.message);
	close_cleanup(&fd);
	fd = mounts_make_dir(root, "/loop/x", &err);
	ok(fd < 0, "nor a circle: %s", err.message);
	fd = mounts_make_dir(root, "/p/s/file/x", &err);
	ok(fd == -ENOTDIR, "a file in the way: %s", err.message);
	fd = mounts_make_file(root, "/p/q", &err);
	ok(fd >= 0, "what is there already is opened, whatever it is");
	close_cleanup(&fd);
}

static void test_check(void)
{
	const struct {
		const char *lower;
		struct plan_process process;
		const char *field;
	} cases[] = {
		{ "/nowhere", { .argv = (char *[]){ "x", NULL } }, "root.lowers[0]" },
		{ "/etc/passwd", { .argv = (char *[]){ "x", NULL } }, "root.lowers[0]" },
		{ "tmp", { .argv = (char *[]){ "x", NULL } }, "root.lowers[0]" },
		{ "/tmp", { .argv = NULL }, "process.argv" },
		{ "/tmp", { .argv = (char *[]){ "x", NULL }, .cwd = "x" }, "process.cwd" },
		{ "/tmp", { .argv = (char *[]){ "x", NULL }, .init = true }, "process.init" },
		{ "/tmp", { .argv = (char *[]){ "x", NULL }, .capabilities = { .effective = 1 } },
			"process.capabilities.effective" },
		{ "/tmp", { .argv = (char *[]){ "x", NULL }, .capabilities = { .bounding = UINT64_C(1) << 63 } },
			"process.capabilities" },
		{ "/tmp", { .argv = (char *[]){ "x", NULL }, .umask = 01000 }, "process.umask" },
	};
	struct plan_id_map uid = { 0, geteuid(), 1 }, gid = { 0, getegid(), 1 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan plan = { .namespaces = PLAN_NS(MOUNT) | PLAN_NS(USER), .uid_maps = &uid, .n_uid_maps = 1,
			.gid_maps = &gid, .n_gid_maps = 1, .process = cases[i].process,
			.root.lowers = (char *[]){ (char *)(uintptr_t)cases[i].lower, NULL } };
		int r = container_backend.check(&plan, &err);

		ok(r < 0 && !strncmp(err.message, cases[i].field, strlen(cases[i].field)), "%s", err.message);
	}
	ok(container_backend.check(&(struct plan){ 0 }, &err) == -EINVAL && strstr(err.message, "namespaces"), "%s",
			err.message);
}

static void test_probe(void)
{
	struct json_writer *w = json_writer_new(true);
	_cleanup_free_ char *text = NULL;
	struct json *j = NULL;
	struct error err;
	size_t len;

	json_begin_object(w, NULL);
	container_backend.probe(w);
	json_end(w);
	text = json_writer_finish(w, &len);
	ok(json_parse(text, len, "probe", &j, &err) == 0 && json_get(json_get(j, "cgroup"), "layout") &&
			json_get(j, "namespaces") && json_get(j, "landlock_abi"), "the probe is JSON: %s", text);
	json_free(j);
	ok(!terminal_is_master(0) || isatty(0), "standard input is no terminal's master");
}

int main(void)
{
	char dir[] = "/tmp/bivalve-test-parts-XXXXXX";
	struct error err;
	int fd;

	if (!mkdtemp(dir) || (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	test_options();
	test_clean_paths();
	test_sysctls();
	test_mounts();
	test_idmaps();
	test_rlimits();
	test_caps();
	test_devices();
	test_programs(dir, fd);
	test_places(fd);
	test_check();
	test_probe();
	(void)close(fd);
	ok(path_remove_tree(AT_FDCWD, dir, &err) == 0, "cleaned up");
	return tap_done();
}
