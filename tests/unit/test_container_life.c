/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How containers live and end, through the backend's operations: the streams they are given, the limits that bind them,
 * start, signals, removal, and launchers that are killed. Nothing may be left.
 */
#include <poll.h>
#include <time.h>

#include "tests/unit/containers.h"

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
		all &= container_backend.delete(&in, &err) == 0 && !is_left(in.cgroup);
		instance_release(&in);
	}
	ok(all, "40 launchers killed at 0 to 6 ms: their containers are gone %s", err.message);
}

int main(void)
{
	static void (*const tests[])(void) = { test_stdio, test_limits, test_lifecycle, test_sudden_end };

	return run_tests(tests, ARRAY_LEN(tests));
}
