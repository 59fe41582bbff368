/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers for real, through the backend's operations: as root with control groups, as an ordinary user in a user
 * namespace. What leaks, what can be reached from inside, and that nothing is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "tests/unit/tap.h"

static char base[] = "/tmp/bivalve-test-spawn-XXXXXX";
static struct plan_id_map own_uid = { 0, 0, 1 }, own_gid = { 0, 0, 1 };

struct result {
	char out[16384];
	int status;               /* wait(2) */
	bool exec_seen, exit_seen;
	int exit_status;          /* the EXIT event's */
	int error_status;         /* the ERROR event's */
	char error[1024];
	struct report report;
};

static void base_plan(struct plan *p, char **argv, const char *const *lowers)
{
	static char *masked[] = { (char *)"/proc/keys", (char *)"/proc/acpi", (char *)"/proc/nothing", NULL };
	static char *readonly[] = { (char *)"/proc/sys", (char *)"/proc/nothing", NULL };
	static char *env[] = { (char *)"PATH=/bin", NULL };

	*p = (struct plan){ .id = (char *)"test-spawn", .backend = (char *)"container", .hostname = (char *)"testbox",
		.namespaces = PLAN_NS(PID) | PLAN_NS(MOUNT) | PLAN_NS(UTS) | PLAN_NS(IPC) | PLAN_NS(NET) |
			PLAN_NS(CGROUP),
		.root = { .lowers = (char **)(uintptr_t)lowers, .upper_bytes = 16 << 20 },
		.process = { .argv = argv, .env = env, .cwd = (char *)"/work/here", .init = true,
			.no_new_privs = true },
		.masked_paths = masked, .readonly_paths = readonly };
	if (geteuid() != 0) {
		p->namespaces |= PLAN_NS(USER);
		p->uid_maps = &own_uid;
		p->gid_maps = &own_gid;
		p->n_uid_maps = p->n_gid_maps = 1;
	}
}

static int begin(const struct plan *plan, struct instance *in, const int stdio[3], struct error *err)
{
	instance_init(in);
	in->id = xasprintf("test-spawn-%d", (int)getpid());
	in->backend = xstrdup("container");
	in->dir = xasprintf("%s/run/%s", base, in->id);
	in->supervisor = (uint64_t)getpid();
	if (path_mkdirs(in->dir, 0700, err) < 0 || instance_save(in, err) < 0)
		return -err->code;
	return container_backend.create(plan, in, stdio, err);
}

static void read_events(int fd, struct result *r)
{
	struct backend_event e;

	while (recv(fd, &e, sizeof e, MSG_DONTWAIT) == (ssize_t)sizeof e) {
		r->exec_seen |= e.kind == EVENT_MILESTONE && !strcmp(e.text, "exec");
		if (e.kind == EVENT_ERROR) {
			r->error_status = e.exit_status;
			snprintf(r->error, sizeof r->error, "%s", e.text);
		}
		if (e.kind == EVENT_EXIT) {
			r->exit_seen = true;
			r->exit_status = e.exit_status;
		}
	}
}

static void end(struct instance *in, struct result *r)
{
	struct error err = { 0 };

	(void)waitpid((pid_t)in->pid, &r->status, 0);
	read_events(in->live.event_fd, r);
	container_backend.account(in, &r->report);
	if (container_backend.delete(in, &err) < 0)
		ok(false, "delete: %s", err.message);
	instance_release(in);
}

/* Runs the plan to its end with standard output and error captured. */
static int run(const struct plan *plan, struct result *r, struct error *err)
{
	int out[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC), s;
	struct instance in;
	ssize_t n;

	memset(r, 0, sizeof *r);
	if (pipe2(out, O_CLOEXEC) < 0)
		abort();
	s = begin(plan, &in, (int[]){ null, out[1], out[1] }, err);
	(void)close(out[1]);
	(void)close(null);
	if (s == 0)
		s = container_backend.start(&in, err);
	if (s == 0 && in.live.console_fd >= 0) { /* reading the master ends with EIO */
		n = fd_read_full(in.live.console_fd, r->out, sizeof r->out - 1);
	} else if (s == 0) {
		n = fd_read_full(out[0], r->out, sizeof r->out - 1);
		if (n < 0)
			abort();
	}
	(void)close(out[0]);
	if (s == 0) {
		end(&in, r);
	} else {
		(void)container_backend.delete(&in, NULL);
		instance_release(&in);
	}
	return s;
}

