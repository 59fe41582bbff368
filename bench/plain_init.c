/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of a microVM that somebody puts together by hand, for bench/start-vm: it mounts the image's disk, runs a
 * program of it as root and turns the machine off. No agent, no namespaces, no control group, no filter, no limits.
 * The word on the console, which the benchmark awaits, says that the program was run.
 */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *word)
{
	FILE *log = fopen("/dev/kmsg", "w");

	if (!log)
		return;
	(void)fprintf(log, "<3>plain-init: %s\n", word); /* an error by its priority: the console shows it */
	(void)fclose(log);
}

int main(void)
{
	int status = -1;
	pid_t pid;

	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0 ||
			mount("/dev/vda", "/root", "erofs", MS_RDONLY, NULL) < 0) {
		say("no disk");
	} else {
		pid = fork();
		if (pid == 0) {
			if (chroot("/root") == 0 && chdir("/") == 0)
				(void)execl("/bin/true", "true", (char *)NULL); /* returns only if it fails */
			_exit(127);
		}
		if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
			say("done");
	}
	(void)reboot(RB_AUTOBOOT); /* with reboot=t and no reset allowed QEMU ends */
	for (;;)
		(void)pause();
}
