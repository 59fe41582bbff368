/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/sysinfo.h>

#include "runtime/base/fd.h"
#include "vm-backend/guest/guest_end.h"
#include "vm-backend/shares.h"

/* What telling the end takes is a few pages; the kernel keeps about a MiB to itself. */
enum { SPARE_BYTES = 4 << 20 };

bool guest_end_may_stay(const struct plan *plan)
{
	if (!plan->process.init || plan->root.path || plan->root.scratch || plan->changes)
		return false;
	for (size_t i = 0; i < plan->n_mounts; i++)
		if (share_of_mount(plan, &plan->mounts[i]))
			return false;
	return true;
}

/* Asked without any: a workload may have filled it all with files, which go with its mounts. */
static bool memory_is_left(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 && (uint64_t)info.freeram * info.mem_unit >= SPARE_BYTES;
}

static struct timeval from_us(uint64_t us)
{
	return (struct timeval){ (time_t)(us / 1000000), (suseconds_t)(us % 1000000) };
}

void guest_end_settle(struct guest_session *s, struct agent_channel *c, bool alone)
{
	if (!s->stays || !s->told || s->ended)
		return;
	s->stays = false;
	if (alone && guest_session_has_closed(s, c) && memory_is_left()) {
		s->ended = true;
		s->usage = (struct rusage){ .ru_utime = from_us(s->end.cpu_user_us),
			.ru_stime = from_us(s->end.cpu_system_us),
			.ru_maxrss = (long)(s->end.max_rss_bytes / 1024) };
	} else {
		(void)pidfd_kill(s->pidfd, SIGKILL); /* our child and not yet reaped */
	}
}