/* On one line, for TAP. */
static const char *flat(const char *text)
{
	static char line[sizeof ((struct result *)NULL)->out];

	snprintf(line, sizeof line, "%s", text);
	for (char *at = line; *at; at++)
		if (*at == '\n' || *at == '\r')
			*at = '|';
	return line;
}

static char **shell(const char *script)
{
	static char *argv[4];

	argv[0] = (char *)"sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)(uintptr_t)script;
	return argv;
}

static char rootfs[128], bundle[128], layer[128], hostile[128], volume[128];
static const char *one[] = { rootfs, NULL }, *two[] = { rootfs, layer, NULL };

/* What a shell inside sees: exit status and a piece of the output. */
static const struct {
	const char *name, *script;
	int code;
	const char *text;
} inside[] = {
	{ "output", "echo hi; echo there >&2", 0, "hi\nthere\n" },
	{ "exit status", "exit 7", 7, "" },
	{ "signals are 128+n", "kill -USR1 $$", 128 + SIGUSR1, "" },
	{ "host name", "hostname", 0, "testbox\n" },
	{ "missing working folder", "pwd", 0, "/work/here\n" },
	{ "environment", "env | grep -v SHLVL | grep -v PWD | sort", 0, "HOME=/root\nPATH=/bin\n" },
	{ "process ids", "echo $$", 0, "2\n" },
	{ "only three descriptors", "ls /proc/self/fd | grep -v 3", 0, "0\n1\n2\n" },
	{ "own loopback, up", "ip -o addr show lo | grep -c 127.0.0.1; ls /sys/class/net", 0, "1\nlo\n" },
	{ "writable root", "echo x > /new && cat /new", 0, "x\n" },
	{ "masked file", "cat /proc/keys; wc -c < /proc/keys", 0, "0\n" },
	{ "read-only /proc/sys", "echo 1 > /proc/sys/vm/swappiness", 1, "Read-only file system" },
	{ "read-only /sys", "mkdir /sys/x", 1, "" },
	{ "devices", "head -c 4 /dev/urandom | wc -c; head -c 3 /dev/zero | wc -c; echo x > /dev/full", 1, "4\n3\n" },
	{ "/dev/shm", "echo x > /dev/shm/y && cat /dev/shm/y", 0, "x\n" },
	{ "device links", "echo linked > /dev/stdout", 0, "linked\n" },
	{ "PID 1's name", "tr '\\0' ' ' < /proc/1/cmdline", 0, "bivalve-init" },
	{ "PID 1's program", "readlink /proc/1/exe && echo open", 1, "" },
	{ "PID 1's memory", "cat /proc/1/mem", 1, "Permission denied" },
	{ "PID 1's environment", "cat /proc/1/environ", 1, "Permission denied" },
	{ "PID 1 cannot be killed", "kill -9 1; kill -STOP 1; echo alive", 0, "alive\n" },
	{ "no capability", "grep CapEff /proc/self/status", 0, "0000000000000000" },
	{ "empty bounding set", "grep CapBnd /proc/self/status", 0, "0000000000000000" },
	{ "no new privileges", "grep NoNewPrivs /proc/self/status", 0, "NoNewPrivs:\t1" },
	{ "signal handling", "grep -E 'SigBlk|SigIgn' /proc/self/status | cut -f2 | uniq", 0, "0000000000000000\n" },
	{ "no host mounts", "grep -c /tmp/bivalve /proc/self/mountinfo", 1, "0\n" },
	{ "orphans end with it", "(sleep 1000 & ) ; sleep 1000 & exit 3", 3, "" },
	{ "umask", "umask", 0, "0022\n" },
};

static void test_inside(void)
{
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		struct error err = { 0 };
		struct result r;
		struct plan plan;
		int s;

		base_plan(&plan, shell(inside[i].script), one);
		s = run(&plan, &r, &err);
		ok(s == 0 && WIFEXITED(r.status) && WEXITSTATUS(r.status) == inside[i].code &&
				strstr(r.out, inside[i].text) && r.exec_seen && r.exit_seen, "%s: %d %x \"%s\" %s%s",
				inside[i].name, s, r.status, flat(r.out), err.message, r.error);
	}
}

