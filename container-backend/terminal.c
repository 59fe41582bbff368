/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-terminals, opened inside the container and by descriptor only: no path of the container is trusted. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "container-backend/mountfd.h"
#include "container-backend/mounts.h"
#include "container-backend/terminal.h"
#include "runtime/base/alloc.h"
#include "runtime/base/path.h"

/* The slave over an empty file /dev/console. A link there is refused: it could lead onto what others write to. */
static int bind_console(int root_fd, int slave, struct error *err)
{
	const struct place want = { .file = true, .strict = true };
	_cleanup_close_ int target = place_open(root_fd, "/dev/console", want, err), copy = -1;
	int s;

	if (target < 0)
		return target;
	copy = mountfd_clone(slave, "", false);
	s = copy < 0 ? copy : mountfd_move(copy, target);
	return s < 0 ? error_set(err, -s, "cannot bind /dev/console: %s", strerror(-s)) : 0;
}

int terminal_open_plain(const struct plan_process *process, int root_fd, struct terminal *ret, struct error *err)
{
	struct winsize size = { .ws_row = (unsigned short)process->rows, .ws_col = (unsigned short)process->columns };
	_cleanup_close_ int master = path_open_beneath(root_fd, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0), slave = -1;
	int unlock = 0;

	if (master < 0)
		return error_set(err, -master, "process.terminal: cannot open /dev/pts/ptmx: %s", strerror(-master));
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return error_sys(err, "process.terminal: cannot unlock the terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_sys(err, "process.terminal: cannot open the terminal");
	if (size.ws_row && size.ws_col && ioctl(master, TIOCSWINSZ, &size) < 0)
		return error_sys(err, "process.rows: cannot set the terminal's size");
	*ret = (struct terminal){ steal_fd(&master), steal_fd(&slave) };
	return 0;
}

int terminal_open(const struct plan_process *process, int root_fd, struct terminal *ret, struct error *err)
{
	int r = terminal_open_plain(process, root_fd, ret, err);

	if (r < 0)
		return r;
	return bind_console(root_fd, ret->slave, err) < 0 ? error_prefix(err, "process.terminal") : 0;
}

int terminal_own(const struct terminal *t, uint64_t uid, struct error *err)
{
	/* The group stays what devpts gives all terminals. */
	if (fchown(t->slave, (uid_t)uid, (gid_t)-1) < 0)
		return error_sys(err, "process.terminal: cannot give it to user %ju", (uintmax_t)uid);
	return 0;
}

bool terminal_is_master(int fd)
{
	unsigned number;
	struct stat st;

	/* Masters are device 5:2, all of them; what answers TIOCGPTN is no slave and no other kind of file. */
	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2) &&
		ioctl(fd, TIOCGPTN, &number) == 0;
}
