/* SPDX-License-Identifier: Apache-2.0 */
/* May this process isolate another? Tried in a child, since too many things have a say to predict it. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/launch/commands.h"
#include "runtime/launch/prepare.h"

/* The child's exit status is the errno of what failed. */
static int try_in_child(void)
{
	int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;

	if (geteuid() != 0)
		flags |= CLONE_NEWUSER;
	if (unshare(flags) < 0)
		return errno;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0)
		return errno;
	return 0;
}

int namespaces_try(struct error *err)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return error_sys(err, "cannot fork");
	if (pid == 0)
		_exit(try_in_child());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, "cannot wait");
	if (!WIFEXITED(status))
		return error_set(err, EIO, "the trial was killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		return error_set(err, WEXITSTATUS(status), "%s", strerror(WEXITSTATUS(status)));
	return 0;
}