static void test_failures(void)
{
	static const struct {
		const char *program;
		int status;
		const char *text;
	} cases[] = {
		{ "nope", 127, "executable file not found in $PATH" },
		{ "/bin/nope", 127, "no such file or directory" },
		{ "/etc", 126, "is a directory: permission denied" },
		{ "/etc/passwd", 126, "permission denied" },
		{ "/bin/junk", 126, "exec format error" },
		{ "/bin/noint", 127, "interpreter" },
		{ "/bin/evil", 126, "a link" },
		{ "/proc/self/exe", 126, "a link" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases) * 2; i++) {
		char *argv[] = { (char *)(uintptr_t)cases[i / 2].program, NULL };
		struct error err = { 0 };
		struct result r;
		struct plan plan;
		int s;

		base_plan(&plan, argv, one);
		plan.process.init = i & 1;
		s = run(&plan, &r, &err);
		ok(s == 0 && WIFEXITED(r.status) && WEXITSTATUS(r.status) == cases[i / 2].status &&
				r.error_status == cases[i / 2].status && strstr(r.error, cases[i / 2].text),
				"%s%s: %d %s %s", argv[0], i & 1 ? " under init" : "", WEXITSTATUS(r.status), r.error,
				err.message);
	}
}

static void test_setup_errors(void)
{
	static const struct {
		const char *lower, *user, *text;
	} cases[] = {
		{ rootfs, "nobody-here", "process.user: no user nobody-here" },
		{ hostile, NULL, "/dev in the root: a symbolic link" },
		{ "/nowhere/at/all", NULL, "root.lowers[0]" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *lowers[] = { cases[i].lower, NULL };
		struct error err = { 0 };
		struct result r;
		struct plan plan;
		int told = 0;

		base_plan(&plan, shell("true"), lowers);
		plan.process.user = (char *)(uintptr_t)cases[i].user;
		/* Many times: the child may end before, while or after we send it its control groups. */
		for (int n = 0; n < 20; n++)
			told += run(&plan, &r, &err) < 0 && strstr(err.message, cases[i].text);
		ok(told == 20, "refused: %d of 20, %s", told, err.message);
	}
}

static void test_plans(void)
{
	struct plan_mount mounts[] = {
		{ .destination = (char *)"/a/b", .type = (char *)"bind", .source = volume,
			.options = (char *[]){ (char *)"ro", (char *)"noexec", NULL } },
		{ .destination = (char *)"/out/file", .type = (char *)"bind", .source = volume },
		{ .destination = (char *)"/scratch", .type = (char *)"tmpfs",
			.options = (char *[]){ (char *)"size=64k", NULL } },
		{ .destination = (char *)"/dev/shm", .type = (char *)"tmpfs",
			.options = (char *[]){ (char *)"size=32k", NULL } },
	};
	struct error err = { 0 };
	struct result r;
	struct plan plan;

	base_plan(&plan, shell("cat /a/b/f /etc/layered /etc/motd; echo x > /a/b/f;"
			"head -c 99999 /dev/zero > /scratch/z; head -c 50000 /dev/zero > /dev/shm/z;"
			"wc -c < /scratch/z; wc -c < /dev/shm/z; ls -d /etc/file"), two);
	plan.mounts = mounts;
	plan.n_mounts = ARRAY_LEN(mounts);
	ok(run(&plan, &r, &err) == 0 && !strncmp(r.out, "canary\nupper\nmotd\n", 18) && strstr(r.out, "Read-only") &&
			strstr(r.out, "65536\n32768\n"), "layers and mounts: %s%s", flat(r.out), err.message);
	ok(strstr(r.out, "/etc/file\n") && access("/etc/file", F_OK) < 0, "a link in the image leads into the image");

	base_plan(&plan, shell("touch /x; touch /etc/y; pwd"), one);
	plan.root.read_only = true;
	ok(run(&plan, &r, &err) == 0 && strstr(r.out, "/x: Read-only") && strstr(r.out, "/etc/y: Read-only") &&
			strstr(r.out, "/work/here"), "read-only root that lacks the working folder: %s", flat(r.out));
	plan.process.cwd = (char *)"/";
	ok(run(&plan, &r, &err) == 0 && strstr(r.out, "/x: Read-only"), "read-only root of one layer: %s", flat(r.out));

	base_plan(&plan, shell("tty; stty size; test -c /dev/console && echo console; echo x > /dev/tty"), one);
	plan.process.terminal = true;
	plan.process.rows = 33;
	plan.process.columns = 99;
	ok(run(&plan, &r, &err) == 0 && !strcmp(r.out, "/dev/pts/0\r\n33 99\r\nconsole\r\nx\r\n"), "terminal: %s%s",
			flat(r.out), err.message);

	base_plan(&plan, shell("echo $$; kill -TERM $$; echo ignored; exit 5"), one);
	plan.process.init = false;
	ok(run(&plan, &r, &err) == 0 && !strcmp(r.out, "1\nignored\n") && WIFEXITED(r.status) &&
			WEXITSTATUS(r.status) == 5 && !r.exit_seen, "without init the workload is process 1: %s",
			flat(r.out));
	base_plan(&plan, shell("ulimit -n; ulimit -c"), one);
	plan.process.rlimits = (struct plan_rlimit[]){ { (char *)"nofile", 17, 19 }, { (char *)"core", 0, 0 } };
	plan.process.n_rlimits = 2;
	ok(run(&plan, &r, &err) == 0 && !strcmp(r.out, "17\n0\n"), "rlimits: %s", flat(r.out));
}

/* What the usual config.json mounts. */
static struct plan_mount usual_mounts[] = {
	{ .destination = (char *)"/proc", .type = (char *)"proc", .source = (char *)"proc" },
	{ .destination = (char *)"/dev", .type = (char *)"tmpfs", .source = (char *)"tmpfs",
		.options = (char *[]){ (char *)"nosuid", (char *)"strictatime", (char *)"mode=755",
			(char *)"size=65536k", NULL } },
	{ .destination = (char *)"/dev/pts", .type = (char *)"devpts", .source = (char *)"devpts",
		.options = (char *[]){ (char *)"nosuid", (char *)"noexec", (char *)"newinstance",
			(char *)"ptmxmode=0666", (char *)"mode=0620", NULL } },
	{ .destination = (char *)"/dev/shm", .type = (char *)"tmpfs", .source = (char *)"shm",
		.options = (char *[]){ (char *)"nosuid", (char *)"noexec", (char *)"nodev", (char *)"mode=1777",
			(char *)"size=65536k", NULL } },
	{ .destination = (char *)"/dev/mqueue", .type = (char *)"mqueue", .source = (char *)"mqueue",
		.options = (char *[]){ (char *)"nosuid", (char *)"noexec", (char *)"nodev", NULL } },
	{ .destination = (char *)"/sys", .type = (char *)"sysfs", .source = (char *)"sysfs",
		.options = (char *[]){ (char *)"nosuid", (char *)"noexec", (char *)"nodev", (char *)"ro", NULL } },
};

static void bundle_plan(struct plan *plan, char **argv)
{
	static const char *none[] = { NULL };

	base_plan(plan, argv, none);
	plan->root = (struct plan_root){ .path = bundle };
	plan->mounts_exact = true;
	plan->mounts = usual_mounts;
	plan->n_mounts = ARRAY_LEN(usual_mounts);
	plan->process.cwd = (char *)"/";
}

/* A root that is a directory, with exactly the mounts of the plan. */
static void test_bundle(void)
{
	_cleanup_free_ char *written = xasprintf("%s/written", bundle);
	struct error err = { 0 };
	struct result r;
	struct plan plan;

	bundle_plan(&plan, shell("echo x > /written; cut -d' ' -f5 /proc/self/mountinfo | sort | uniq | tr '\n' ' ';"
			"echo y > /dev/null; ls /dev | tr '\n' ' '; readlink /dev/fd; head -c 3 /dev/zero | wc -c"));
	plan.masked_paths = plan.readonly_paths = NULL;
	ok(run(&plan, &r, &err) == 0 && !strncmp(r.out, "/ /dev ", 7) && strstr(r.out, " /proc /sys core ") &&
			strstr(r.out, "fd full mqueue null") && strstr(r.out, "/proc/self/fd\n3\n"),
			"the mounts of a bundle: %s%s", flat(r.out), err.message);
	ok(access(written, F_OK) == 0, "what is written to the root is in the directory");
	bundle_plan(&plan, shell("touch /x; touch /etc/y; echo z > /dev/shm/z && cat /dev/shm/z; ls /proc"));
	plan.root.read_only = true;
	ok(run(&plan, &r, &err) == 0 && strstr(r.out, "/x: Read-only") && strstr(r.out, "/etc/y: Read-only") &&
			strstr(r.out, "z\n"), "read-only: %s%s", flat(r.out), err.message);
	bundle_plan(&plan, (char *[]){ (char *)"/bin/ls", (char *)"/proc", (char *)"/dev", NULL });
	plan.n_mounts = 0;
	plan.masked_paths = plan.readonly_paths = NULL;
	ok(run(&plan, &r, &err) == 0 && !strcmp(r.out, "/dev:\n\n/proc:\n"), "no mounts at all: %s%s", flat(r.out),
			err.message);
	plan.root.path = (char *)"/nowhere/at/all";
	ok(run(&plan, &r, &err) == -ENOENT && strstr(err.message, "root.path"), "no root: %s", err.message);
}

/* Standard descriptors in every order that could cover one before its turn. */
static void test_stdio(void)
{
	static const int orders[][3] = { { 0, 1, 2 }, { 1, 0, 2 }, { 2, 1, 0 }, { 1, 2, 0 }, { 2, 0, 1 }, { 1, 1, 1 },
		{ 2, 2, 0 }, { -1, 1, 0 }, { 9, 9, 9 } };
	bool all = true;

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		pid_t launcher = fork();
		int status;

		if (launcher == 0) {
			struct instance in;
			struct result r = { 0 };
			struct plan plan;
			struct error err;
			int fd;

			base_plan(&plan, shell("cd /proc/$$/fd;"
					"exit $(($(cat 0) != A || $(cat 1) != B || $(cat 2) != C))"), one);
			for (int n = 0; n < 10; n++) { /* files that hold the number of their descriptor */
				_cleanup_free_ char *path = xasprintf("%s/fd-%d", base, n);

				(void)close(n);
				fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
				if (fd != n || dprintf(fd, "%d", n) < 0)
					_exit(2);
			}
			plan.process.env = (char *[]){ (char *)"PATH=/bin", xasprintf("A=%d", orders[i][0]),
				xasprintf("B=%d", orders[i][1]), xasprintf("C=%d", orders[i][2]), NULL };
			if (orders[i][0] < 0)
				plan.process.argv = shell("readlink /proc/self/fd/0 | grep -q /dev/null");
			if (begin(&plan, &in, orders[i], &err) < 0 || container_backend.start(&in, &err) < 0)
				_exit(3);
			end(&in, &r);
			_exit(WEXITSTATUS(r.status));
		}
		(void)waitpid(launcher, &status, 0);
		if (status)
			printf("# order %zu: %x\n", i, status);
		all &= status == 0;
	}
	ok(all, "standard descriptors arrive in order whatever their numbers");
}

