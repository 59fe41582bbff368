/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel itself charges for a container: one clone(2) with all namespaces, an overlay root, /proc, a /dev,
 * pivot_root, three cgroups where the host has v1 hierarchies, exec of /bin/true, wait, clean up. No launcher can be
 * cheaper on this host. `floor ROOTFS` runs once and exits; bench/start-container times it beside the others.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FLAGS = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP | SIGCHLD };

static const char *const controllers[] = { "memory", "pids", "cpu" };
static int go[2];
static char stack[65536] __attribute__((aligned(16)));

static void need(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	_exit(99);
}

static int child(void *rootfs)
{
	char *argv[] = { (char *)"/bin/true", NULL }, options[4300], byte;

	need(!close(go[1]) && read(go[0], &byte, 1) == 1, "wait for the cgroups");
	need(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
	need(!mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755"), "tmpfs");
	need(!chdir("/mnt") && !mkdir("up", 0755) && !mkdir("wk", 0755) && !mkdir("root", 0755), "folders");
	(void)snprintf(options, sizeof options, "lowerdir=%s,upperdir=up,workdir=wk", (char *)rootfs);
	need(!mount("overlay", "root", "overlay", 0, options), "overlay");
	need(!chdir("root"), "chdir");
	need(!mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "proc");
	need(!mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"), "dev");
	need(!syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(!umount2(".", MNT_DETACH), "drop the old root");
	execv(argv[0], argv);
	need(0, "exec");
	return 1;
}

static void cgroup_path(char *buf, size_t size, int i, const char *file)
{
	(void)snprintf(buf, size, "/sys/fs/cgroup/%s/bivalve-floor-%d%s", controllers[i], (int)getpid(), file);
}

static void join(int i, pid_t pid)
{
	char path[160];
	int fd;

	cgroup_path(path, sizeof path, i, "/cgroup.procs");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	need(fd >= 0 && dprintf(fd, "%d", (int)pid) > 0, path);
	close(fd);
}

int main(int argc, char **argv)
{
	char path[160];
	int status, cgroups = access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0;
	pid_t pid;

	if (argc != 2) {
		fprintf(stderr, "usage: floor ROOTFS\n");
		return 2;
	}
	need(!pipe2(go, O_CLOEXEC), "pipe");
	for (int i = 0; cgroups && i < 3; i++) {
		cgroup_path(path, sizeof path, i, "");
		need(!mkdir(path, 0755), path);
	}
	pid = clone(child, stack + sizeof stack, FLAGS, argv[1]);
	need(pid > 0, "clone");
	for (int i = 0; cgroups && i < 3; i++)
		join(i, pid);
	need(write(go[1], "x", 1) == 1, "go");
	need(waitpid(pid, &status, 0) == pid && !status, "the child");
	for (int i = 0; cgroups && i < 3; i++) {
		cgroup_path(path, sizeof path, i, "");
		(void)rmdir(path); /* a benchmark: what is left is seen by the next look */
	}
	return 0;
}
