/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers for real, through the backend's operations: as root with control groups, as an ordinary user in a user
 * namespace. What can be seen and reached from inside, and what is refused.
 */
#include "tests/unit/containers.h"

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
	{ "no capability in any set", "grep ^Cap /proc/self/status | cut -f2 | uniq -c", 0, " 5 0000000000000000\n" },
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
	static const char *two[] = { rootfs, layer, NULL };
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

static char bundle[128];

/* A root to be written to, with a busybox of its own. */
static bool make_bundle(void)
{
	static const char *const below[] = { "bin", "etc", "proc", "sys", "dev" };
	static const char *const applets[] = { "sh", "echo", "cat", "ls", "touch", "sort", "uniq", "tr", "cut", "head",
		"wc", "readlink", "stat", "mkdir", "mount" };
	_cleanup_free_ char *busybox = NULL;

	snprintf(bundle, sizeof bundle, "%s/bundle", base);
	busybox = xasprintf("%s/bin/busybox", bundle);
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
	_cleanup_free_ char *written = NULL;
	struct error err = { 0 };
	struct result r;
	struct plan plan;

	if (!make_bundle())
		abort(); /* there was a busybox for the images */
	written = xasprintf("%s/written", bundle);
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

int main(void)
{
	static void (*const tests[])(void) = { test_inside, test_failures, test_setup_errors, test_plans, test_bundle,
		test_root_only };

	return run_tests(tests, ARRAY_LEN(tests));
}
