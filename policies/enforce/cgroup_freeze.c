/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping all processes of a group at once.
 *
 * v2: cgroup.freeze, and cgroup.events says when it is so. v1: the freezer's hierarchy, which a group is put into when
 * it is paused for the first time, not at its start: most are never paused, and one more folder per container is
 * a tenth of what its groups cost. The folder is made frozen, so processes stop as they are moved in, and multiply no
 * more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policies/enforce/cgroup_layout.h"
#include "runtime/base/alloc.h"
#include "runtime/base/clock.h"
#include "runtime/base/path.h"

static const uint64_t freeze_timeout_ns = UINT64_C(10000000000);

static int freeze_v2(const char *dir, bool frozen, struct error *err)
{
	char name[CGROUP_DIR_MAX + 16], text[512];
	uint64_t deadline = clock_now_ns() + freeze_timeout_ns;
	_cleanup_close_ int fd = -1;
	int r;

	(void)snprintf(name, sizeof name, "%s/cgroup.events", dir); /* fits */
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, "cannot open %s", name);
	(void)snprintf(name, sizeof name, "%s/cgroup.freeze", dir); /* fits */
	r = file_write_once(AT_FDCWD, name, frozen ? "1" : "0");
	if (r < 0)
		return error_set(err, -r, "cannot write %s: %s", name, strerror(-r));
	while (clock_now_ns() < deadline) {
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		ssize_t n = pread(fd, text, sizeof text - 1, 0); /* reading arms the event */

		if (n < 0)
			return error_sys(err, "cannot read the events of %s", dir);
		text[n] = '\0';
		if ((cgroup_find_u64(text, "frozen") == 1) == frozen)
			return 0;
		(void)poll(&p, 1, 1000); /* an event missed costs a look more */
	}
	return error_set(err, ETIMEDOUT, "control group %s: does not %s", dir, frozen ? "freeze" : "thaw");
}

/* v1 tells nothing by itself: the state is looked at again, at first at once. */
static int freeze_v1(const char *dir, bool frozen, struct error *err)
{
	const char *wanted = frozen ? "FROZEN" : "THAWED";
	uint64_t deadline = clock_now_ns() + freeze_timeout_ns;
	char name[CGROUP_DIR_MAX + 16];

	(void)snprintf(name, sizeof name, "%s/freezer.state", dir); /* fits */
	for (long pause_ns = 20000; clock_now_ns() < deadline;
		pause_ns = pause_ns < 10000000 ? pause_ns * 2 : pause_ns) {
		_cleanup_free_ char *text = NULL;
		struct timespec t = { .tv_nsec = pause_ns };
		int r = file_write_once(AT_FDCWD, name, wanted); /* again: it takes those that were born meanwhile */

		if (r == 0)
			r = cgroup_read(dir, "freezer.state", &text);
		if (r < 0)
			return error_set(err, -r, "cannot set %s to %s: %s", name, wanted, strerror(-r));
		if (!strncmp(text, wanted, strlen(wanted)))
			return 0;
		(void)nanosleep(&t, NULL); /* woken early: one more look */
	}
	(void)file_write_once(AT_FDCWD, name, "THAWED"); /* half of it is worse than none */
	return error_set(err, ETIMEDOUT, "control group %s: does not reach %s", dir, wanted);
}

int cgroup_freeze(const struct cgroup_host *host, const char *path, bool frozen, struct error *err)
{
	char dir[CGROUP_DIR_MAX];
	int r;

	if (!host->freezer || !cgroup_dir_in(host, path, CGROUP_FREEZER, dir))
		return error_set(err, EOPNOTSUPP, "control group %s: no freezer on this host", path);
	if (host->layout == CGROUP_V2)
		return freeze_v2(dir, frozen, err);
	if (!frozen && access(dir, F_OK) < 0)
		return 0; /* never frozen */
	r = frozen ? cgroup_extend(host, path, CGROUP_FREEZER, err) : 0;
	if (r == 0)
		r = freeze_v1(dir, frozen, err);
	if (r < 0 && frozen)
		(void)freeze_v1(dir, false, NULL); /* the first error is the one to tell */
	return r;
}