static void test_root_only(void)
{
	struct plan_device device = { .path = (char *)"/dev/also/null", .major = 1, .minor = 3, .mode = 0600 };
	struct plan_id_map map = { 0, 100000, 65536 };
	struct error err = { 0 };
	struct result r;
	struct plan plan;

	if (geteuid() != 0) {
		skip("other users, devices, maps: needs root");
		return;
	}
	base_plan(&plan, shell("id; cat /proc/1/environ"), one);
	plan.process.user = (char *)"app";
	ok(run(&plan, &r, &err) == 0 && strstr(r.out, "uid=1000(app) gid=1000(app) groups=77(extra)") &&
			strstr(r.out, "Permission denied"), "a user by name: %s", flat(r.out));
	base_plan(&plan, shell("ls -l /dev/also/null; echo x > /dev/also/null"), one);
	plan.devices = &device;
	plan.n_devices = 1;
	ok(run(&plan, &r, &err) == 0 && !strncmp(r.out, "crw-------", 10) && WEXITSTATUS(r.status) == 0,
			"a device: %s%s", flat(r.out), err.message);
	base_plan(&plan, shell("id -u; cat /proc/self/uid_map; touch /etc/new && ls -ln /etc/new"), one);
	plan.namespaces |= PLAN_NS(USER);
	plan.uid_maps = plan.gid_maps = &map;
	plan.n_uid_maps = plan.n_gid_maps = 1;
	ok(run(&plan, &r, &err) == 0 && !strncmp(r.out, "0\n", 2) && strstr(r.out, "100000      65536"), "maps: %s%s",
			flat(r.out), err.message);
}

