/* SPDX-License-Identifier: Apache-2.0 */
/* The fallback engine's jail, entered by a child that then tries what QEMU may and may not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/alloc.h"
#include "runtime/base/path.h"
#include "tests/unit/tap.h"
#include "vm-backend/qemu_jail.h"

static char dir[] = "/tmp/bivalve-test.XXXXXX";

static bool opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		(void)close(fd); /* it was only asked for */
	return fd >= 0;
}

static char *file(const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);

	if (file_write_atomic(AT_FDCWD, path, "x", 1, 0600, NULL) < 0)
		exit(99);
	return path;
}

static bool connects(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno != EACCES;
}

int main(void)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), status = 0;
	pid_t outside = getpid(), child;

	if (!mkdtemp(dir))
		return 99;
	if (abi < 1) {
		skip("no Landlock here");
		return tap_done();
	}
	child = fork();
	if (child == 0) {
		_cleanup_free_ char *kernel = file("kernel"), *initramfs = file("initramfs"), *disk = file("disk");
		_cleanup_free_ char *scratch = file("scratch"), *secret = file("secret");
		_cleanup_free_ char *new = xasprintf("%s/new", dir);
		struct vm_config config = { .kernel_path = kernel, .initramfs_path = initramfs,
			.disks = { { disk, true, false, -1 }, { scratch, false, false, -1 } }, .n_disks = 2 };

		ok(qemu_jail_enter(&config) == 0, "the jail is entered");
		ok(opens(kernel, O_RDONLY) && opens(initramfs, O_RDONLY) && opens(disk, O_RDONLY),
				"its files can be read");
		ok(opens(scratch, O_RDWR), "its writable disk can be written");
		ok(!opens(disk, O_RDWR) && !opens(kernel, O_RDWR), "the others not");
		ok(!opens(secret, O_RDONLY) && !opens("/etc/passwd", O_RDONLY), "nor any other file be read");
		ok(!opens(new, O_RDWR | O_CREAT) && unlink(kernel) < 0, "nothing can be made or removed");
		ok(opens("/usr/bin/env", O_RDONLY) && !opens("/usr/bin/new-file", O_RDWR | O_CREAT),
				"/usr is for reading");
		ok(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no new privileges");
		if (abi >= 4)
			ok(!connects(), "no TCP");
		else
			skip("Landlock ABI %d knows no TCP", abi);
		if (abi >= 6)
			ok(kill(outside, 0) < 0 && errno == EPERM, "no signal leaves it");
		else
			skip("Landlock ABI %d knows no signals", abi);
		status = tap_done();
		(void)fflush(stdout); /* what was printed is in the pipe or lost */
		_exit(status);
	}
	(void)waitpid(child, &status, 0);
	(void)path_remove_tree(AT_FDCWD, dir, NULL); /* a left-over in /tmp is no failure */
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}
