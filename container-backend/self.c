/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program file out of reach.
 *
 * What runs in a container's pid namespace can be found there as /proc/PID/exe, and that link leads to the host's file
 * whatever the mount namespace. Our processes are undumpable, which closes the link for all but CAP_SYS_PTRACE; this is
 * for those. A read-only mount costs three system calls; the copy in memory some hundred microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "container-backend/mountfd.h"
#include "container-backend/self.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

enum { MAX_ARGUMENT_BYTES = 8 << 20 };

/* Whether the running program cannot be written: on a read-only mount, or sealed. */
static bool is_protected(int exe)
{
	struct statvfs fs;
	int seals = fcntl(exe, F_GET_SEALS);

	return (seals >= 0 && (seals & SEALS) == SEALS) || (fstatvfs(exe, &fs) == 0 && fs.f_flag & ST_RDONLY);
}

static int read_only_view(int exe)
{
	_cleanup_close_ int fd = mountfd_clone(exe, "", false);
	int r = fd < 0 ? fd : mountfd_set(fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, 0, false);

	return r < 0 ? r : steal_fd(&fd);
}

static int sealed_copy(int exe)
{
	_cleanup_close_ int fd = memfd_create("bivalve", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat st;

	if (fd < 0 || fstat(exe, &st) < 0)
		return -errno;
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(fd, exe, &at, (size_t)(st.st_size - at)) <= 0)
			return errno ? -errno : -EIO;
	if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* Our own arguments, as a vector into *text. */
static char **own_arguments(char **ret_text, struct error *err)
{
	size_t len = 0, n = 0, at = 0;
	char **argv;

	if (file_read_at(AT_FDCWD, "/proc/self/cmdline", MAX_ARGUMENT_BYTES, ret_text, &len, err) < 0)
		return NULL;
	for (size_t i = 0; i < len; i++)
		n += (*ret_text)[i] == '\0';
	argv = xcalloc(n + 1, sizeof *argv);
	for (size_t i = 0; i < n; i++, at += strlen(*ret_text + at) + 1)
		argv[i] = *ret_text + at;
	return argv;
}

int self_protect(struct error *err)
{
	_cleanup_close_ int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd = -1;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char **argv = NULL;

	if (exe < 0)
		return error_sys(err, "cannot open /proc/self/exe");
	if (is_protected(exe))
		return 0;
	fd = read_only_view(exe);
	if (fd < 0)
		fd = sealed_copy(exe);
	if (fd < 0)
		return error_set(err, -fd, "cannot put the program out of the container's reach: %s", strerror(-fd));
	argv = own_arguments(&text, err);
	if (!argv)
		return -err->code;
	(void)execveat(fd, "", argv, environ, AT_EMPTY_PATH);
	return error_sys(err, "cannot start the program from out of the container's reach");
}