static void test_limits(void)
{
	struct cgroup_host host;
	struct error err = { 0 };
	struct result r;
	struct plan plan;

	cgroup_probe(&host);
	base_plan(&plan, shell("true"), one);
	plan.resources = (struct plan_resources){ .memory_bytes = 32 << 20, .pids = 16, .cpu_quota_us = 50000 };
	if (!host.memory || !host.pids || !host.cpu) {
		ok(container_backend.check(&plan, &err) == -EOPNOTSUPP && strstr(err.message, "resources.memory_bytes"),
				"limits that nothing can bind are refused: %s", err.message);
		return;
	}
	ok(container_backend.check(&plan, &err) == 0, "limits are possible: %s", err.message);
	plan.process.argv = shell("head -c 100000000 /dev/zero > /dev/shm/big; echo $?");
	ok(run(&plan, &r, &err) == 0 && r.report.oom_kills >= 1 && r.report.peak_memory_bytes > 16 << 20,
			"memory: %s, %ju killed, peak %ju", flat(r.out), (uintmax_t)r.report.oom_kills,
			(uintmax_t)r.report.peak_memory_bytes);
	plan.process.argv = shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do sleep 100 & done; echo made");
	ok(run(&plan, &r, &err) == 0 && r.report.pids_denied >= 1 && WEXITSTATUS(r.status), "processes: %ju denied",
			(uintmax_t)r.report.pids_denied);
	plan.mounts = &(struct plan_mount){ .destination = (char *)"/sys/fs/cgroup", .type = (char *)"cgroup" };
	plan.n_mounts = 1;
	plan.process.argv = shell("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>&-;"
			"find /sys/fs/cgroup -type d | wc -l; cat /proc/self/cgroup | grep -c bivalve");
	ok(run(&plan, &r, &err) == 0 && !strncmp(r.out, "33554432\n", 9) && strstr(r.out, "\n0\n"),
			"its group is shown: %s%s", flat(r.out), err.message);
}

