/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_TESTS_CONTAINERS_H
#define BIVALVE_TESTS_CONTAINERS_H

/*
 * Containers for real, for the tests of what is in them and of how they live: images, a plan to begin with, a run from
 * create to delete. Included once, by a test program.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policies/enforce/cgroup.h"
#include "runtime/base/alloc.h"
#include "runtime/base/fd.h"
#include "runtime/base/path.h"
#include "runtime/model/backend.h"
#include "tests/unit/tap.h"

static char base[] = "/tmp/bivalve-test-spawn-XXXXXX";
static bool group_left; /* a container's, after it was deleted */
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
	static char id[40];

	snprintf(id, sizeof id, "test-spawn-%d", (int)getpid());
	*p = (struct plan){ .id = id, .backend = (char *)"container", .hostname = (char *)"testbox",
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

/* Whether a control group that was removed is there, in any hierarchy. */
static bool is_left(const char *group)
{
	struct cgroup_host host;
	bool found = false;

	cgroup_probe(&host);
	for (unsigned h = 0; group && h < CGROUP_HIERARCHIES; h++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", host.roots[h], group);

		found |= host.roots[h][0] && access(path, F_OK) == 0;
	}
	return found;
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
	group_left |= is_left(in->cgroup);
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

static char rootfs[128], layer[128], hostile[128], volume[128];
static const char *one[] = { rootfs, NULL };

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

/* The images: a busybox, a layer above it, and one whose /dev is a link. */
static bool make_images(void)
{
	static const char *const applets[] = { "sh", "true", "echo", "cat", "ls", "id", "env", "sleep", "stty", "tty",
		"hostname", "wc", "grep", "head", "kill", "touch", "mkdir", "readlink", "ip", "find", "sort", "uniq",
		"tr",
		"cut" };
	_cleanup_free_ char *busybox = NULL;

	snprintf(rootfs, sizeof rootfs, "%s/root,with:odd\\name", base);
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
	return copy_busybox(busybox);
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

/* The tests one after the other, between a look at what is open, mounted and running before and after. */
static int run_tests(void (*const tests[])(void), size_t n)
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
	if (reason)
		skip("%s", reason);
	for (size_t i = 0; !reason && i < n; i++)
		tests[i]();
	ok(count("fds") == fds, "no descriptor is left open (%u, %u)", fds, count("fds"));
	ok(count("mounts") == mounts_before, "no mount is left");
	ok(!group_left, "no control group is left");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no process is left");
	ok(path_remove_tree(AT_FDCWD, base, &err) == 0, "cleaned up");
	return tap_done();
}

#endif