/* Whether a process ends within 5 s. */
static bool ends(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 5000) == 1;
}

static void test_lifecycle(void)
{
	struct error err = { 0 };
	struct result r = { 0 };
	struct instance in, stale;
	struct plan plan;
	int out[2];
	char byte;

	base_plan(&plan, shell("trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.01; done"), one);
	if (pipe2(out, O_CLOEXEC) < 0)
		abort();
	ok(begin(&plan, &in, (int[]){ -1, out[1], -1 }, &err) == 0, "created: %s", err.message);
	(void)close(out[1]);
	ok(poll(&(struct pollfd){ .fd = out[0], .events = POLLIN }, 1, 50) == 0, "nothing runs before start");
	ok(container_backend.start(&in, &err) == 0, "started");
	ok(read(out[0], &byte, 1) == 1 && byte == 'r', "runs");
	ok(container_backend.kill(&in, SIGTERM, &err) == 0, "signalled: %s", err.message);
	(void)waitpid((pid_t)in.pid, &r.status, 0);
	ok(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 9, "the signal reached the workload through init (%x)",
			r.status);
	ok(container_backend.kill(&in, SIGTERM, &err) == -ESRCH, "afterwards there is nobody");
	(void)close(out[0]);
	end(&in, &r);

	base_plan(&plan, shell("sleep 1000"), one);
	ok(begin(&plan, &in, (int[]){ -1, -1, -1 }, &err) == 0, "created");
	close_cleanup(&in.live.start_fd);
	in.live.start_fd = -1;
	ok(ends(in.live.pidfd), "never started: it gives up");
	end(&in, &r);

	ok(begin(&plan, &in, (int[]){ -1, -1, -1 }, &err) == 0 && container_backend.start(&in, &err) == 0, "started");
	{
		_cleanup_free_ char *run_dir = xasprintf("%s/run", base);

		ok(instance_load(run_dir, in.id, &stale, &err) == 0, "loaded: %s", err.message);
	}
	ok(container_backend.delete(&stale, &err) == 0, "deleted by another process's knowledge: %s", err.message);
	(void)waitpid((pid_t)in.pid, &r.status, 0);
	ok(WIFSIGNALED(r.status), "and gone");
	ok(container_backend.delete(&stale, &err) == 0 && container_backend.delete(&in, &err) == 0, "again, twice");
	stale.pid = (uint64_t)getpid();
	ok(container_backend.kill(&stale, SIGTERM, &err) == -ESRCH && container_backend.delete(&stale, &err) == 0,
			"a pid with another start time is somebody else");
	instance_release(&stale);
	instance_release(&in);
}

/* A launcher that is killed at any moment leaves an empty group at most, under the name in state.json. */
static void test_sudden_end(void)
{
	_cleanup_free_ char *run_dir = xasprintf("%s/run", base);
	struct error err = { 0 };
	bool all = true;

	for (int i = 0; i < 40; i++) {
		struct timespec delay = { .tv_nsec = i * 150000 };
		_cleanup_free_ char *id = NULL;
		struct instance in;
		struct plan plan;
		pid_t launcher = fork();

		if (launcher == 0) {
			base_plan(&plan, shell("(sleep 1000 &); sleep 1000"), one);
			if (begin(&plan, &in, (int[]){ -1, -1, -1 }, &err) == 0)
				(void)container_backend.start(&in, &err);
			for (;;)
				(void)pause();
		}
		id = xasprintf("test-spawn-%d", (int)launcher);
		(void)nanosleep(&delay, NULL);
		(void)kill(launcher, SIGKILL);
		(void)waitpid(launcher, NULL, 0);
		if (instance_load(run_dir, id, &in, &err) < 0)
			continue; /* killed before it wrote anything */
		if (in.pid) {
			_cleanup_close_ int fd = pidfd_open_pid((pid_t)in.pid);

			all &= fd < 0 || ends(fd);
		}
		all &= container_backend.delete(&in, &err) == 0;
		instance_release(&in);
	}
	ok(all, "40 launchers killed at 0 to 6 ms: their containers are gone %s", err.message);
}

static unsigned count(const char *what)
{
	_cleanup_free_ char *text = NULL;
	unsigned n = 0;

	if (!strcmp(what, "mounts")) {
		if (file_read_at(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, NULL, NULL) < 0)
			return 0;
		for (char *at = text; (at = strchr(at, '\n')); at++)
			n++;
	} else {
		for (int fd = 0; fd < 256; fd++)
			n += fcntl(fd, F_GETFD) >= 0;
	}
	return n;
}

static bool groups_left(void)
{
	struct cgroup_host host;

	cgroup_probe(&host);
	for (unsigned h = 0; h < CGROUP_HIERARCHIES; h++) {
		_cleanup_free_ char *path = xasprintf("%s/bivalve/test-spawn-%d", host.roots[h], (int)getpid());

		if (host.roots[h][0] && access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static void put(const char *dir, const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	(void)close(fd);
}

static bool copy_busybox(const char *to)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int fd;

	if (file_read_at(AT_FDCWD, "/bin/busybox", 8 << 20, &text, &len, NULL) < 0)
		return false;
	fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (fd < 0 || fd_write_full(fd, text, len) < 0)
		abort();
	(void)close(fd);
	return true;
}

/* A root to be written to, with a busybox of its own. */
static bool make_bundle(void)
{
	static const char *const below[] = { "bin", "etc", "proc", "sys", "dev" };
	static const char *const applets[] = { "sh", "echo", "cat", "ls", "touch", "sort", "uniq", "tr", "cut", "head",
		"wc", "readlink", "stat", "mkdir", "mount" };
	_cleanup_free_ char *busybox = xasprintf("%s/bin/busybox", bundle);

	for (size_t i = 0; i < ARRAY_LEN(below); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", bundle, below[i]);

		if (path_mkdirs(path, 0755, NULL) < 0)
			abort();
	}
	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		_cleanup_free_ char *path = xasprintf("%s/bin/%s", bundle, applets[i]);

		if (symlink("busybox", path) < 0)
			abort();
	}
	return copy_busybox(busybox);
}

/* The images: a busybox, a layer above it, and one whose /dev is a link. */
static bool make_images(void)
{
	static const char *const applets[] = { "sh", "true", "echo", "cat", "ls", "id", "env", "sleep", "stty", "tty",
		"hostname", "wc", "grep", "head", "kill", "touch", "mkdir", "readlink", "ip", "find", "sort", "uniq",
		"tr",
		"cut" };
	_cleanup_free_ char *busybox = NULL;

	snprintf(rootfs, sizeof rootfs, "%s/root,with:odd\\name", base);
	snprintf(bundle, sizeof bundle, "%s/bundle", base);
	snprintf(layer, sizeof layer, "%s/layer", base);
	snprintf(hostile, sizeof hostile, "%s/hostile", base);
	snprintf(volume, sizeof volume, "%s/volume", base);
	busybox = xasprintf("%s/bin/busybox", rootfs);
	for (size_t i = 0; i < 4; i++) {
		const char *dirs[] = { rootfs, layer, hostile, volume };
		const char *below[] = { "bin", "etc", "proc", "sys", "dev", "root" };

		for (size_t j = 0; j < (i == 0 ? 6 : i == 1 ? 2 : 0); j++) {
			_cleanup_free_ char *path = xasprintf("%s/%s", dirs[i], below[j]);

			if (path_mkdirs(path, 0755, NULL) < 0)
				abort();
		}
		if (path_mkdirs(dirs[i], 0755, NULL) < 0)
			abort();
	}
	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		_cleanup_free_ char *path = xasprintf("%s/bin/%s", rootfs, applets[i]);

		if (symlink("busybox", path) < 0)
			abort();
	}
	put(rootfs, "etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n", 0644);
	put(rootfs, "etc/group", "root:x:0:\napp:x:1000:\nextra:x:77:app\n", 0644);
	put(rootfs, "etc/motd", "motd\n", 0644);
	put(rootfs, "etc/layered", "lower\n", 0644);
	put(layer, "etc/layered", "upper\n", 0644);
	put(rootfs, "bin/junk", "junk", 0755);
	put(rootfs, "bin/noint", "#!/nope\n", 0755);
	put(rootfs, "bin/evil", "#!/proc/self/exe\n", 0755);
	put(volume, "f", "canary\n", 0644);
	{
		_cleanup_free_ char *out = xasprintf("%s/out", layer), *dev = xasprintf("%s/dev", hostile);

		if (symlink("../../../../etc", out) < 0 || symlink("/tmp", dev) < 0)
			abort();
	}
	return copy_busybox(busybox) && make_bundle();
}

/* A first container tells whether this machine and user can have any. */
static const char *cannot(void)
{
	struct error err = { 0 };
	struct result r;
	struct plan plan;

	base_plan(&plan, shell("true"), one);
	if (run(&plan, &r, &err) < 0)
		return geteuid() != 0 && (err.code == EPERM || err.code == ENOSPC || err.code == EINVAL) ?
			"containers: needs root or user namespaces" : NULL;
	return strstr(r.error, "interpreter") ? "containers: /bin/busybox is not static" : NULL;
}

int main(void)
{
	unsigned fds, mounts_before;
	const char *reason;
	struct error err;

	own_uid.outside = geteuid();
	own_gid.outside = getegid();
	(void)signal(SIGPIPE, SIG_IGN); /* and must not reach the workload */
	if (!mkdtemp(base) || chmod(base, 0755) < 0)
		abort();
	(void)umask(0022);
	reason = make_images() ? cannot() : "containers: needs busybox-static";
	fds = count("fds");
	mounts_before = count("mounts");
	if (reason) {
		skip("%s", reason);
	} else {
		test_inside();
		test_failures();
		test_setup_errors();
		test_plans();
		test_bundle();
		test_stdio();
		test_root_only();
		test_limits();
		test_lifecycle();
		test_sudden_end();
	}
	ok(count("fds") == fds, "no descriptor is left open (%u, %u)", fds, count("fds"));
	ok(count("mounts") == mounts_before, "no mount is left");
	ok(!groups_left(), "no control group is left");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no process is left");
	ok(path_remove_tree(AT_FDCWD, base, &err) == 0, "cleaned up");
	return tap_done();
}
